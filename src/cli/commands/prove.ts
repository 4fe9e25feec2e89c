// athanor prove: runs the proofs and prints their figures with PASS or FAIL.
import pc from "picocolors";
import { fail, formatDuration } from "../../base/index.ts";
import { type Figure, type ProofResult, proofs, runProof, selectProofs } from "../../study/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { exitCodes } from "../output.ts";

interface ProveFlags {
  readonly all?: boolean;
  readonly list?: boolean;
  readonly data?: string;
}

export const defineProve: DefineCommand = (program, run) => {
  program
    .command("prove")
    .description("show a technique on a problem whose answer is known")
    .argument("[id...]", "proofs to run; --list names them")
    .option("--all", "run every proof")
    .option("--list", "name the proofs")
    .option("--data <path>", "run on real data instead, where a proof allows it")
    .action(run(prove));
};

async function prove({ output, signal }: CommandContext, ids: string[], flags: ProveFlags): Promise<number> {
  if (flags.list) {
    for (const { id, doc, data } of proofs) {
      output.record({ id, doc, ...(data === undefined ? {} : { data }) });
      output.print(`${id.padEnd(14)} ${doc}`);
    }
    return exitCodes.done;
  }
  const { all = false } = flags;
  const named = ids.length > 0;
  if (all === named) {
    fail("cli/prove", "name the proofs to run, or ask for all", {
      expected: "ids, or --all",
      got: named ? "both" : "neither",
      fix: "npx athanor prove --list",
    });
  }
  const chosen = selectProofs(all ? proofs.map(({ id }) => id) : ids, flags);
  const results: ProofResult[] = [];
  for (const proof of chosen) {
    if (signal.aborted) return exitCodes.interrupted;
    const result = await runProof(proof, {
      signal,
      onNote: (text) => output.note(pc.dim(`${proof.id}  ${text}`)),
      ...(flags.data === undefined ? {} : { data: flags.data }),
    });
    results.push(result);
    output.record({ type: "proof", ...result });
    output.print(render(result));
  }
  const passed = results.filter(({ ok }) => ok).length;
  if (results.length > 1) output.print(`${passed} of ${results.length} proofs passed`);
  return passed === results.length ? exitCodes.done : exitCodes.failed;
}

function render({ id, doc, ok, seconds, figures, error }: ProofResult): string {
  const width = Math.max(0, ...figures.map(({ name }) => name.length));
  const row = ({ name, value, bound, ok: kept }: Figure) =>
    `  ${kept ? " " : pc.red("✗")} ${name.padEnd(width)}  ${show(value)}  ${bound === "none" ? "" : pc.dim(`(${bound})`)}`.trimEnd();
  return [
    `${pc.bold(id)}  ${doc}`,
    ...figures.map(row),
    ...(error === undefined ? [] : [pc.red(error)]),
    `${ok ? pc.green("PASS") : pc.red("FAIL")}  ${id}  ${formatDuration(seconds)}`,
    "",
  ].join("\n");
}

function show(value: Figure["value"]): string {
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size !== 0 && (size < 1e-4 || size >= 1e7) ? value.toExponential(4) : String(Number(value.toPrecision(13)));
}

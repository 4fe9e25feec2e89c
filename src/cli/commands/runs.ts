// athanor runs: the runs under a folder, oldest first.
import pc from "picocolors";
import { findRun, runStatus } from "../../api/index.ts";
import { listRuns } from "../../track/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { defineCompare } from "./compare.ts";

export const defineRuns: DefineCommand = (program, run) => {
  const command = program
    .command("runs")
    .description("list the runs under a folder, or compare some")
    .argument("[folder]", "where runs lie (default: runs)")
    .action(run(runs));
  defineCompare(command, run);
};

async function runs({ output }: CommandContext, folder?: string): Promise<undefined> {
  const root = folder === undefined ? "runs" : await findRun(folder); // without one, there may be no run yet
  const { runs: found, unreadable } = await listRuns(root);
  for (const one of found) {
    const status = await runStatus(one);
    const { name, step, createdAt, result } = one.record;
    output.record({ folder: one.folder, name, status, step, createdAt, ...(result ?? {}) });
    const loss =
      result === undefined
        ? ""
        : `loss ${result.loss.toFixed(4)}${result.evalLoss === undefined ? "" : `  held-out ${result.evalLoss.toFixed(4)}`}`;
    output.print(`${one.folder.padEnd(36)} ${status.padEnd(12)} step ${String(step).padStart(6)}  ${loss}`);
  }
  if (found.length === 0) output.note(`no runs under ${root}`);
  for (const { folder, error } of unreadable) output.note(pc.yellow(`${folder}: ${error.what}`));
  return undefined;
}

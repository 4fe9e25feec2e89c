// athanor inspect: the graphs of a step, pass by pass, the plans made from them, and where their time goes.
import { inspectRecipe } from "../../api/index.ts";
import { fail, formatBytes } from "../../base/index.ts";
import { instructionText } from "../../compiler/index.ts";
import type { Recipe } from "../../recipe/index.ts";
import { profileRecipe } from "../../study/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { requireFilePlace, writeNamedFile } from "../named-file.ts";
import { pathOption, wholeOption } from "../options.ts";
import type { Output } from "../output.ts";
import { profileRecord, renderAdvice, renderLayers, renderOps } from "../profile-table.ts";
import { type RecipeOptions, recipeOf, withRecipe } from "../recipe-options.ts";
import { traceText } from "../trace-file.ts";

interface InspectFlags extends RecipeOptions {
  readonly program?: string;
  readonly pass?: string;
  readonly plan?: boolean;
  readonly profile?: boolean;
  readonly steps?: number;
  readonly trace?: string;
}

export const defineInspect: DefineCommand = (program, run) => {
  withRecipe(
    program
      .command("inspect")
      .description("show the graphs of a step after each pass, the plan, or where the time goes"),
  )
    .option("--program <name>", "accumulate (default), update or evaluate")
    .option("--pass <name>", "print the graph after this pass (or `traced`)")
    .option("--plan", "print the plan's instructions")
    .option("--profile", "train a few steps, and tell where the time goes and what would make it less")
    .option(
      "--steps <n>",
      "with --profile: steps that are timed (default: some, by their length)",
      wholeOption("--steps"),
    )
    .option(
      "--trace <file>",
      "with --profile: write a timeline for Perfetto or chrome://tracing",
      pathOption("--trace"),
    )
    .action(run(inspect));
};

async function inspect({ output }: CommandContext, path: string, flags: InspectFlags): Promise<undefined> {
  refuseMixture(flags);
  const recipe = await recipeOf(path, flags);
  if (flags.profile) return await profile(output, recipe, flags);
  const program = flags.program ?? "accumulate";
  const [found] = await inspectRecipe(recipe, [program]);
  if (found === undefined)
    return fail("cli/inspect", "a step has no such program", {
      where: "--program",
      expected: "accumulate, update or evaluate",
      got: program,
      fix: "name one of these",
    });
  const { traced, passes, plan } = found;
  const graph = flags.pass === "traced" ? traced : passes.findLast(({ pass }) => pass.name === flags.pass)?.graph;
  if (flags.pass !== undefined && graph === undefined)
    fail("cli/inspect", "no pass is called so", {
      where: "--pass",
      expected: ["traced", ...new Set(passes.map(({ pass }) => pass.name))].join(", "),
      got: flags.pass,
      fix: "name one of these",
    });
  output.record({
    program,
    passes: passes.map(({ pass, graph }) => ({ pass: pass.name, nodes: graph.nodes.length })),
    instructions: plan.code.length,
    arenaBytes: plan.arenaBytes,
  });
  output.print(`${"traced".padEnd(24)} ${String(traced.nodes.length).padStart(6)} nodes`);
  for (const { pass, graph } of passes)
    output.print(`${pass.name.padEnd(24)} ${String(graph.nodes.length).padStart(6)} nodes  ${pass.doc}`);
  output.print(
    `${"plan".padEnd(24)} ${String(plan.code.length).padStart(6)} instructions, arena ${formatBytes(plan.arenaBytes)}`,
  );
  if (graph !== undefined) output.print(`\n${graph}`);
  if (flags.plan) for (const instruction of plan.code) output.print(instructionText(plan, instruction));
  return undefined;
}

async function profile(output: Output, recipe: Recipe, { steps, trace }: InspectFlags): Promise<undefined> {
  if (trace !== undefined) requireFilePlace("trace", trace);
  const profiled = await profileRecipe(recipe, { onNote: output.note, ...(steps === undefined ? {} : { steps }) });
  output.record(profileRecord(profiled));
  output.print([renderOps(profiled), renderLayers(profiled), renderAdvice(profiled)].join("\n\n"));
  if (trace === undefined) return;
  await writeNamedFile("trace", trace, traceText(profiled));
  output.note(`timeline: ${trace} (open it at https://ui.perfetto.dev)`);
}

/** A profile is of whole steps, and only it has steps. */
function refuseMixture(flags: InspectFlags): void {
  const names = flags.profile ? (["program", "pass", "plan"] as const) : (["steps", "trace"] as const);
  const given = names.find((name) => flags[name] !== undefined);
  if (given === undefined) return;
  fail("cli/inspect", flags.profile ? "a profile is of whole steps" : `only a profile has a --${given}`, {
    where: `--${given}`,
    expected: flags.profile ? "--profile with --steps and --trace alone" : `--profile beside --${given}`,
    got: flags.profile ? `--profile and --${given}` : `--${given} without --profile`,
    fix: flags.profile ? `leave out --${given} or --profile` : "add --profile",
  });
}

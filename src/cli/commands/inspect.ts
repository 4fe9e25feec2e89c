// athanor inspect: the graphs of a step, pass by pass, and the plans made from them.
import { inspectRecipe } from "../../api/index.ts";
import { fail, formatBytes } from "../../base/index.ts";
import { instructionText } from "../../compiler/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { type RecipeOptions, recipeOf, withRecipe } from "../recipe-options.ts";

interface InspectFlags extends RecipeOptions {
  readonly program: string;
  readonly pass?: string;
  readonly plan?: boolean;
}

export const defineInspect: DefineCommand = (program, run) => {
  withRecipe(program.command("inspect").description("show the graphs of a step after each pass, and the plan"))
    .option("--program <name>", "accumulate, update or evaluate", "accumulate")
    .option("--pass <name>", "print the graph after this pass (or `traced`)")
    .option("--plan", "print the plan's instructions")
    .action(run(inspect));
};

async function inspect({ output }: CommandContext, path: string, flags: InspectFlags): Promise<undefined> {
  const recipe = await recipeOf(path, flags);
  const [found] = await inspectRecipe(recipe, [flags.program]);
  if (found === undefined)
    return fail("cli/inspect", "a step has no such program", {
      where: "--program",
      expected: "accumulate, update or evaluate",
      got: flags.program,
    });
  const { traced, passes, plan } = found;
  const graph = flags.pass === "traced" ? traced : passes.findLast(({ pass }) => pass.name === flags.pass)?.graph;
  if (flags.pass !== undefined && graph === undefined)
    fail("cli/inspect", "no pass is called so", {
      where: "--pass",
      expected: ["traced", ...new Set(passes.map(({ pass }) => pass.name))].join(", "),
      got: flags.pass,
    });
  output.record({
    program: flags.program,
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

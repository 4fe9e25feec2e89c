// athanor inspect: the graphs of a step, pass by pass, and the plans made from them.
import { inspectRecipe } from "../../api/index.ts";
import { formatBytes } from "../../base/index.ts";
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
  const { traced, passes, plan } = found!;
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
  if (flags.pass !== undefined) {
    const graph = flags.pass === "traced" ? traced : passes.findLast(({ pass }) => pass.name === flags.pass)?.graph;
    output.print(`\n${graph ?? `no pass is called ${flags.pass}`}`);
  }
  if (flags.plan) {
    const tensor = (at: number) => {
      const { space, index, offset, dtype, shape, strides } = plan.tensors[at]!;
      const place =
        space === "variable"
          ? plan.variables[index]!.name
          : space === "feed"
            ? plan.feeds[index]!.name
            : `${space}+${offset}`;
      return `${place}:${dtype}[${shape}]${strides.join() === "" ? "" : `/${strides}`}`;
    };
    for (const { kernel, inputs, outputs, node, commit } of plan.code) {
      const scope = plan.nodes[node]?.scope ?? "";
      output.print(
        `${commit ? "* " : "  "}${kernel.padEnd(18)} ${outputs.map(tensor).join(" ")} <- ${inputs.map(tensor).join(" ")}${scope ? `   # ${scope}` : ""}`,
      );
    }
  }
  return undefined;
}

// athanor plan: what a recipe will need and do, before any step.
import { measurePeak, planRecipe } from "../../api/index.ts";
import { formatBytes, formatCount, formatDuration } from "../../base/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { type RecipeOptions, recipeOf, withRecipe } from "../recipe-options.ts";

/** Share of the measured matrix-product rate that a whole step reaches, about; bench/RESULTS.md has the figures. */
const stepEfficiency = 0.6;

export const definePlan: DefineCommand = (program, run) => {
  withRecipe(program.command("plan").description("forecast of a run: parameters, memory, operations, time")).action(
    run(plan),
  );
};

async function plan({ output }: CommandContext, path: string, flags: RecipeOptions): Promise<undefined> {
  const recipe = await recipeOf(path, flags);
  const peak = await measurePeak(recipe);
  const planned = await planRecipe(recipe, { flopsPerSecond: peak * stepEfficiency, onNote: output.note });
  output.record({ ...planned, peakFlopsPerSecond: peak });
  const { memory } = planned;
  const row = (name: string, value: string) => output.print(`  ${name.padEnd(14)} ${value.padStart(12)}`);
  output.print(`engine ${planned.engine}\n\nparameters`);
  for (const { module, count } of planned.parametersByModule) row(module, count.toLocaleString("en"));
  row("total", planned.numParameters.toLocaleString("en"));
  output.print("\npeak memory");
  for (const owner of ["parameters", "gradients", "slots", "activations", "workspace", "host", "total"] as const)
    row(owner, formatBytes(memory[owner]));
  output.print("\nrecompute (each line with those above it)");
  for (const { work, nodes, peakBytes, extraFlops, isTaken } of planned.recompute) {
    const [some, all] = nodes;
    const what = work === "" ? "nothing" : `${some === all ? all : `${some} of ${all}`} ${work}`;
    const cost = `${formatBytes(peakBytes).padStart(10)} ${`+${(100 * extraFlops).toFixed(1)}`.padStart(6)} % FLOP`;
    output.print(`${isTaken ? "*" : " "} ${what.padEnd(36)} ${cost}`);
  }
  output.print("\nrun");
  row("steps", planned.steps.toLocaleString("en"));
  row("items", formatCount(planned.items));
  row("per step", `${formatCount(planned.flopsPerStep)}FLOP`);
  row("all", `${formatCount(planned.totalFlops)}FLOP`);
  row("time, about", formatDuration(planned.expectedSeconds ?? Number.NaN));
  row("checkpoint", formatBytes(planned.checkpointBytes));
  output.print(`\nlearning rate: ${planned.learningRate.schedule}`);
  for (const [step, rate] of planned.learningRate.samples) row(`step ${step}`, rate.toExponential(3));
  return undefined;
}

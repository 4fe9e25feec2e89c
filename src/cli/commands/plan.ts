// athanor plan: what a recipe will need and do, before any step.
import { measurePeak, planRecipe } from "../../api/index.ts";
import { formatBytes, formatCount, formatDuration } from "../../base/index.ts";
import { type CurveBoundary, type CurvePoint, mostBoundaries, type ScheduleCurve } from "../../optim/index.ts";
import { tellTrained } from "../../train/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { requireFilePlace, writeNamedFile } from "../named-file.ts";
import { pathOption } from "../options.ts";
import type { Output } from "../output.ts";
import { formatValue, plotSvg, plotText } from "../plot.ts";
import { type RecipeOptions, recipeOf, withRecipe } from "../recipe-options.ts";

/** Share of the measured matrix-product rate that a whole step reaches, about; bench/RESULTS.md has the figures. */
const stepEfficiency = 0.6;

interface PlanFlags extends RecipeOptions {
  readonly svg?: string;
}

export const definePlan: DefineCommand = (program, run) => {
  withRecipe(
    program.command("plan").description("forecast of a run: parameters, memory, operations, time, learning rate"),
  )
    .option("--svg <file>", "write the curves as SVG too", pathOption("--svg"))
    .action(run(plan));
};

async function plan({ output }: CommandContext, path: string, flags: PlanFlags): Promise<undefined> {
  if (flags.svg !== undefined) requireFilePlace("svg", flags.svg);
  const recipe = await recipeOf(path, flags);
  const planned = await planRecipe(recipe, { onNote: output.note });
  const peak = await measurePeak(recipe); // once the recipe is known to be good
  const expectedSeconds = planned.totalFlops / (peak * stepEfficiency);
  if (flags.svg !== undefined)
    await writeNamedFile("svg", flags.svg, plotSvg([planned.learningRate, ...planned.changing]));
  output.record({ ...planned, expectedSeconds, peakFlopsPerSecond: peak });
  const { memory } = planned;
  const row = (name: string, value: string) => output.print(`  ${name.padEnd(14)} ${value.padStart(12)}`);
  output.print(`engine ${planned.engine}\n\nparameters`);
  for (const { module, count } of planned.parametersByModule) row(module, count.toLocaleString("en"));
  row("total", planned.numParameters.toLocaleString("en"));
  if (planned.numTrained < planned.numParameters)
    output.print(`  ${tellTrained(planned.numTrained, planned.numParameters)}`);
  output.print("\npeak memory");
  for (const owner of ["parameters", "gradients", "slots", "activations", "workspace", "host", "total"] as const)
    row(owner, formatBytes(memory[owner]));
  if (planned.methods.length > 0) {
    output.print("\npeak memory by method, nothing recomputed");
    const columns = ["parameters", "gradients", "slots", "activations", "total"] as const;
    output.print(`  ${"".padEnd(18)} ${columns.map((name) => name.padStart(12)).join("")}`);
    for (const { method, memory: of } of planned.methods)
      output.print(`  ${method.padEnd(18)} ${columns.map((name) => formatBytes(of[name]).padStart(12)).join("")}`);
  }
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
  row("time, about", formatDuration(expectedSeconds));
  row("checkpoint", formatBytes(planned.checkpointBytes));
  printCurve(output, planned.learningRate, 11);
  for (const curve of planned.changing) printCurve(output, curve, 5);
  if (flags.svg !== undefined) output.print(`\ncurves as SVG: ${flags.svg}`);
  return undefined;
}

/** As many boundaries as are shown to people; --json has them all. */
const shownBoundaries = 20;

function printCurve(output: Output, curve: ScheduleCurve, height: number): void {
  const { name: quantity, schedule, needsEvaluations, boundaries, points } = curve;
  output.print(`\n${quantity}: ${schedule}`);
  if (needsEvaluations)
    output.print("  evaluations lower it, which cannot be foreseen: this is its course as long as the loss improves");
  for (const line of plotText(curve, 60, height)) output.print(line);
  const row = (name: string, position: string, cells: readonly string[]) =>
    output.print(`  ${name.padEnd(20)} ${position.padStart(18)}${cells.map((cell) => cell.padStart(12)).join("")}`);
  const cellsOf = ({ step, samples, tokens, value }: CurvePoint) => [
    step.toLocaleString("en"),
    formatCount(samples),
    formatCount(tokens),
    value >= 1 ? formatValue(value) : value.toExponential(3),
  ];
  output.print("");
  row("boundary", "declared", ["step", "samples", "tokens", "value"]);
  const last = points.at(-1)!;
  const shown = boundaries.slice(0, shownBoundaries);
  const within = shown.filter(({ point }) => point !== null && point.step <= last.step);
  const rows = (list: readonly CurveBoundary[]) => {
    for (const { what, position, unit, point } of list)
      row(what, `${position.toLocaleString("en")} ${unit}`, point === null ? ["not reached"] : cellsOf(point));
  };
  row("first step", "", cellsOf(points[0]!));
  rows(within);
  row("last step", "", cellsOf(last));
  rows(shown.slice(within.length));
  const hidden = boundaries.length - shownBoundaries;
  const more = boundaries.length === mostBoundaries ? " or more" : "";
  if (hidden > 0) output.print(`  ${hidden}${more} further boundaries: --json lists them`);
}

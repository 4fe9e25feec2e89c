// athanor tune: settings found by short trainings of the recipe itself.
import pc from "picocolors";
import { formatCount, shellWord } from "../../base/index.ts";
import {
  compareBatchSizes,
  comparedAfter,
  formatInterval,
  namedOptimizers,
  type RangePoint,
  tuneBatchSize,
  tuneLearningRate,
  tuneOptimizer,
} from "../../study/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { numberOption, wholeOption } from "../options.ts";
import { changesAgain, type RecipeOptions, recipeOf, withRecipe } from "../recipe-options.ts";

interface RateFlags extends RecipeOptions {
  readonly from?: number;
  readonly to?: number;
  readonly steps?: number;
  readonly trialSteps?: number;
}

export const defineTune: DefineCommand = (program, run) => {
  const tune = program.command("tune").description("find settings by short trainings; nothing is saved");
  withRecipe(tune.command("lr").description("learning rate: a sweep of rising rates, and the edge of what trains"))
    .option("--from <rate>", "lowest rate (default: 1e-6)", numberOption("--from"))
    .option("--to <rate>", "highest rate (default: 10)", numberOption("--to"))
    .option("--steps <n>", "steps of the sweep (default: 100)", wholeOption("--steps"))
    .option("--trial-steps <n>", "steps of each trial at one rate (default: 50)", wholeOption("--trial-steps"))
    .action(run(tuneRate));
  withRecipe(tune.command("batch").description("batch size: the noise of the gradient, and the size that matches it"))
    .option("--after <n>", "steps that are trained before (default: 100)", wholeOption("--after"))
    .option("--rounds <n>", "batches that are measured (default: 20)", wholeOption("--rounds"))
    .option("--sizes <list>", "compare these sizes instead, on the same samples, such as 1,10,100", sizesOption)
    .option("--samples <n>", "of the comparison (default: those of the recipe's steps)", wholeOption("--samples"))
    .option("--seeds <n>", "of the comparison (default: 3)", wholeOption("--seeds"))
    .action(run(tuneBatch));
  withRecipe(tune.command("optimizer").description("optimizers ranked, each at a rate of its own, over some seeds"))
    .option("--optimizers <names>", "what is compared (default: sgd,momentum,adam,adamw)", namesOption)
    .option("--seeds <n>", "seeds of the ranking (default: 5)", wholeOption("--seeds"))
    .option("--rates <n>", "rates tried for each (default: 5)", wholeOption("--rates"))
    .action(run(tuneOptimizers));
};

interface BatchFlags extends RecipeOptions {
  readonly after?: number;
  readonly rounds?: number;
  readonly sizes?: number[];
  readonly samples?: number;
  readonly seeds?: number;
}

const sizeOption = wholeOption("--sizes");
/** `1,10,100`. */
const sizesOption = (text: string): number[] => text.split(",").map(sizeOption);

async function tuneBatch(context: CommandContext, path: string, flags: BatchFlags): Promise<undefined> {
  const { output } = context;
  if (flags.sizes !== undefined) return await compareBatches(context, path, flags);
  const { set: _, ...options } = flags;
  const found = await tuneBatchSize(await recipeOf(path, flags), { ...options, onNote: output.note });
  output.record({ ...found });
  const { scale, low, high, after, sizes, itemsPerRow, pairs } = found;
  const rows = (count: number) =>
    !Number.isFinite(count)
      ? "more than can be told"
      : `${formatCount(Math.round(count))} rows${itemsPerRow > 1 ? ` (${formatCount(Math.round(count * itemsPerRow))} tokens)` : ""}`;
  output.print(`gradient noise scale after ${after} steps: ${pc.bold(rows(scale))}`);
  output.print(
    `  95 % between ${rows(low)} and ${rows(high)}, from ${pairs} batches of ${sizes.large} and ${sizes.small} rows`,
  );
  output.print(
    "batches far below it lose little by being small, batches far above gain little by being large; it grows as the loss falls",
  );
  return undefined;
}

async function compareBatches({ output }: CommandContext, path: string, flags: BatchFlags): Promise<undefined> {
  const { set: _, ...options } = flags;
  const found = await compareBatchSizes(await recipeOf(path, flags), { ...options, onNote: output.note });
  output.record({ ...found });
  const { samples, seeds, compared } = found;
  const row = (cells: readonly string[]) => output.print(cells.map((cell) => cell.padStart(17)).join(""));
  output.print(`held-out loss after so many samples, ${seeds.length} ${seeds.length === 1 ? "seed" : "seeds"}`);
  row(["rows of a step", "updates", ...comparedAfter.map((part) => formatCount(part * samples))]);
  for (const { size, steps, losses } of compared) row([`${size}`, `${steps}`, ...losses.map(formatInterval)]);
  return undefined;
}

async function tuneRate({ output }: CommandContext, path: string, flags: RateFlags): Promise<undefined> {
  const { set: _, ...range } = flags;
  const found = await tuneLearningRate(await recipeOf(path, flags), { ...range, onNote: output.note });
  output.record({ ...found });
  for (const line of curve(found.points)) output.print(line);
  const { stable, unstable, steepest, change } = found;
  output.print(
    unstable === undefined
      ? `every rate up to ${format(stable)} trains`
      : `trains at ${format(stable)}, no longer at ${format(unstable)}`,
  );
  output.print(`the loss falls fastest at ${format(steepest)}\n`);
  output.print(`try  npx athanor train ${shellWord(path)}${changesAgain(flags)} --set ${pc.bold(change)}`);
  return undefined;
}

interface OptimizerFlags extends RecipeOptions {
  readonly optimizers?: readonly string[];
  readonly seeds?: number;
  readonly rates?: number;
}

const namesOption = (text: string): string[] => text.split(",").map((name) => name.trim());

async function tuneOptimizers({ output }: CommandContext, path: string, flags: OptimizerFlags): Promise<undefined> {
  const { set: _, optimizers, ...options } = flags;
  const given = optimizers === undefined ? {} : { optimizers: namedOptimizers(optimizers) };
  const found = await tuneOptimizer(await recipeOf(path, flags), { ...options, ...given, onNote: output.note });
  output.record({ ...found });
  const { ranking, steps, samples, seeds, tuningSeed } = found;
  const rows = ranking.map(({ name, rate, tried, atEdge, loss, behind }) => [
    name,
    `${rate}${atEdge ? "*" : ""}`,
    `${tried.length} from ${tried[0]!.rate} to ${tried.at(-1)!.rate}`,
    Number.isFinite(loss.mean) ? formatInterval(loss) : "diverged",
    behind === undefined || !Number.isFinite(behind.mean) ? "" : formatInterval(behind),
  ]);
  const head = ["optimizer", "rate", "tried", "held-out loss", "above the first"];
  const widths = head.map((title, at) => Math.max(...[head, ...rows].map((row) => row[at]!.length), title.length));
  const line = (row: readonly string[]) =>
    row
      .map((text, at) => text.padEnd(widths[at]!))
      .join("  ")
      .trimEnd();
  output.print(pc.bold(line(head)));
  for (const row of rows) output.print(line(row));
  output.print(
    `\n95 % intervals over seeds ${seeds[0]} to ${seeds.at(-1)}; every training ${steps} steps, ${formatCount(samples)} rows`,
  );
  output.print(
    `a rate is the best of those tried on seed ${tuningSeed}: about the default, and on while the best was an end`,
  );
  if (ranking.some(({ atEdge }) => atEdge)) output.print("* the last rate that was tried: there may be better ones");
  const equal = ranking.filter(({ behind }) => behind !== undefined && !(behind.mean - behind.half! > 0));
  if (equal.length > 0)
    output.print(`these seeds cannot tell ${equal.map(({ name }) => name).join(", ")} from the first`);
  output.print(
    `\ntry  npx athanor train ${shellWord(path)}${changesAgain(flags)} --set ${pc.bold(shellWord(ranking[0]!.change))}`,
  );
  return undefined;
}

const format = (rate: number): string => rate.toPrecision(3);

/** About twenty lines of the sweep: rate, smoothed loss, and a bar from the least to the greatest loss. */
function curve(points: readonly RangePoint[]): string[] {
  const shown = points.filter((_, at) => at % Math.ceil(points.length / 20) === 0 || at === points.length - 1);
  const start = points[0]?.smoothed ?? 1;
  const least = Math.min(...points.map(({ smoothed }) => smoothed));
  const top = Math.max(start, least) + (start - least || 1) / 4; // what diverged goes beyond the right end
  return shown.map(({ lr, smoothed }) => {
    const length = Math.round((50 * (Math.min(smoothed, top) - least)) / (top - least));
    return `${lr.toExponential(2).padStart(9)}  ${smoothed.toFixed(4).padStart(10)}  ${"█".repeat(length)}${smoothed > top ? "›" : ""}`;
  });
}

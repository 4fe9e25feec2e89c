// Batch sizes compared as they should be: the same initial values, the same samples in the same order, the loss on all held-out rows, over
// several seeds. Trains in memory; nothing is saved.
import { fail } from "../base/index.ts";
import { couplings, namedSizes } from "../optim/index.ts";
import { batchSizeOf, type Recipe } from "../recipe/index.ts";
import { ShortTraining } from "./short-training.ts";
import { type MeanInterval, meanInterval } from "./student.ts";

export interface BatchComparisonOptions {
  /** Rows of a step. Default 1, 10, 100, 1000. */
  readonly sizes?: readonly number[];
  /** Samples that each training sees; default what the recipe's steps see. */
  readonly samples?: number;
  /** Trainings of each size; default 3. */
  readonly seeds?: number;
  readonly onNote?: (text: string) => void;
}

export interface ComparedBatch {
  readonly size: number;
  /** Updates that its samples make. */
  readonly steps: number;
  /** Held-out losses after a quarter, a half, three quarters and all of the samples. */
  readonly losses: readonly MeanInterval[];
}

export interface BatchComparison {
  readonly samples: number;
  readonly seeds: readonly number[];
  /** From the smallest size on. */
  readonly compared: readonly ComparedBatch[];
}

/** Parts of the samples after which the losses are measured. */
export const comparedAfter = [0.25, 0.5, 0.75, 1] as const;

/**
 * Trains a recipe with each of the sizes on equally many samples, in one lane; rates follow the sizes by `batch.coupling`, from the
 * recipe's own. Errors with `config/sizes`, and as `prepare`: with `data/short-batch` where a size is above the rows of the data.
 */
export async function compareBatchSizes(
  recipe: Recipe,
  options: BatchComparisonOptions = {},
): Promise<BatchComparison> {
  const { sizes = [1, 10, 100, 1000], seeds: numSeeds = 3, onNote } = options;
  const size = batchSizeOf(recipe);
  const largest = Math.max(...sizes);
  const own = size === "all" ? largest : namedSizes(size)[0]!;
  const samples = options.samples ?? Math.floor((recipe.steps * own) / largest) * largest;
  requireSizes(sizes, samples, numSeeds);
  const seeds = Array.from({ length: numSeeds }, (_, at) => recipe.seed + at);
  const compared: ComparedBatch[] = [];
  // the largest first: where the data is too short for it, nothing has been trained yet
  for (const one of [...sizes].sort((a, b) => b - a)) {
    const factor = couplings[recipe.batch.coupling](one, own);
    const trained: number[][] = [];
    for (const seed of seeds) trained.push(await lossesOf({ ...recipe, seed }, one, samples, factor));
    const losses = comparedAfter.map((_, at) => intervalOf(trained.map((of) => of[at]!)));
    compared.unshift({ size: one, steps: samples / one, losses });
    onNote?.(`batches of ${one}: ${seeds.length} trainings of ${samples / one} steps`);
  }
  return { samples, seeds, compared };
}

/** Held-out losses of one training; infinite from a step on that was not finite. */
async function lossesOf(recipe: Recipe, size: number, samples: number, factor: number): Promise<number[]> {
  const steps = samples / size;
  const batch = { ...recipe.batch, size, tokens: undefined, lanes: 1, microbatch: undefined };
  const training = await ShortTraining.open({
    ...recipe,
    steps,
    batch,
    eval: { ...recipe.eval, batch: recipe.eval.batch ?? 64 },
  });
  const { learningRate, clockAt } = training.prepared;
  try {
    const losses: number[] = [];
    for (let step = 0; step < steps && losses.length < comparedAfter.length; ) {
      if (!Number.isFinite(await training.step(factor * learningRate(clockAt(step++))))) break;
      while (losses.length < comparedAfter.length && step >= comparedAfter[losses.length]! * steps)
        losses.push(await training.heldOutLoss());
    }
    return comparedAfter.map((_, at) => losses[at] ?? Number.POSITIVE_INFINITY);
  } finally {
    await training.close();
  }
}

/** Student's interval; of trainings of which one diverged there is none. */
const intervalOf = (losses: readonly number[]): MeanInterval =>
  losses.every(Number.isFinite) ? meanInterval(losses) : { mean: Number.POSITIVE_INFINITY, count: losses.length };

function requireSizes(sizes: readonly number[], samples: number, seeds: number): void {
  const isWhole = (value: number) => Number.isInteger(value) && value > 0;
  if (sizes.length > 0 && sizes.every((size) => isWhole(size) && samples % size === 0) && samples > 0 && seeds > 0)
    return;
  fail("config/sizes", "these batches cannot be compared on the same samples", {
    where: "sizes, samples, seeds",
    expected: "whole sizes that all divide the number of samples, and a seed or more",
    got: `sizes ${sizes.join(", ")}, ${samples} samples, ${seeds} seeds`,
    fix: "give more steps or samples, or sizes of which each divides the next",
  });
}

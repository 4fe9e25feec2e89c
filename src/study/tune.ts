// Choosing settings of a recipe by short trainings of its own: nothing is saved.
import { chooseEngine } from "../api/index.ts";
import { fail } from "../base/index.ts";
import { type NormPair, namedSizes } from "../optim/index.ts";
import { batchSizeOf, prepare, type Recipe } from "../recipe/index.ts";
import { StepPrograms } from "../train/index.ts";
import { type NoiseScale, noiseScale, requireTwoSizes } from "./noise-scale.ts";
import { type RangeTest, type RangeTestOptions, rangeTest, requireRange } from "./range-test.ts";
import { ShortTraining } from "./short-training.ts";

export interface TuneOptions extends RangeTestOptions {
  readonly onNote?: (text: string) => void;
}

export interface TunedRate extends RangeTest {
  /** The change of the recipe that takes the suggestion, as `--set` reads it. */
  readonly change: string;
}

/** The range test on a recipe's model, data and optimizer; its schedule is left out. Errors as `prepare` and `rangeTest`. */
export async function tuneLearningRate(recipe: Recipe, options: TuneOptions = {}): Promise<TunedRate> {
  requireRange(options); // before any data is read
  const training = await ShortTraining.open(recipe, options);
  try {
    const found = await rangeTest(training, options);
    return { ...found, change: `${rateKey(recipe)}=${Number(found.suggestion.toPrecision(2))}` };
  } finally {
    await training.close();
  }
}

export interface BatchTuneOptions {
  /** Steps of the recipe before the measurement, whose noise at the very start says little; default 100. */
  readonly after?: number;
  /** Batches that are measured; default 20. */
  readonly rounds?: number;
  readonly onNote?: (text: string) => void;
}

export interface TunedBatch extends NoiseScale {
  /** Steps that were trained before. */
  readonly after: number;
  readonly sizes: { readonly small: number; readonly large: number };
  /** Tokens (or rows, where there are none) in a row. */
  readonly itemsPerRow: number;
}

/**
 * The gradient noise scale of a recipe's model and data after some of its steps: batches of `batch.size` rows beside the quarters
 * or so that they are cut into. Errors with `tune/noise`, `tune/non-finite`, and as `prepare`.
 */
export async function tuneBatchSize(recipe: Recipe, options: BatchTuneOptions = {}): Promise<TunedBatch> {
  const { after = Math.min(100, recipe.steps), rounds = 20, onNote } = options;
  const { tokens } = recipe.batch;
  const size = batchSizeOf(recipe);
  if (tokens !== undefined)
    fail("config/unread", "the noise is measured between batches of so many rows", {
      where: "batch.tokens",
      expected: "batch.size",
      got: `batches of ${tokens} tokens`,
      fix: "set batch.size instead",
    });
  if (size !== "all") requireTwoSizes({ small: 1, large: Math.max(...namedSizes(size)) }, rounds); // before any data is read
  const { engine, note } = chooseEngine(recipe);
  if (note !== undefined) onNote?.(note);
  const { description, source, learningRate, clockAt, begin, close } = await prepare(recipe, options);
  try {
    const large = description.batchSize;
    const parts = [8, 7, 6, 5, 4, 3, 2].find((count) => large % count === 0) ?? large;
    const sizes = { small: large / parts, large };
    requireTwoSizes(sizes, rounds);
    const cut = { lanes: 1, microbatch: sizes.small, batchSizes: [large], measureNoise: true };
    const programs = new StepPrograms({ ...description, ...cut }, engine);
    programs.initialize();
    await begin?.(programs);
    const pairs: NormPair[] = [];
    for (let step = 0; step < after + rounds; step++) {
      const { rows, ...batch } = await source.next(large);
      const rate = step < after ? learningRate(clockAt(step)) : 0; // at a rate of 0 no weight moves
      const inputs = { step, clock: clockAt(step), learningRate: rate, batch, sampleIds: rows!.data as Int32Array };
      const { committed, gradNorm, noise } = await programs.step(inputs);
      if (!committed)
        fail("tune/non-finite", "a step was not finite", {
          where: `step ${step + 1}`,
          expected: "finite losses and gradients",
          got: `a gradient norm of ${gradNorm}`,
          fix: "lower the learning rate: npx athanor tune lr",
        });
      if (step >= after) pairs.push(noise!);
    }
    return { ...noiseScale(pairs, sizes), after, sizes, itemsPerRow: description.task.itemsPerRow };
  } finally {
    await close?.();
  }
}

/** Where a recipe's rate stands: a number, or a schedule's peak. A schedule without one gives way to a number. */
export function rateKey({ optimizer }: Recipe): string {
  const [name, settings] = Object.entries(optimizer).find(([, value]) => value !== undefined)!;
  const { lr } = settings!;
  const path = `optimizer.${name}.lr`;
  if (typeof lr === "number") return path;
  const peaked = Object.entries(lr).find(
    ([, schedule]) => typeof schedule === "object" && schedule !== null && "peak" in schedule,
  );
  return peaked === undefined ? path : `${path}.${peaked[0]}.peak`;
}

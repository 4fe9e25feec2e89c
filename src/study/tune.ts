// Choosing settings of a recipe by short trainings of its own: nothing is saved.
import { chooseEngine } from "../api/index.ts";
import { fail } from "../base/index.ts";
import { type Prepared, prepare, type Recipe } from "../recipe/index.ts";
import { rowsOf, StepPrograms } from "../train/index.ts";
import { type NoiseScale, type NormPair, noiseScale, requireTwoSizes } from "./noise-scale.ts";
import { type RangeTest, type RangeTestOptions, rangeTest } from "./range-test.ts";
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
  const { engine, note } = chooseEngine(recipe);
  if (note !== undefined) onNote?.(note);
  const { description, source, learningRate, clockAt, close } = await prepare(recipe, options);
  try {
    const large = description.batchSize;
    const parts = [8, 7, 6, 5, 4, 3, 2].find((count) => large % count === 0) ?? large;
    const sizes = { small: large / parts, large };
    requireTwoSizes(sizes, rounds);
    const programs = new StepPrograms(description, engine);
    programs.initialize();
    let step = 0;
    const squaredNorm = async (of: StepPrograms, start: number, size: number, rate: number, drawn: Drawn) => {
      const { rows, ...feeds } = Object.fromEntries(
        Object.entries(drawn).map(([name, array]) => [name, rowsOf(array, start, size)]),
      );
      const inputs = { step, learningRate: rate, batch: feeds, sampleIds: rows!.data as Int32Array };
      const { committed, gradNorm } = await of.step(inputs);
      if (!committed)
        fail("tune/non-finite", "a step was not finite", {
          where: `step ${step + 1}`,
          expected: "finite losses and gradients",
          got: `a gradient norm of ${gradNorm}`,
          fix: "lower the learning rate: npx athanor tune lr",
        });
      return gradNorm ** 2;
    };
    for (; step < after; step++)
      await squaredNorm(programs, 0, large, learningRate(clockAt(step)), await source.next());
    const smaller = new StepPrograms({ ...description, batchSize: sizes.small, lanes: 1 }, engine);
    for (const name of programs.stateNames()) smaller.store.write(name, programs.store.read(name));
    const pairs: NormPair[] = [];
    for (let round = 0; round < rounds; round++, step++) {
      const drawn = await source.next();
      const ofLarge = await squaredNorm(programs, 0, large, 0, drawn); // at a rate of 0 no weight moves
      let sum = 0;
      for (let part = 0; part < parts; part++)
        sum += await squaredNorm(smaller, part * sizes.small, sizes.small, 0, drawn);
      pairs.push({ large: ofLarge, small: sum / parts });
    }
    return { ...noiseScale(pairs, sizes), after, sizes, itemsPerRow: description.task.itemsPerRow };
  } finally {
    await close?.();
  }
}

type Drawn = Awaited<ReturnType<Prepared["source"]["next"]>>;

/** Where a recipe's rate stands: a number, or a schedule's peak. A schedule without one gives way to a number. */
function rateKey({ optimizer }: Recipe): string {
  const [name, settings] = Object.entries(optimizer).find(([, value]) => value !== undefined)!;
  const { lr } = settings!;
  const path = `optimizer.${name}.lr`;
  if (typeof lr === "number") return path;
  const peaked = Object.entries(lr).find(
    ([, schedule]) => typeof schedule === "object" && schedule !== null && "peak" in schedule,
  );
  return peaked === undefined ? path : `${path}.${peaked[0]}.peak`;
}

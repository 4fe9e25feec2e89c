// Datasets as what the Trainer and the evaluation loop read: endless batches with a saved state, and all rows once.
import { type Clock, type FloatDType, fail, fromNumbers, type HostArray } from "../base/index.ts";
import {
  type Batch,
  type BatchShape,
  type Dataset,
  type DatasetOfLengths,
  evaluationBatches,
  LengthBatches,
  Loader,
  type LoaderState,
  type SampleOrder,
} from "../data/index.ts";
import { type BatchSizeConfig, type BatchSizes, createBatchSizes, namedSizes } from "../optim/index.ts";
import { type BatchSource, rowsPerLane } from "../train/index.ts";
import { type Recipe, usualSize } from "./schema.ts";

export interface SourceOptions {
  readonly order: SampleOrder;
  /** Rows of one pass, where that is not the dataset's length. */
  readonly samplesPerEpoch?: number;
}

/** Training batches of a recipe, and their sizes. Errors with `data/short-batch` when the data has fewer rows than one of them. */
export function trainingSource<B extends Batch>(
  dataset: Dataset<B>,
  recipe: Recipe,
  options: SourceOptions,
): { readonly source: BatchSource; readonly batches: Batches } {
  if (recipe.batch.tokens !== undefined && "lengthsOf" in dataset)
    return sourceByTokens(dataset as DatasetOfLengths, recipe, recipe.batch.tokens);
  const { samplesPerEpoch = dataset.length } = options;
  const { onShort } = recipe.data;
  const named = batchSizeOf(recipe);
  const isWhole = named === "all";
  const size = isWhole ? dataset.length : named;
  const order = isWhole ? "sequential" : options.order; // sums in one order, whatever the seed
  const largest = Math.max(...namedSizes(size));
  // refuses or cuts what the data is too short for
  const loader = new Loader(dataset, { batchSize: largest, order, seed: recipe.seed, onShort });
  return {
    batches: batchesOf(size, recipe, loader.batchSize),
    source: {
      samplesPerEpoch,
      next: (rows, ahead) => loader.next(rows, ahead),
      state: () => loader.state(),
      restore: (state) => loader.restore(state as LoaderState),
    },
  };
}

/** Training batches of so many tokens: rows of similar length, padded to one of a few. */
function sourceByTokens(
  dataset: DatasetOfLengths,
  { seed, batch: { lengths, lanes } }: Recipe,
  tokens: number,
): { readonly source: BatchSource; readonly batches: Batches } {
  const batches = new LengthBatches(dataset, { tokens, lengths, multipleOf: lanes, seed });
  const { shapes, length, padding } = batches;
  const loader = new Loader(batches, { batchSize: 1, order: "shuffled", sampler: batches, seed });
  const itemsPerRow = (shape: BatchShape) => shape.lengths.targets ?? 1;
  const next = () => batches.batchAt(loader.state().nextSample);
  const clockAt = (step: number): Clock => {
    const { samples, sum } = batches.before(step, itemsPerRow);
    return { step, samples, tokens: sum, epoch: samples / length };
  };
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const described = shapes.map(({ rows, lengths }) => `${rows} × ${[...new Set(Object.values(lengths))].join("+")}`);
  const sizes: BatchSizes = {
    sizes: [...new Set(shapes.map(({ rows }) => rows))].sort((a, b) => a - b),
    unit: "steps",
    at: ({ step }) => batches.batchAt(clockAt(step).samples).rows,
    describe: () => `up to ${tokens} tokens: ${described.join(", ")}`,
    boundaries: () => [],
  };
  return {
    batches: {
      ...{ sizes, shapes, clockAt, microbatch: shapes[0]!.rows / lanes },
      note: `batches of ${sizes.describe()}; ${percent(padding.batched)} of them padding, instead of ${percent(padding.whole)}`,
    },
    source: {
      samplesPerEpoch: length,
      upcoming: () => ({ rows: next().rows, itemsPerRow: itemsPerRow(next().shape) }),
      next: async () => {
        const { rows: count, shape } = next();
        const first = loader.state().nextSample;
        const after = batches.batchAt(first + count).rows;
        const { rows, ...batch } = await loader.next(count, [after, batches.batchAt(first + count + after).rows]);
        const ids = Int32Array.from({ length: shape.rows }, (_, at) => first + at);
        return { ...batch, rows: { ...rows, shape: [shape.rows], data: ids } };
      },
      state: () => loader.state(),
      restore: (state) => {
        loader.restore(state as LoaderState);
        next(); // refuses where no batch begins
      },
    },
  };
}

/** How batches are cut. */
export interface Batches {
  readonly sizes: BatchSizes;
  readonly microbatch: number;
  /** Of batches by tokens: what they may be, the clock before each step, and a line about them. */
  readonly shapes?: readonly BatchShape[];
  readonly clockAt?: (step: number) => Clock;
  readonly note?: string;
}

/** Sizes of a recipe's batches, none above `most` rows. Errors with `config/lanes`, `config/microbatch`. */
export function batchesOf(
  size: BatchSizeConfig,
  { batch: { lanes, microbatch: given } }: Recipe,
  most: number,
): Batches {
  const smallest = Math.min(most, ...namedSizes(size));
  const lane = rowsPerLane(smallest, lanes);
  const isMeasured = typeof size === "object" && size.adaptive !== undefined;
  // the noise of a gradient shows between two microbatches
  const own = isMeasured && lanes === 1 ? Math.max(1, Math.floor(lane / 2)) : lane;
  const microbatch = given !== undefined && given * lanes <= most ? given : own;
  if (isMeasured && smallest < 2 * microbatch) {
    fail("config/microbatch", "an adaptive batch is measured between microbatches, and its smallest has but one", {
      where: "batch.size.adaptive.from",
      expected: `two microbatches of ${microbatch} rows or more`,
      got: String(smallest),
      fix: "raise from, or lower batch.microbatch",
    });
  }
  return { microbatch, sizes: createBatchSizes(size, { multipleOf: lanes * microbatch, most }) };
}

/** Rows of a step; the usual number where they are counted in tokens. */
export const batchSizeOf = ({ batch: { size = usualSize } }: Recipe): "all" | BatchSizeConfig => size;

/** Rows of an evaluation batch. */
export function evaluationRows(recipe: Recipe): number {
  const size = batchSizeOf(recipe);
  return recipe.eval.batch ?? (size === "all" ? 256 : Math.min(...namedSizes(size)));
}

/** Every held-out row once. Padding rows have targets that no loss counts: −1, or NaN for numbers. */
export async function* heldOutBatches<B extends Batch>(dataset: Dataset<B>, batchSize: number): AsyncGenerator<Batch> {
  for await (const { batch, count } of evaluationBatches(dataset, batchSize)) {
    const { rows: _, ...feeds } = batch as Batch;
    const targets = feeds.targets;
    if (targets?.dtype === "f32" || targets?.dtype === "f64") (targets.data as Float32Array).fill(Number.NaN, count);
    yield feeds;
  }
}

/** The same data with its floats in the dtype of the run. */
export function withFloats<B extends Batch>(dataset: Dataset<B>, dtype: FloatDType): Dataset<Batch> {
  if (dtype === "f32") return dataset;
  const { unit, length, fingerprint } = dataset;
  const convert = (array: HostArray) =>
    array.dtype === "f32" ? fromNumbers(dtype, array.shape, array.data as Float32Array) : array;
  return {
    unit,
    length,
    fingerprint,
    collate: async (positions) =>
      Object.fromEntries(Object.entries(await dataset.collate(positions)).map(([name, one]) => [name, convert(one)])),
  };
}

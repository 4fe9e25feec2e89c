// Datasets as what the Trainer and the evaluation loop read: endless batches with a saved state, and all rows once.
import { type FloatDType, fromNumbers, type HostArray } from "../base/index.ts";
import {
  type Batch,
  type Dataset,
  evaluationBatches,
  Loader,
  type LoaderState,
  type SampleOrder,
} from "../data/index.ts";
import type { BatchSource } from "../train/index.ts";
import type { Recipe } from "./schema.ts";

export interface SourceOptions {
  readonly order: SampleOrder;
  /** Rows of one pass, where that is not the dataset's length. */
  readonly samplesPerEpoch?: number;
}

/** Training batches of a recipe. Errors with `data/short-batch` when the data has fewer rows than a batch. */
export function trainingSource<B extends Batch>(
  dataset: Dataset<B>,
  recipe: Recipe,
  options: SourceOptions,
): BatchSource {
  const loader = new Loader(dataset, {
    batchSize: recipe.batch.size,
    order: options.order,
    seed: recipe.seed,
    onShort: recipe.data.onShort,
  });
  return {
    batchSize: loader.batchSize,
    samplesPerEpoch: options.samplesPerEpoch ?? dataset.length,
    next: () => loader.next(),
    state: () => loader.state(),
    restore: (state) => loader.restore(state as LoaderState),
  };
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

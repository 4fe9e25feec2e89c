// Several datasets drawn from by weights that may change over a run. Which of them sample n comes from, and which row, are functions of (seed,
// n) alone: nothing is to be saved beside n.
import { createHash } from "node:crypto";
import { allocate, fail, RandomStream, sizeOf } from "../base/index.ts";
import type { Batch, Dataset } from "./batch.ts";
import { makeSampler, type SampleOrder, type Sampler } from "./sampler.ts";

export interface MixedSource<B extends Batch> {
  readonly dataset: Dataset<B>;
  /** How its rows are drawn: `shuffled` gives each once before any comes again. */
  readonly order: SampleOrder;
  /** Its share of the draws, beside the other sources' weights, at global sample `n`. */
  readonly weightAt: (sample: number) => number;
}

/** Draws between two counts that are kept. */
const stride = 4096;

/** Rows by global sample id: for a `Loader` of the order `sequential`, which counts from 0 on without end. */
export class Mixture<B extends Batch> implements Dataset<B> {
  readonly unit = "row";
  readonly length = Number.MAX_SAFE_INTEGER;
  readonly fingerprint: string;
  private readonly sources: readonly MixedSource<B>[];
  private readonly samplers: readonly Sampler[];
  private readonly choice: RandomStream;
  /** How often each source was drawn before sample `stride`·i. */
  private readonly marks: number[][];
  /** The same before sample `at`. */
  private counts: number[];
  private at = 0;

  /** Errors with `data/empty` where a source has no row. */
  constructor(sources: readonly MixedSource<B>[], seed: number) {
    if (sources.some(({ dataset }) => dataset.length === 0))
      fail("data/empty", "a source of the mixture has no rows", { expected: "at least one row each", got: "none" });
    this.sources = sources;
    this.samplers = sources.map(({ dataset, order }) => makeSampler(order, dataset.length, seed));
    this.choice = new RandomStream(seed, "data/mixture");
    this.counts = sources.map(() => 0);
    this.marks = [[...this.counts]];
    this.fingerprint = createHash("sha256")
      .update(sources.map(({ dataset, order }) => `${dataset.fingerprint} ${dataset.length} ${order}`).join("\n"))
      .digest("hex")
      .slice(0, 16);
  }

  /** Which source sample `n` comes from. */
  sourceOf(sample: number): number {
    const weights = this.sources.map(({ weightAt }) => weightAt(sample));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    let left = this.choice.uniform(sample % 2 ** 32, Math.floor(sample / 2 ** 32)) * total;
    const chosen = weights.findIndex((weight) => {
      left -= weight;
      return left < 0;
    });
    return chosen < 0 ? weights.findLastIndex((weight) => weight > 0) : chosen;
  }

  collate(samples: readonly number[]): Promise<B> {
    return collateFrom(
      this.sources.map(({ dataset }) => dataset),
      samples.map((sample) => this.draw(sample)),
    );
  }

  /** The source of a sample and the row in it: draws before it are counted on from the last sample, or from the nearest kept count. */
  private draw(sample: number): Place {
    const { marks } = this;
    const mark = Math.floor(sample / stride);
    if (!(this.at <= sample && sample - this.at < stride)) {
      const from = Math.min(mark, marks.length - 1);
      [this.at, this.counts] = [from * stride, [...marks[from]]];
    }
    while (this.at < sample) {
      this.counts[this.sourceOf(this.at++)]++;
      if (this.at === marks.length * stride) marks.push([...this.counts]);
    }
    const source = this.sourceOf(sample);
    return { source, row: this.samplers[source].at(this.counts[source]), sample };
  }
}

/** The rows of several datasets, one dataset after the other. */
export function concatenated<B extends Batch>(datasets: readonly Dataset<B>[]): Dataset<B> {
  const starts = [0];
  for (const { length } of datasets) starts.push(starts.at(-1)! + length);
  return {
    unit: datasets[0].unit,
    length: starts.at(-1)!,
    fingerprint: datasets.map(({ fingerprint }) => fingerprint).join("+"),
    collate: (positions) =>
      collateFrom(
        datasets,
        positions.map((position) => {
          const source = starts.findLastIndex((start) => start <= position);
          const row = position - starts[source];
          return { source, row, sample: row };
        }),
      ),
  };
}

interface Place {
  readonly source: number;
  readonly row: number;
  /** Its number among all draws, for rows that differ each time. */
  readonly sample: number;
}

/** Rows of several datasets as one batch, in the order given. */
async function collateFrom<B extends Batch>(datasets: readonly Dataset<B>[], places: readonly Place[]): Promise<B> {
  let batch: Batch = {};
  for (const [at, dataset] of datasets.entries()) {
    const rows = places.flatMap(({ source }, row) => (source === at ? [row] : []));
    if (rows.length === 0) continue;
    const [positions, samples] = (["row", "sample"] as const).map((key) => rows.map((row) => places[row][key]));
    const part: Batch = await dataset.collate(positions, samples);
    if (Object.keys(batch).length === 0) batch = emptyLike(part, places.length);
    for (const [name, { data }] of Object.entries(part)) {
      const width = data.length / rows.length;
      const into = batch[name].data as Int32Array; // of one type with what it takes
      rows.forEach((row, from) => into.set(data.subarray(from * width, (from + 1) * width) as Int32Array, row * width));
    }
  }
  return batch as B;
}

function emptyLike(batch: Batch, rows: number): Batch {
  return Object.fromEntries(
    Object.entries(batch).map(
      ([
        name,
        {
          dtype,
          shape: [, ...row],
        },
      ]) => [name, { dtype, shape: [rows, ...row], data: allocate(dtype, rows * sizeOf(row)) }],
    ),
  );
}

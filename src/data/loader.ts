// Batches from a dataset, in an order that can be stopped and resumed exactly, made ahead of the step that wants them.
// Knows no epochs of its own, no lanes, no processes: a batch is some consecutive samples of the sampler's sequence.
import { setImmediate } from "node:timers/promises";
import { fail, type HostArray } from "../base/index.ts";
import { type Batch, type Dataset, sliceBatch } from "./batch.ts";
import { makeSampler, type SampleOrder, type Sampler } from "./sampler.ts";

export interface LoaderOptions {
  /** Rows of one optimizer step, over all lanes and processes, where `next` names no others. */
  readonly batchSize: number;
  readonly order: SampleOrder;
  readonly seed: number;
  /** Rows in an order of their own, in place of `order`'s. */
  readonly sampler?: Sampler;
  /** When the data has fewer rows than a batch: refuse (default), make the batch smaller, or repeat rows. */
  readonly onShort?: "error" | "truncate" | "wrap";
  /** Batches made ahead. Default 2. */
  readonly prefetch?: number;
  /** The rows of `batchSize` that this process needs, of other batches as large a share. Default all. */
  readonly share?: { readonly start: number; readonly end: number };
}

/** Where a loader stands. Plain JSON; the same whatever was prefetched. */
export interface LoaderState {
  readonly version: 1;
  /** Global id of the next sample. */
  readonly nextSample: number;
  readonly order: SampleOrder;
  readonly seed: number;
  /** Rows of the dataset and its fingerprint: resuming on other data is refused. */
  readonly length: number;
  readonly fingerprint: string;
}

/** A batch that is being made. */
interface Pending<B extends Batch> {
  readonly rows: number;
  readonly batch: Promise<LoadedBatch<B>>;
}

/** A batch with `rows` i32 [B], the global sample ids (modulo 2^32) that key the randomness of each row. */
export type LoadedBatch<B extends Batch> = B & { rows: HostArray };

/**
 * An endless stream of batches.
 *
 * ```ts run
 * const { train } = await prepareTable({ csv: "x,y\n1,a\n2,b\n3,a\n4,b\n" }, { validation: 0 });
 * const loader = new Loader(train, { batchSize: 2, order: "shuffled", seed: 1 });
 * const { features, targets, rows } = await loader.next();
 * loader.restore(JSON.parse(JSON.stringify(loader.state()))); // goes on with the next batch
 * ```
 */
export class Loader<B extends Batch> implements AsyncIterable<LoadedBatch<B>> {
  /** Rows of a batch: less than asked for when `onShort` is `truncate` and the data is short. */
  readonly batchSize: number;
  private readonly dataset: Dataset<B>;
  private readonly sampler: Sampler;
  private readonly options: LoaderOptions;
  private readonly prefetch: number;
  private queue: Pending<B>[] = [];
  private nextSample = 0;
  private closed = false;

  /** Errors: `data/short-batch` with the row count, `data/batch-size`, `data/empty`. */
  constructor(dataset: Dataset<B>, options: LoaderOptions) {
    const { batchSize, order, seed, prefetch = 2, share } = options;
    const onShort = order === "random" ? "wrap" : options.onShort;
    this.batchSize = rowsOfBatch(dataset.length, { batchSize, onShort, unit: dataset.unit });
    if (share && !(share.start >= 0 && share.start < share.end && share.end <= this.batchSize))
      fail("data/share", "the share of the batch is out of range", {
        expected: `0 to ${this.batchSize}`,
        got: `${share.start} to ${share.end}`,
      });
    this.dataset = dataset;
    this.options = options;
    this.prefetch = Math.max(1, prefetch);
    this.sampler = options.sampler ?? makeSampler(order, dataset.length, seed);
  }

  /**
   * The next batch, and `ahead` the rows of those after it, as far as they are known: they are made meanwhile. What went wrong in the
   * background is thrown here. Errors with `data/share` when the share of so many rows is not whole.
   */
  async next(rows = this.batchSize, ahead: readonly number[] = [rows]): Promise<LoadedBatch<B>> {
    if (this.closed) fail("data/closed", "the loader was closed");
    this.fill([rows, ...ahead]);
    const { batch } = this.queue.shift()!;
    const first = this.nextSample;
    this.nextSample += rows;
    this.fill(ahead.length > 0 ? ahead : [rows]);
    try {
      return await batch;
    } catch (error) {
      this.nextSample = first; // the batch was not handed out: asking again asks for it
      this.queue = [];
      throw error;
    }
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<LoadedBatch<B>, never> {
    for (;;) yield await this.next();
  }

  /** Epochs consumed, with fraction. */
  get epoch(): number {
    return this.nextSample / this.dataset.length;
  }

  /** Where the loader stands after the batches that `next` has been asked for. */
  state(): LoaderState {
    const { nextSample, dataset } = this;
    const { order, seed } = this.options;
    return { version: 1, nextSample, order, seed, length: dataset.length, fingerprint: dataset.fingerprint };
  }

  /** Continues where `state` was taken, in constant time. Errors with `data/loader-state` on other data, order or seed. */
  restore(state: LoaderState): void {
    const own = this.state();
    const faults = (["version", "order", "seed", "length", "fingerprint"] as const)
      .filter((key) => state?.[key] !== own[key])
      .map((key) => `${key} ${own[key]} here, ${state?.[key]} in the saved state`);
    const { nextSample } = state ?? {};
    if (!Number.isSafeInteger(nextSample) || nextSample < 0) faults.push(`nextSample ${nextSample}`);
    if (faults.length > 0) {
      fail("data/loader-state", "the saved state belongs to another order of data", {
        got: faults.join("\n"),
        fix: "resume with the same data, seed and order, or start the data anew",
      });
    }
    this.nextSample = nextSample;
    this.queue = [];
  }

  /** Makes no more batches. */
  close(): void {
    this.closed = true;
    this.queue = [];
  }

  /** Makes batches of these rows, the last number again and again; those queued are kept as far as they are these. */
  private fill(wanted: readonly number[]): void {
    const rowsOf = (at: number) => wanted[Math.min(at, wanted.length - 1)]!;
    const other = this.queue.findIndex(({ rows }, at) => rows !== rowsOf(at));
    if (other >= 0) this.queue.length = other;
    let first = this.nextSample + this.queue.reduce((sum, { rows }) => sum + rows, 0);
    while (this.queue.length < this.prefetch) {
      const rows = rowsOf(this.queue.length);
      const batch = this.make(first, rows);
      batch.catch(() => undefined); // told where it is awaited
      this.queue.push({ rows, batch });
      first += rows;
    }
  }

  private async make(firstSample: number, rows: number): Promise<LoadedBatch<B>> {
    await setImmediate(); // off the path of whoever takes the batch before
    const { start, end } = this.shareOf(rows);
    const [first, count] = [firstSample + start, end - start];
    const samples = Array.from({ length: count }, (_, at) => first + at);
    const batch = await this.dataset.collate(this.sampler.range(first, count), samples);
    const ids = new Int32Array(count);
    for (let i = 0; i < count; i++) ids[i] = first + i; // modulo 2^32
    return { ...batch, rows: { dtype: "i32", shape: [count], data: ids } };
  }

  private shareOf(rows: number): { start: number; end: number } {
    const { share } = this.options;
    if (share === undefined) return { start: 0, end: rows };
    const [start, end] = [share.start, share.end].map((at) => (at * rows) / this.batchSize) as [number, number];
    if (!Number.isInteger(start) || !Number.isInteger(end))
      fail("data/share", "the share of the batch is not a number of rows", {
        expected: `${share.start} to ${share.end} of ${this.batchSize} rows, or as large a share of a multiple`,
        got: `${rows} rows`,
      });
    return { start, end };
  }
}

/**
 * The rows of a batch from data of `length` rows. Errors with `data/short-batch` when these are fewer and nothing says what to do
 * then, with `data/batch-size` and `data/empty`.
 */
export function rowsOfBatch(
  length: number,
  options: {
    readonly batchSize: number;
    readonly onShort?: LoaderOptions["onShort"] | undefined;
    readonly unit?: string;
  },
): number {
  const { batchSize, onShort = "error", unit = "row" } = options;
  if (!Number.isInteger(batchSize) || batchSize < 1)
    fail("data/batch-size", "a batch holds at least one row", {
      expected: "a positive integer",
      got: String(batchSize),
    });
  if (length < 1) fail("data/empty", `there is no ${unit} to draw`);
  if (length < batchSize && onShort === "error") {
    fail("data/short-batch", "the batch is larger than the data", {
      expected: `at least ${batchSize} ${unit}s`,
      got: `${length}`,
      fix: `set batch.size to ${length} or less, or data.onShort to truncate or wrap`,
    });
  }
  return onShort === "truncate" ? Math.min(length, batchSize) : batchSize;
}

/** What `evaluationBatches` yields: the first `count` rows are data, the others padding. */
export interface EvaluationBatch<B extends Batch> {
  readonly batch: LoadedBatch<B>;
  readonly count: number;
}

/** The target that a loss ignores: padding in evaluation. */
export const ignoreIndex = -1;

/**
 * Every row once, in order, in batches of one shape: the last is padded with repeated rows whose integer `targets` are
 * `ignoreIndex` (targets that are floats stay: weigh by `count`).
 */
export async function* evaluationBatches<B extends Batch>(
  dataset: Dataset<B>,
  batchSize: number,
): AsyncGenerator<EvaluationBatch<B>> {
  for (let start = 0; start < dataset.length; start += batchSize) {
    const count = Math.min(batchSize, dataset.length - start);
    const positions = Array.from({ length: batchSize }, (_, i) => start + Math.min(i, count - 1));
    const batch = await dataset.collate(positions);
    if (count < batchSize && batch.targets?.dtype === "i32")
      sliceBatch({ targets: batch.targets }, count, batchSize).targets.data.fill(ignoreIndex as never);
    yield { batch: { ...batch, rows: { dtype: "i32", shape: [batchSize], data: Int32Array.from(positions) } }, count };
  }
}

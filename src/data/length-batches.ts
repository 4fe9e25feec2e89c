// Batches of rows of similar length: as many as a budget of tokens holds, padded to one of a few lengths. Every row comes once an epoch, and
// which rows share a batch follows from the seed and the epoch alone.
import { allocate, fail, type HostArray, sizeOf } from "../base/index.ts";
import type { Batch, Dataset } from "./batch.ts";
import { ignoreIndex } from "./loader.ts";
import { choosePaddedLengths, fits, type Lengths, widthOf } from "./padded-lengths.ts";
import { Permutation } from "./permutation.ts";
import type { Sampler } from "./sampler.ts";

/** Rows that know how long they are before they are padded, by feed. */
export interface DatasetOfLengths<B extends Batch = Batch> extends Dataset<B> {
  lengthsOf(position: number): Lengths;
}

/** So many rows, padded to these lengths. */
export interface BatchShape {
  readonly rows: number;
  readonly lengths: Lengths;
  /** Batches of an epoch that have it. */
  readonly batches: number;
}

/** A batch of an epoch: where it begins in it, and its rows, which may be fewer than its shape has. */
export interface PlannedBatch {
  readonly first: number;
  readonly rows: number;
  readonly shape: BatchShape;
}

export interface LengthBatchOptions {
  /** Tokens of a batch at most, padding counted, of all that is read; targets take no room of their own. */
  readonly tokens: number;
  /** Padded lengths at most. */
  readonly lengths: number;
  /** What the rows of every batch are a multiple of. Default 1. */
  readonly multipleOf?: number;
  readonly seed: number;
}

/** The batches as a dataset, and the order of their rows: a `Loader` takes both. */
export class LengthBatches implements Dataset, Sampler {
  readonly unit: string;
  readonly length: number;
  readonly fingerprint: string;
  /** The longest first. */
  readonly shapes: readonly BatchShape[];
  readonly batchesPerEpoch: number;
  /** Shares of an epoch's tokens that are padding: as batched here, and with every row as long as the longest. */
  readonly padding: { readonly batched: number; readonly whole: number };
  private readonly dataset: DatasetOfLengths;
  /** Of each row, by its place in `shapes`. */
  private readonly shapeOf: Uint16Array;
  /** Where rows that lie shape by shape are cut: the same in every epoch. */
  private readonly cuts: readonly PlannedBatch[];
  /** Of an epoch: its order of cuts, its batches in that order, and their rows. */
  private readonly orderOf: (epoch: number) => readonly number[];
  private readonly batchesOf: (epoch: number) => readonly PlannedBatch[];
  private readonly rowsOf: (epoch: number) => readonly number[];

  /** Errors with `data/batch-tokens` where the longest row finds no room, and with `data/empty`. */
  constructor(dataset: DatasetOfLengths, options: LengthBatchOptions) {
    const { tokens, lengths, multipleOf = 1, seed } = options;
    const { length, unit, fingerprint } = dataset;
    if (length === 0) fail("data/empty", `there is no ${unit} to draw`);
    this.dataset = dataset;
    this.unit = unit;
    this.length = length;
    this.fingerprint = `${fingerprint}/${tokens} tokens/${lengths} lengths/${multipleOf}`;
    const rows = Array.from({ length }, (_, at) => dataset.lengthsOf(at));
    const padded = choosePaddedLengths(rows, lengths).reverse();
    const longest = widthOf(padded[0]!);
    if (tokens < longest * multipleOf)
      fail("data/batch-tokens", `a batch has no room for the longest ${unit}`, {
        where: "batch.tokens",
        expected: `at least ${longest * multipleOf}: ${multipleOf} of ${longest} tokens`,
        got: String(tokens),
        fix: "raise batch.tokens, lower batch.lanes, or shorten the model's context",
      });
    const wholes = (count: number) => count * multipleOf;
    const most = wholes(Math.ceil(length / multipleOf));
    const rowsOfShape = padded.map((one) => Math.min(most, wholes(Math.floor(tokens / widthOf(one) / multipleOf))));
    this.shapeOf = Uint16Array.from(rows, (row) => padded.findLastIndex((one) => fits(row, one)));
    const sorted = this.shapeOf.toSorted();
    const cuts: { first: number; rows: number; shape: number }[] = [];
    for (let first = 0; first < length; first += cuts.at(-1)!.rows) {
      const shape = sorted[first]!;
      cuts.push({ first, rows: Math.min(rowsOfShape[shape]!, length - first), shape });
    }
    this.shapes = padded.map((lengths, at) => ({
      rows: rowsOfShape[at]!,
      lengths,
      batches: cuts.filter(({ shape }) => shape === at).length,
    }));
    this.cuts = cuts.map((cut) => ({ ...cut, shape: this.shapes[cut.shape]! }));
    this.batchesPerEpoch = cuts.length;
    const own = rows.reduce((sum, row) => sum + widthOf(row), 0);
    const taken = this.shapes.reduce((sum, one) => sum + one.batches * one.rows * widthOf(one.lengths), 0);
    this.padding = { batched: 1 - own / taken, whole: 1 - own / (length * longest) };
    const permute = (size: number, name: string, epoch: number) =>
      new Permutation(size, { seed, name, epoch }).range(0, size);
    this.orderOf = lastKept((epoch) => permute(cuts.length, "data/batches", epoch));
    this.batchesOf = lastKept((epoch) => {
      let next = 0;
      return this.orderOf(epoch).map((at) => {
        const first = next;
        next += this.cuts[at]!.rows;
        return { ...this.cuts[at]!, first };
      });
    });
    this.rowsOf = lastKept((epoch) => {
      const drawn = permute(length, "data/shuffled", epoch);
      const lying = this.shapes.flatMap((_, shape) => drawn.filter((row) => this.shapeOf[row] === shape));
      return this.orderOf(epoch).flatMap((at) => {
        const { first, rows } = this.cuts[at]!;
        return lying.slice(first, first + rows);
      });
    });
  }

  /** The batch whose first sample this is. Errors with `data/loader-state` where none begins. */
  batchAt(sample: number): PlannedBatch {
    const place = sample % this.length;
    const batch = this.batchesOf(Math.floor(sample / this.length)).find(({ first }) => first === place);
    return (
      batch ??
      fail("data/loader-state", "the saved state belongs to other batches", {
        expected: "the first sample of a batch",
        got: `sample ${sample}`,
        fix: "resume with the same batch.tokens, or start the data anew",
      })
    );
  }

  /** Samples of the first `count` batches, and their sum of something that each row of a shape has so much of. */
  before(count: number, ofRow: (shape: BatchShape) => number): { readonly samples: number; readonly sum: number } {
    const sumOf = (batches: readonly PlannedBatch[]) =>
      batches.reduce((sum, { rows, shape }) => sum + rows * ofRow(shape), 0);
    const [epoch, at] = [Math.floor(count / this.batchesPerEpoch), count % this.batchesPerEpoch];
    const batches = this.batchesOf(epoch);
    return {
      samples: epoch * this.length + batches[at]!.first,
      sum: epoch * sumOf(this.cuts) + sumOf(batches.slice(0, at)),
    };
  }

  at(sample: number): number {
    return this.rowsOf(Math.floor(sample / this.length))[sample % this.length]!;
  }

  range(first: number, count: number): number[] {
    return Array.from({ length: count }, (_, at) => this.at(first + at));
  }

  /** The rows of a batch in its shape. Where they are fewer, the last one stands there again, with targets that count for nothing. */
  async collate(positions: readonly number[], samples: readonly number[] = positions): Promise<Batch> {
    const { rows, lengths } = this.batchAt(samples[0]!).shape;
    const batch = await this.dataset.collate(positions, samples);
    const shaped = Object.entries(batch).map(([name, array]) => [name, reshaped(array, rows, lengths[name])] as const);
    const fed: Batch = Object.fromEntries(shaped);
    const { dtype, data } = fed.targets!;
    const counted = (positions.length / rows) * data.length;
    (data as Int32Array).fill(dtype === "i32" ? ignoreIndex : Number.NaN, counted);
    return fed;
  }
}

/** `rows` rows of an array, the last one again where it has fewer; of each the first `width` numbers, left out all. */
function reshaped({ dtype, shape: [count, ...row], data }: HostArray, rows: number, width?: number): HostArray {
  const own = sizeOf(row);
  const kept = width ?? own;
  const result = allocate(dtype, rows * kept) as Int32Array;
  for (let at = 0; at < rows; at++) {
    const start = Math.min(at, count! - 1) * own;
    result.set((data as Int32Array).subarray(start, start + kept), at * kept);
  }
  return { dtype, shape: [rows, ...(width === undefined ? row : [width])], data: result };
}

/** A function that remembers its last answer. */
function lastKept<T>(make: (at: number) => T): (at: number) => T {
  let last: { readonly at: number; readonly value: T } | undefined;
  return (at) => {
    if (last?.at !== at) last = { at, value: make(at) };
    return last.value;
  };
}

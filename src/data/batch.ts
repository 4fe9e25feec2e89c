// What training consumes: batches of host arrays, and datasets that make them from row positions. No order, no state.
import { type HostArray, sizeOf } from "../base/index.ts";

/** Named arrays whose first dimension is the batch's rows. */
export type Batch = Record<string, HostArray>;

/** Rows that can be fetched by position, in any order. */
export interface Dataset<B extends Batch = Batch> {
  /** Number of rows (positions run from 0 to length - 1). */
  readonly length: number;
  /** What a row is called in messages: `row`, `window`, `text`. */
  readonly unit: string;
  /** Changes when the data or their order change: kept in a loader's state. */
  readonly fingerprint: string;
  /**
   * The batch of the rows at `positions`, in that order. `samples` are the numbers under which they were drawn, for what is
   * drawn anew each time; left out, the positions.
   */
  collate(positions: readonly number[], samples?: readonly number[]): B | Promise<B>;
}

/** Views (no copies) of rows `start` to `end` of every array: a microbatch or a process's share. */
export function sliceBatch<B extends Batch>(batch: B, start: number, end: number): B {
  const slices: Batch = {};
  for (const [name, { dtype, shape, data }] of Object.entries(batch)) {
    const rowSize = sizeOf(shape.slice(1));
    slices[name] = {
      dtype,
      shape: [end - start, ...shape.slice(1)],
      data: data.subarray(start * rowSize, end * rowSize),
    };
  }
  return slices as B;
}

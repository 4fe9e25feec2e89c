// Windows of context + 1 tokens from a token array: random ones for training, one after the other for evaluation.
import { RandomStream } from "../base/index.ts";
import { Permutation, type TableDataset } from "../data/index.ts";
import type { Batch, BatchSource } from "../train/index.ts";

export function randomWindows(tokens: Int32Array, context: number, rows: number, seed: number): BatchSource {
  const stream = new RandomStream(seed, "windows");
  let step = 0;
  return {
    samplesPerEpoch: Math.floor(tokens.length / context),
    async next() {
      const starts = Array.from({ length: rows }, (_, row) => stream.below(tokens.length - context, step * rows + row));
      const ids = Int32Array.from({ length: rows }, (_, row) => step * rows + row);
      step++;
      return { ...cut(tokens, starts, context), rows: { dtype: "i32", shape: [rows], data: ids } };
    },
    state: () => ({ step }),
    restore: (state) => {
      step = (state as { step: number }).step;
    },
  };
}

export async function* allWindows(tokens: Int32Array, context: number, rows: number): AsyncIterable<Batch> {
  for (let at = 0; at < tokens.length - 1; at += rows * context) {
    yield cut(
      tokens,
      Array.from({ length: rows }, (_, row) => at + row * context),
      context,
    );
  }
}

/** Rows that reach past the end are filled up with token 0 and target −1, which counts for nothing. */
function cut(tokens: Int32Array, starts: readonly number[], context: number): Batch {
  const inputs = new Int32Array(starts.length * context);
  const targets = new Int32Array(starts.length * context).fill(-1);
  starts.forEach((start, row) => {
    const end = Math.max(start, Math.min(start + context, tokens.length - 1));
    inputs.set(tokens.subarray(start, end), row * context);
    targets.set(tokens.subarray(start + 1, end + 1), row * context);
  });
  const shape = [starts.length, context];
  return { tokens: { dtype: "i32", shape, data: inputs }, targets: { dtype: "i32", shape, data: targets } };
}

export function shuffledRows(data: TableDataset, rows: number, seed: number, _onShort: string): BatchSource {
  let step = 0;
  return {
    samplesPerEpoch: data.length,
    async next() {
      const ids = Array.from({ length: rows }, (_, row) => step * rows + row);
      const positions = ids.map((id) =>
        new Permutation(data.length, { seed, name: "rows", epoch: Math.floor(id / data.length) }).at(id % data.length),
      );
      step++;
      return { ...data.collate(positions), rows: { dtype: "i32", shape: [rows], data: Int32Array.from(ids) } };
    },
    state: () => ({ step }),
    restore: (state) => {
      step = (state as { step: number }).step;
    },
  };
}

export async function* allRows(data: TableDataset, rows: number): AsyncIterable<Batch> {
  for (let at = 0; at < data.length; at += rows) {
    const positions = Array.from({ length: rows }, (_, row) => Math.min(at + row, data.length - 1));
    const batch = data.collate(positions);
    const targets = batch.targets.data as Int32Array | Float32Array;
    for (let row = data.length - at; row < rows; row++) targets[row] = targets instanceof Int32Array ? -1 : Number.NaN;
    yield batch;
  }
}

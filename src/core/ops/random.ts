// Random tensors by the counter generator of base/rng.ts: element e of row r depends on (seed, stream, step, sample id, e)
// alone, so no split of the rows over lanes or processes changes a draw.
import {
  fail,
  formatType,
  hashName,
  philox,
  roundStochasticallyToBf16,
  type Shape,
  sizeOf,
  wordToUniform,
} from "../../base/index.ts";
import * as f from "../functions.ts";
import { defineOp, type Sample, type ValueType } from "../op.ts";

export type RandomAttrs = { readonly shape: Shape; readonly stream: string };

export function checkRandomInputs(name: string, key: ValueType, rows: ValueType, shape: Shape): void {
  if (key.dtype !== "i32" || sizeOf(key.shape) !== 3) {
    fail("random/key", `${name} needs a key i32[3]: seed low, seed high, step`, {
      got: formatType(key.dtype, key.shape),
    });
  }
  if (rows.dtype !== "i32" || rows.shape.length !== 1 || rows.shape[0] !== shape[0]) {
    fail("random/rows", `${name} needs one sample id per row`, {
      expected: `i32[${shape[0] ?? "rows"}]`,
      got: formatType(rows.dtype, rows.shape),
      fix: "the first dimension of the tensor must be the batch's rows",
    });
  }
}

/** Calls `visit` with each element's position and, through `word(n)`, the row's n-th 32-bit word. */
export function eachElement(
  key: ArrayLike<number>,
  rows: ArrayLike<number>,
  perRow: number,
  stream: number,
  visit: (at: number, element: number, word: (n: number) => number) => void,
): void {
  const block = new Uint32Array(4);
  for (let row = 0; row < rows.length; row++) {
    let cached = -1;
    const word = (n: number) => {
      const index = Math.floor(n / 4);
      if (index !== cached) philox(block, index | 0, rows[row]!, key[2]!, stream | 0, key[0]!, key[1]!);
      cached = index;
      return block[n % 4]!;
    };
    for (let e = 0; e < perRow; e++) visit(row * perRow + e, e, word);
  }
}

const samples: Sample<RandomAttrs>[] = [
  {
    inputs: [
      { shape: [3], dtype: "i32", values: [7, 0, 3] },
      { shape: [2], dtype: "i32", values: [11, 5] },
    ],
    attrs: { shape: [2, 9], stream: "a" },
  },
  {
    inputs: [
      { shape: [3], dtype: "i32", values: [-7, 1, 0] },
      { shape: [3], dtype: "i32", values: [0, 1, 2] },
    ],
    attrs: { shape: [3, 2, 33], stream: "b" },
  },
  {
    inputs: [
      { shape: [3], dtype: "i32", values: [1, 2, 3] },
      { shape: [0], dtype: "i32" },
    ],
    attrs: { shape: [0, 4], stream: "c" },
  },
];

export const uniform = defineOp<["key", "rows"], RandomAttrs>({
  name: "uniform",
  kind: "random",
  doc: "uniform in [0, 1), 24 bits",
  inputs: ["key", "rows"],
  infer: ([key, rows], { shape }) => {
    checkRandomInputs("uniform", key, rows, shape);
    return { dtype: "f32", shape };
  },
  reference: ([key, rows], { shape, stream }, [y]) =>
    eachElement(
      key!.data as Int32Array,
      rows!.data as Int32Array,
      sizeOf(shape.slice(1)),
      hashName(stream),
      (at, e, word) => {
        y!.data[at] = wordToUniform(word(e));
      },
    ),
  params: ({ stream }) => [hashName(stream)],
  vjp: "zero",
  samples,
});

export const normal = defineOp<["key", "rows"], RandomAttrs>({
  name: "normal",
  kind: "random",
  doc: "standard normal by Box and Muller",
  inputs: ["key", "rows"],
  infer: ([key, rows], { shape }) => {
    checkRandomInputs("normal", key, rows, shape);
    return { dtype: "f32", shape };
  },
  reference: ([key, rows], { shape, stream }, [y]) =>
    eachElement(
      key!.data as Int32Array,
      rows!.data as Int32Array,
      sizeOf(shape.slice(1)),
      hashName(stream),
      (at, e, word) => {
        const u = 1 - wordToUniform(word(2 * e));
        y!.data[at] = Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * wordToUniform(word(2 * e + 1)));
      },
    ),
  params: ({ stream }) => [hashName(stream)],
  vjp: "zero",
  samples,
});

export const dropout = defineOp<["x", "p", "key", "rows"], { readonly stream: string }>({
  name: "dropout",
  kind: "fused",
  doc: "zeroes each element with probability p and divides the rest by 1 − p; the gradient draws the same mask again",
  inputs: ["x", "p", "key", "rows"],
  infer: ([x, p, key, rows]) => {
    checkRandomInputs("dropout", key, rows, x.shape);
    if (p.shape.length !== 0 || p.dtype !== x.dtype)
      fail("shape/dropout", "the rate is a scalar of x's dtype", { got: formatType(p.dtype, p.shape) });
    return x;
  },
  expand: ([x, p, key, rows], { stream }) => {
    const kept = f.uniform(key, rows, x.shape, stream).cast(x.dtype).greaterEqual(p);
    return f.where(kept, x.div(p.neg().add(1)), 0);
  },
  params: ({ stream }) => [hashName(stream)],
  vjp: ({ grad, inputs: [, p, key, rows], attrs: { stream } }) => [
    f.dropoutOf(grad, p, key, rows, stream),
    null,
    null,
    null,
  ],
  inPlace: [[0, 0]],
  samples: [
    {
      inputs: [
        { shape: [2, 3, 7] },
        { shape: [], values: [0.25] },
        { shape: [3], dtype: "i32", values: [1, 2, 3] },
        { shape: [2], dtype: "i32", values: [4, 9] },
      ],
      attrs: { stream: "s" },
      differentiable: [0],
    },
    {
      inputs: [
        { shape: [0, 3] },
        { shape: [], values: [0.25] },
        { shape: [3], dtype: "i32", values: [1, 2, 3] },
        { shape: [0], dtype: "i32" },
      ],
      attrs: { stream: "s" },
      differentiable: [0],
    },
  ],
});

export const roundStochastic = defineOp<["x", "key", "rows"], { readonly stream: string }>({
  name: "roundStochastic",
  kind: "random",
  doc: "x as bf16: one of its two neighbours, the nearer the likelier, so that the mean is x (Gupta et al. 2015)",
  inputs: ["x", "key", "rows"],
  infer: ([x, key, rows]) => {
    if (x.dtype !== "f32" && x.dtype !== "f64")
      fail("dtype/round", "what is rounded is f32 or f64", { got: formatType(x.dtype, x.shape) });
    checkRandomInputs("roundStochastic", key, rows, x.shape);
    return { dtype: "bf16", shape: x.shape };
  },
  reference: ([x, key, rows], { stream }, [y]) =>
    eachElement(
      key!.data as Int32Array,
      rows!.data as Int32Array,
      sizeOf(x!.shape.slice(1)),
      hashName(stream),
      (at, e, word) => {
        y!.data[at] = roundStochasticallyToBf16(x!.data[at] as number, word(e));
      },
    ),
  params: ({ stream }) => [hashName(stream)],
  vjp: "zero",
  bf16: { inputs: [], outputs: [0] },
  samples: [
    {
      inputs: [
        { shape: [2, 3, 37] },
        { shape: [3], dtype: "i32", values: [1, 2, 3] },
        { shape: [2], dtype: "i32", values: [4, 9] },
      ],
      attrs: { stream: "s" },
      differentiable: [],
    },
    {
      inputs: [{ shape: [0, 3] }, { shape: [3], dtype: "i32", values: [1, 2, 3] }, { shape: [0], dtype: "i32" }],
      attrs: { stream: "s" },
      differentiable: [],
    },
  ],
});

// Reductions and running sums. Axes are normal (counted from the front) and sorted here; functions.ts makes them so.
import { fail, formatType, isFloat } from "../../base/index.ts";
import * as f from "../functions.ts";
import { defineOp, type Sample, type ValueType, type VjpRule } from "../op.ts";

type Axes = { readonly axes: readonly number[] };

/** The reduced dimensions stay, with size 1: a following reshape drops them. */
function keptShape(x: ValueType, axes: readonly number[]): number[] {
  return x.shape.map((dim, axis) => (axes.includes(axis) ? 1 : dim));
}

const reduceSamples = (low: number): Sample<Axes>[] => [
  { inputs: [{ shape: [3, 4, 5], low }], attrs: { axes: [1] } },
  { inputs: [{ shape: [3, 4, 5], low }], attrs: { axes: [0, 2] } },
  { inputs: [{ shape: [2, 3], low }], attrs: { axes: [0, 1] } },
  { inputs: [{ shape: [4, 2, 3], low }], attrs: { axes: [2] } },
  { inputs: [{ shape: [700, 3], low }], attrs: { axes: [0] } },
  { inputs: [{ shape: [0, 3], low }], attrs: { axes: [1] } },
  { inputs: [{ shape: [2, 3], dtype: "i32", values: [3, -1, 3, 2, 0, -7] }], attrs: { axes: [1] } },
];

function reduce(
  name: string,
  doc: string,
  start: number,
  combine: (a: number, b: number) => number,
  vjp: VjpRule<["x"], Axes>,
  options: { low?: number; emptyIsError?: boolean; integers?: boolean } = {},
) {
  return defineOp<["x"], Axes>({
    name,
    kind: "reduce",
    layout: "strided",
    doc,
    inputs: ["x"],
    infer: ([x], { axes }) => {
      if (x.dtype === "bool")
        fail("dtype/number", `${name} needs numbers`, {
          got: formatType(x.dtype, x.shape),
          fix: 'cast it: mask.cast("f32")',
        });
      if (
        options.emptyIsError &&
        axes.some((axis) => x.shape[axis] === 0) &&
        keptShape(x, axes).every((dim) => dim > 0)
      ) {
        fail("shape/empty-reduction", `${name} over no elements has no value`, {
          got: formatType(x.dtype, x.shape),
          fix: "leave the empty axis out, or give it at least one element",
        });
      }
      return { dtype: x.dtype, shape: keptShape(x, axes) };
    },
    reference: ([x], { axes }, [y]) => {
      const [from, into] = [x!.data as Float64Array, y!.data as Float64Array];
      // Sums run in f64 and are rounded once, whatever the dtype.
      const sums = new Float64Array(into.length).fill(start);
      const target = reducedIndex(x!.shape, axes);
      for (let i = 0; i < from.length; i++) sums[target[i]!] = combine(sums[target[i]!]!, from[i]!);
      into.set(sums);
    },
    params: ({ axes }) => [axes.reduce((mask, axis) => mask + 2 ** axis, 0)],
    vjp,
    cost: ([x]) => ({ flops: x!.shape.reduce((a, b) => a * b, 1) }),
    samples: options.emptyIsError
      ? reduceSamples(options.low ?? -1)
      : [...reduceSamples(options.low ?? -1), { inputs: [{ shape: [3, 0] }], attrs: { axes: [1] } }],
  });
}

/** For each element of a dense array, the position of the output element it is reduced into. */
function reducedIndex(shape: readonly number[], axes: readonly number[]): Int32Array {
  const strides = new Array<number>(shape.length).fill(0);
  let stride = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (axes.includes(axis)) continue;
    strides[axis] = stride;
    stride *= shape[axis]!;
  }
  const total = shape.reduce((a, b) => a * b, 1);
  const index = new Int32Array(total);
  const counter = new Array<number>(shape.length).fill(0);
  let position = 0;
  for (let i = 0; i < total; i++) {
    index[i] = position;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      position += strides[axis]!;
      if (++counter[axis]! < shape[axis]!) break;
      position -= strides[axis]! * shape[axis]!;
      counter[axis] = 0;
    }
  }
  return index;
}

/** Elements equal to the extremum share its gradient evenly, as PyTorch's amax does. */
const extremeVjp: VjpRule<["x"], Axes> = ({ grad, inputs: [x], output, attrs: { axes } }) => {
  const hit = x.equal(output.broadcastTo(x.shape)).cast(x.dtype);
  const share = hit.div(f.sum(hit, { axis: axes, keepDim: true }));
  return [share.mul(grad)];
};

/** For each element the product of the others along `axes`; a zero among them is counted, not divided by. */
function productOfOthers(x: f.Tensor, axes: readonly number[]): f.Tensor {
  const over = { axis: axes, keepDim: true };
  const isZero = x.equal(0);
  const numZeros = f.sum(isZero.cast(x.dtype), over);
  const nonzero = f.where(isZero, 1, x);
  const product = f.prod(nonzero, over);
  const atOthers = f.where(numZeros.equal(0), product, 0).div(nonzero);
  return f.where(isZero, f.where(numZeros.equal(1), product, 0), atOthers);
}

export const sum = reduce(
  "sum",
  "sum over axes",
  0,
  (a, b) => a + b,
  ({ grad, inputs: [x] }) => [grad.broadcastTo(x.shape)],
);
export const reduceMax = reduce(
  "reduceMax",
  "largest element over axes; NaN if any is",
  Number.NEGATIVE_INFINITY,
  Math.max,
  extremeVjp,
  { emptyIsError: true },
);
export const reduceMin = reduce(
  "reduceMin",
  "smallest element over axes; NaN if any is",
  Number.POSITIVE_INFINITY,
  Math.min,
  extremeVjp,
  { emptyIsError: true },
);
export const prod = reduce(
  "prod",
  "product over axes",
  1,
  (a, b) => a * b,
  ({ grad, inputs: [x], attrs: { axes } }) => [grad.mul(productOfOthers(x, axes))],
  { low: 0.5 },
);

export const argmax = defineOp<["x"], { readonly axis: number }>({
  name: "argmax",
  kind: "reduce",
  layout: "strided",
  doc: "index of the largest element along an axis; the first of equals; a NaN counts as largest",
  inputs: ["x"],
  infer: ([x], { axis }) => {
    if (x.shape[axis] === 0)
      fail("shape/empty-reduction", "argmax over no elements has no value", { got: formatType(x.dtype, x.shape) });
    return { dtype: "i32", shape: keptShape(x, [axis]) };
  },
  reference: ([x], { axis }, [y]) => {
    const data = x!.data as Float64Array;
    const [outer, length, inner] = around(x!.shape, axis);
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        let best = 0;
        for (let k = 1; k < length; k++) {
          const value = data[(o * length + k) * inner + i]!;
          const champion = data[(o * length + best) * inner + i]!;
          if (value > champion || (Number.isNaN(value) && !Number.isNaN(champion))) best = k;
        }
        y!.data[o * inner + i] = best;
      }
    }
  },
  params: ({ axis }) => [axis],
  vjp: "none",
  samples: [
    { inputs: [{ shape: [3, 7] }], attrs: { axis: 1 } },
    { inputs: [{ shape: [3, 4, 2] }], attrs: { axis: 1 } },
    { inputs: [{ shape: [4], values: [1, 5, 5, Number.NaN] }], attrs: { axis: 0 } },
    { inputs: [{ shape: [4], values: [1, 5, 5, -2] }], attrs: { axis: 0 } },
    { inputs: [{ shape: [3, 2], dtype: "i32", values: [1, 2, 3, 4, 5, -6] }], attrs: { axis: 0 } },
    { inputs: [{ shape: [0, 2] }], attrs: { axis: 1 } },
  ],
});

/** Sizes before, at and after an axis. */
export function around(shape: readonly number[], axis: number): [number, number, number] {
  const product = (dims: readonly number[]) => dims.reduce((a, b) => a * b, 1);
  return [product(shape.slice(0, axis)), shape[axis]!, product(shape.slice(axis + 1))];
}

type Scan = { readonly axis: number; readonly exclusive: boolean; readonly reverse: boolean };

export const cumsum = defineOp<["x"], Scan>({
  name: "cumsum",
  kind: "scan",
  layout: "strided",
  doc: "running sum along an axis; exclusive leaves the element itself out; reverse runs from the end",
  batch: "axes",
  inputs: ["x"],
  infer: ([x]) => x,
  reference: ([x], { axis, exclusive, reverse }, [y]) => {
    const [outer, length, inner] = around(x!.shape, axis);
    const [from, into] = [x!.data as Float64Array, y!.data as Float64Array];
    for (let o = 0; o < outer; o++) {
      for (let i = 0; i < inner; i++) {
        let total = 0;
        for (let step = 0; step < length; step++) {
          const at = (o * length + (reverse ? length - 1 - step : step)) * inner + i;
          if (exclusive) into[at] = total;
          total += from[at]!;
          if (!exclusive) into[at] = total;
        }
      }
    }
  },
  params: ({ axis, exclusive, reverse }) => [axis, Number(exclusive), Number(reverse)],
  vjp: ({ grad, attrs }) => [
    f.cumulativeSum(grad, attrs.axis, { exclusive: attrs.exclusive, reverse: !attrs.reverse }),
  ],
  cost: ([x]) => ({ flops: x!.shape.reduce((a, b) => a * b, 1) }),
  samples: [
    { inputs: [{ shape: [3, 5] }], attrs: { axis: 1, exclusive: false, reverse: false } },
    { inputs: [{ shape: [3, 5, 2] }], attrs: { axis: 1, exclusive: true, reverse: true } },
    { inputs: [{ shape: [0] }], attrs: { axis: 0, exclusive: false, reverse: false } },
  ],
});

export const sumSquares = defineOp<["x"]>({
  name: "sumSquares",
  kind: "fused",
  doc: "sum of the squares of all elements: what a gradient norm needs, in one pass",
  inputs: ["x"],
  infer: ([x]) => {
    if (!isFloat(x.dtype))
      fail("dtype/float", "sumSquares needs a floating-point tensor", { got: formatType(x.dtype, x.shape) });
    return { dtype: x.dtype, shape: [] };
  },
  expand: ([x]) => x.square().sum(),
  cost: ([x]) => ({ flops: 2 * x!.shape.reduce((a, b) => a * b, 1) }),
  samples: [{ inputs: [{ shape: [33, 7] }] }, { inputs: [{ shape: [0] }] }, { inputs: [{ shape: [20000] }] }],
});

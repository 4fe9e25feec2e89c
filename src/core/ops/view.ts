// Views: the same elements in another order, repeated, cut or joined. Engines that address by strides make most of them free.
import {
  contiguousStrides,
  fail,
  formatType,
  type HostArray,
  type Shape,
  sameShape,
  sizeOf,
} from "../../base/index.ts";
import * as f from "../functions.ts";
import { defineOp, type ValueType } from "../op.ts";

type Attr<K extends string, T> = { readonly [P in K]: T };

/** Copies from `source` (an element offset and strides) into a dense array of `shape`. */
function gatherStrided(
  from: HostArray,
  offset: number,
  shape: Shape,
  strides: readonly number[],
  into: HostArray,
): void {
  const [source, target] = [from.data as Float64Array, into.data as Float64Array];
  const counter = new Array<number>(shape.length).fill(0);
  let position = offset;
  for (let i = 0; i < target.length; i++) {
    target[i] = source[position]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      position += strides[axis]!;
      if (++counter[axis]! < shape[axis]!) break;
      position -= strides[axis]! * shape[axis]!;
      counter[axis] = 0;
    }
  }
}

export const reshape = defineOp<["x"], Attr<"shape", Shape>>({
  name: "reshape",
  kind: "view",
  doc: "the same elements in row-major order under another shape",
  inputs: ["x"],
  infer: ([x], { shape }) => {
    if (sizeOf(shape) !== sizeOf(x.shape) || shape.some((dim) => dim < 0 || !Number.isInteger(dim))) {
      fail("shape/reshape", "reshape changes the number of elements", {
        expected: `${sizeOf(x.shape)} elements, as in ${formatType(x.dtype, x.shape)}`,
        got: `[${shape}]`,
        fix: "one dimension may be -1 to be computed",
      });
    }
    return { dtype: x.dtype, shape };
  },
  reference: ([x], _, [y]) => (y!.data as Float64Array).set(x!.data as Float64Array),
  vjp: ({ grad, inputs: [x] }) => [grad.reshape(...x.shape)],
  samples: [
    { inputs: [{ shape: [2, 6] }], attrs: { shape: [3, 4] } },
    { inputs: [{ shape: [2, 0, 3] }], attrs: { shape: [0, 5] } },
    { inputs: [{ shape: [1] }], attrs: { shape: [] } },
  ],
});

export const permute = defineOp<["x"], Attr<"order", readonly number[]>>({
  name: "permute",
  kind: "view",
  doc: "dimensions in another order: y's dimension i is x's dimension order[i]",
  inputs: ["x"],
  infer: ([x], { order }) => {
    if (
      order.length !== x.shape.length ||
      new Set(order).size !== order.length ||
      order.some((axis) => !(axis in x.shape))
    ) {
      fail("shape/permute", "order is not a permutation of the axes", {
        expected: `each of 0..${x.shape.length - 1} once`,
        got: `[${order}] for ${formatType(x.dtype, x.shape)}`,
        fix: "name every axis once; transpose() swaps the last two",
      });
    }
    return { dtype: x.dtype, shape: order.map((axis) => x.shape[axis]!) };
  },
  reference: ([x], { order }, [y]) => {
    const strides = contiguousStrides(x!.shape);
    gatherStrided(
      x!,
      0,
      y!.shape,
      order.map((axis) => strides[axis]!),
      y!,
    );
  },
  vjp: ({ grad, attrs: { order } }) => [grad.permute(...order.map((_, axis) => order.indexOf(axis)))],
  samples: [
    { inputs: [{ shape: [2, 3, 4] }], attrs: { order: [2, 0, 1] } },
    { inputs: [{ shape: [5, 7] }], attrs: { order: [1, 0] } },
    { inputs: [{ shape: [2, 0] }], attrs: { order: [1, 0] } },
  ],
});

export const broadcast = defineOp<["x"], Attr<"shape", Shape>>({
  name: "broadcast",
  kind: "view",
  doc: "repeats dimensions of size 1 and adds leading ones (NumPy's rule)",
  inputs: ["x"],
  infer: ([x], { shape }) => {
    const lead = shape.length - x.shape.length;
    if (lead < 0 || x.shape.some((dim, axis) => dim !== 1 && dim !== shape[lead + axis])) {
      fail("shape/broadcast", "shape does not broadcast", {
        expected: `dimensions equal to [${shape}] from the right, or 1`,
        got: formatType(x.dtype, x.shape),
        fix: "reshape it first, with 1 where it is to be repeated",
      });
    }
    return { dtype: x.dtype, shape };
  },
  reference: ([x], _, [y]) => {
    const strides = contiguousStrides(x!.shape);
    const lead = y!.shape.length - x!.shape.length;
    gatherStrided(
      x!,
      0,
      y!.shape,
      y!.shape.map((_, axis) => (axis < lead || x!.shape[axis - lead] === 1 ? 0 : strides[axis - lead]!)),
      y!,
    );
  },
  vjp: ({ grad, inputs: [x] }) => [f.sumTo(grad, x.shape)],
  samples: [
    { inputs: [{ shape: [3, 1] }], attrs: { shape: [2, 3, 4] } },
    { inputs: [{ shape: [] }], attrs: { shape: [3, 2] } },
    { inputs: [{ shape: [1, 4] }], attrs: { shape: [0, 4] } },
  ],
});

type Cut = { readonly axis: number; readonly start: number; readonly stop: number };

export const slice = defineOp<["x"], Cut>({
  name: "slice",
  kind: "view",
  doc: "elements start ≤ i < stop of one axis",
  inputs: ["x"],
  infer: ([x], { axis, start, stop }) => {
    if (!(start >= 0 && start <= stop && stop <= x.shape[axis]!)) {
      fail("shape/slice", "slice reaches outside the tensor", {
        expected: `0 ≤ start ≤ stop ≤ ${x.shape[axis]}`,
        got: `start ${start}, stop ${stop} on axis ${axis} of ${formatType(x.dtype, x.shape)}`,
        fix: "negative positions count from the end",
      });
    }
    return { dtype: x.dtype, shape: x.shape.map((dim, at) => (at === axis ? stop - start : dim)) };
  },
  reference: ([x], { axis, start }, [y]) => {
    const strides = contiguousStrides(x!.shape);
    gatherStrided(x!, start * strides[axis]!, y!.shape, strides, y!);
  },
  vjp: ({ grad, inputs: [x], attrs: { axis, start, stop } }) => [f.pad(grad, axis, start, x.shape[axis]! - stop)],
  samples: [
    { inputs: [{ shape: [3, 5] }], attrs: { axis: 1, start: 1, stop: 4 } },
    { inputs: [{ shape: [4, 2, 2] }], attrs: { axis: 0, start: 2, stop: 2 } },
    { inputs: [{ shape: [0, 3] }], attrs: { axis: 1, start: 1, stop: 2 } },
  ],
});

export const split = defineOp<["x"], { readonly axis: number; readonly parts: number }>({
  name: "split",
  kind: "view",
  doc: "cuts an axis into equal parts; the gradient joins them again without a copy",
  inputs: ["x"],
  infer: ([x], { axis, parts }) => {
    if (!(parts > 0 && x.shape[axis]! % parts === 0)) {
      fail("shape/split", "an axis must divide into equal parts", {
        expected: `a multiple of ${parts}`,
        got: `${x.shape[axis]} on axis ${axis} of ${formatType(x.dtype, x.shape)}`,
        fix: "choose another number of parts, or cut with slice",
      });
    }
    const shape = x.shape.map((dim, at) => (at === axis ? dim / parts : dim));
    return Array.from({ length: parts }, (): ValueType => ({ dtype: x.dtype, shape }));
  },
  reference: ([x], { axis }, outputs) => {
    const strides = contiguousStrides(x!.shape);
    for (const [part, y] of outputs.entries())
      gatherStrided(x!, part * y.shape[axis]! * strides[axis]!, y.shape, strides, y);
  },
  vjp: ({ grads, outputs, attrs: { axis } }) => [
    f.concat(
      grads.map((grad, part) => grad ?? f.zerosLike(outputs[part]!)),
      axis,
    ),
  ],
  samples: [
    { inputs: [{ shape: [2, 6] }], attrs: { axis: 1, parts: 3 } },
    { inputs: [{ shape: [4, 3, 2] }], attrs: { axis: 0, parts: 2 } },
    { inputs: [{ shape: [0, 3] }], attrs: { axis: 0, parts: 2 } },
  ],
});

export const concat = defineOp<string[], { readonly axis: number }>({
  name: "concat",
  kind: "view",
  doc: "joins tensors along an axis",
  inputs: ["parts"],
  variadic: true,
  infer: (parts, { axis }) => {
    const [first, ...rest] = parts;
    if (first === undefined) fail("shape/concat", "nothing to join", { fix: "give at least one tensor" });
    for (const part of rest) {
      if (part.dtype !== first.dtype || !sameShape(dropAxis(part.shape, axis), dropAxis(first.shape, axis))) {
        fail("shape/concat", "parts differ outside the joined axis", {
          expected: `${formatType(first.dtype, first.shape)} but for axis ${axis}`,
          got: formatType(part.dtype, part.shape),
          fix: "cast or reshape the parts alike, or name another axis",
        });
      }
    }
    const total = parts.reduce((sum, part) => sum + part.shape[axis]!, 0);
    return { dtype: first.dtype, shape: first.shape.map((dim, at) => (at === axis ? total : dim)) };
  },
  reference: (parts, { axis }, [y]) => {
    const inner = sizeOf(y!.shape.slice(axis + 1));
    const outer = sizeOf(y!.shape.slice(0, axis));
    const target = y!.data as Float64Array;
    const row = y!.shape[axis]! * inner;
    let offset = 0;
    for (const part of parts) {
      const width = part.shape[axis]! * inner;
      const source = part.data as Float64Array;
      for (let o = 0; o < outer; o++) target.set(source.subarray(o * width, (o + 1) * width), o * row + offset);
      offset += width;
    }
  },
  vjp: ({ grad, inputs, attrs: { axis } }) => {
    let start = 0;
    return inputs.map((part) => {
      const width = part.shape[axis]!;
      start += width;
      return grad.slice(axis, start - width, start);
    });
  },
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [2, 1] }, { shape: [2, 2] }], attrs: { axis: 1 } },
    { inputs: [{ shape: [2, 3] }, { shape: [0, 3] }], attrs: { axis: 0 } },
  ],
});

function dropAxis(shape: Shape, axis: number): number[] {
  return shape.filter((_, at) => at !== axis);
}

type Padding = { readonly axis: number; readonly low: number; readonly high: number; readonly value: number };

export const pad = defineOp<["x"], Padding>({
  name: "pad",
  kind: "view",
  doc: "adds `low` elements before and `high` after along one axis, all equal to `value`",
  inputs: ["x"],
  infer: ([x], { axis, low, high }) => {
    if (!(low >= 0 && high >= 0))
      fail("shape/pad", "padding is not negative", { got: `low ${low}, high ${high}`, fix: "use slice to cut" });
    return { dtype: x.dtype, shape: x.shape.map((dim, at) => (at === axis ? dim + low + high : dim)) };
  },
  reference: ([x], { axis, low, value }, [y]) => {
    const [source, target] = [x!.data as Float64Array, y!.data as Float64Array];
    target.fill(value);
    const inner = sizeOf(x!.shape.slice(axis + 1));
    const width = x!.shape[axis]! * inner;
    const row = y!.shape[axis]! * inner;
    for (let o = 0; o * width < source.length; o++)
      target.set(source.subarray(o * width, (o + 1) * width), o * row + low * inner);
  },
  vjp: ({ grad, inputs: [x], attrs: { axis, low } }) => [grad.slice(axis, low, low + x.shape[axis]!)],
  samples: [
    { inputs: [{ shape: [2, 3] }], attrs: { axis: 1, low: 1, high: 2, value: 0 } },
    { inputs: [{ shape: [2, 3, 2] }], attrs: { axis: 0, low: 0, high: 1, value: -1 } },
    { inputs: [{ shape: [0, 2] }], attrs: { axis: 0, low: 2, high: 1, value: 3 } },
  ],
});

export const iota = defineOp<[], { readonly shape: Shape; readonly axis: number }>({
  name: "iota",
  kind: "view",
  doc: "i32: each element's index along an axis",
  inputs: [],
  infer: (_, { shape }) => ({ dtype: "i32", shape }),
  reference: (_, { axis }, [y]) => {
    const inner = sizeOf(y!.shape.slice(axis + 1));
    const length = y!.shape[axis]!;
    for (let i = 0; i < y!.data.length; i++) y!.data[i] = Math.floor(i / inner) % length;
  },
  params: ({ axis }) => [axis],
  vjp: () => [],
  samples: [
    { inputs: [], attrs: { shape: [3, 4], axis: 1 } },
    { inputs: [], attrs: { shape: [3, 4], axis: 0 } },
    { inputs: [], attrs: { shape: [0, 4], axis: 1 } },
  ],
});

type Fill = { readonly shape: Shape; readonly dtype: ValueType["dtype"]; readonly value: number };

export const fill = defineOp<[], Fill>({
  name: "fill",
  kind: "view",
  doc: "every element equal to one number",
  inputs: [],
  infer: (_, { shape, dtype }) => ({ dtype, shape }),
  reference: (_, { value }, [y]) => {
    (y!.data as Float64Array).fill(value);
  },
  params: ({ value }) => [value],
  vjp: () => [],
  samples: [
    { inputs: [], attrs: { shape: [3, 4], dtype: "f32", value: 1.5 } },
    { inputs: [], attrs: { shape: [5], dtype: "i32", value: -3 } },
    { inputs: [], attrs: { shape: [], dtype: "bool", value: 1 } },
    { inputs: [], attrs: { shape: [0], dtype: "f32", value: 1 } },
  ],
});

export const stopGradient = defineOp<["x"]>({
  name: "stopGradient",
  kind: "view",
  doc: "the same elements; no gradient flows through",
  inputs: ["x"],
  infer: ([x]) => x,
  reference: ([x], _, [y]) => (y!.data as Float64Array).set(x!.data as Float64Array),
  vjp: "zero",
  samples: [
    { inputs: [{ shape: [3] }], differentiable: [] },
    { inputs: [{ shape: [0] }], differentiable: [] },
  ],
});

export const copy = defineOp<["x"]>({
  name: "copy",
  kind: "view",
  layout: "strided",
  doc: "the same elements in memory of their own; the compiler puts it where a view will not do",
  inputs: ["x"],
  infer: ([x]) => x,
  reference: ([x], _, [y]) => (y!.data as Float64Array).set(x!.data as Float64Array),
  vjp: ({ grad }) => [grad],
  samples: [{ inputs: [{ shape: [3, 2] }] }, { inputs: [{ shape: [0] }] }, { inputs: [{ shape: [] }] }],
});

// Gather and scatter. Indices are i32 and carry no gradient; one outside its range is reported at run time, never read.
import { fail, formatType, type HostArray, sameShape, sizeOf } from "../../base/index.ts";
import * as f from "../functions.ts";
import { defineOp, type ValueType } from "../op.ts";

type None = Record<string, never>;

function needIndices(name: string, index: ValueType): void {
  if (index.dtype !== "i32") {
    fail("dtype/index", `${name} needs i32 indices`, {
      got: formatType(index.dtype, index.shape),
      fix: 'cast them: index.cast("i32")',
    });
  }
}

function checkIndex(value: number, bound: number, what: string): number {
  if (!(value >= 0 && value < bound)) {
    fail("run/index-out-of-range", `an index is out of range in ${what}`, {
      expected: `0 ≤ index < ${bound}`,
      got: String(value),
      fix: "a token or class id is larger than the model's vocabulary: check the tokenizer and the data",
    });
  }
  return value;
}

export const take = defineOp<["x", "index"], None>({
  name: "take",
  kind: "index",
  doc: "rows of x by index: y[i…] = x[index[i…]]; an embedding lookup",
  inputs: ["x", "index"],
  infer: ([x, index]) => {
    needIndices("take", index);
    if (x.shape.length === 0)
      fail("shape/rank", "take needs a tensor with rows", { got: formatType(x.dtype, x.shape) });
    return { dtype: x.dtype, shape: [...index.shape, ...x.shape.slice(1)] };
  },
  reference: ([x, index], _, [y]) => {
    const width = sizeOf(x!.shape.slice(1));
    const [source, target] = [x!.data as Float64Array, y!.data as Float64Array];
    index!.data.forEach((raw, i) => {
      const row = checkIndex(Number(raw), x!.shape[0]!, "take");
      target.set(source.subarray(row * width, (row + 1) * width), i * width);
    });
  },
  vjp: ({ grad, inputs: [x, index] }) => [f.scatterAdd(index, grad, x.shape[0]!), null],
  samples: [
    { inputs: [{ shape: [5, 3] }, { shape: [2, 4], dtype: "i32", values: [0, 4, 4, 1, 2, 0, 3, 3] }] },
    { inputs: [{ shape: [6] }, { shape: [3], dtype: "i32", values: [5, 0, 5] }] },
    { inputs: [{ shape: [5, 3] }, { shape: [0], dtype: "i32", values: [] }] },
  ],
});

export const scatterAdd = defineOp<["index", "source", "base"], { readonly rows: number }>({
  name: "scatterAdd",
  kind: "index",
  doc: "zeros[rows, …], or base, with source rows added at index; equal indices add up in order",
  inputs: ["index", "source", "base"],
  optional: 1,
  infer: ([index, source, base], { rows }) => {
    needIndices("scatterAdd", index);
    const lead = source.shape.slice(0, index.shape.length);
    if (!sameShape(lead, index.shape)) {
      fail("shape/scatter", "source does not begin with the index's shape", {
        expected: `[${index.shape}, …]`,
        got: formatType(source.dtype, source.shape),
      });
    }
    const type = { dtype: source.dtype, shape: [rows, ...source.shape.slice(index.shape.length)] };
    if (base && !(base.dtype === type.dtype && sameShape(base.shape, type.shape))) {
      fail("shape/scatter", "rows are added to a tensor of another type", {
        expected: formatType(type.dtype, type.shape),
        got: formatType(base.dtype, base.shape),
      });
    }
    return type;
  },
  reference: ([index, source, base], { rows }, [y]) => {
    const width = sizeOf(y!.shape.slice(1));
    const sums = base ? Float64Array.from(base.data as Float64Array) : new Float64Array(y!.data.length);
    const from = source!.data as Float64Array;
    index!.data.forEach((raw, i) => {
      const row = checkIndex(Number(raw), rows, "scatterAdd");
      for (let k = 0; k < width; k++) sums[row * width + k]! += from[i * width + k]!;
    });
    (y!.data as Float64Array).set(sums);
  },
  vjp: ({ grad, inputs: [index] }) => [null, f.take(grad, index), grad],
  inPlace: [[0, 2]],
  samples: [
    {
      inputs: [{ shape: [3], dtype: "i32", values: [1, 3, 1] }, { shape: [3, 2] }, { shape: [4, 2] }],
      attrs: { rows: 4 },
    },
    { inputs: [{ shape: [0], dtype: "i32", values: [] }, { shape: [0, 3] }, { shape: [2, 3] }], attrs: { rows: 2 } },
    { inputs: [{ shape: [2, 3], dtype: "i32", values: [0, 2, 2, 2, 0, 3] }, { shape: [2, 3, 4] }], attrs: { rows: 5 } },
    { inputs: [{ shape: [4], dtype: "i32", values: [1, 1, 0, 1] }, { shape: [4] }], attrs: { rows: 2 } },
    { inputs: [{ shape: [0], dtype: "i32", values: [] }, { shape: [0, 3] }], attrs: { rows: 2 } },
  ],
});

/** x[…, V] and index[…] agree on the leading dimensions. */
function needRows(name: string, x: readonly number[], index: ValueType): void {
  needIndices(name, index);
  if (!sameShape(x, index.shape)) {
    fail("shape/along", `${name}: one index per row`, {
      expected: `i32[${x}]`,
      got: formatType(index.dtype, index.shape),
    });
  }
}

function eachRow(index: HostArray, width: number, what: string, visit: (at: number, row: number) => void): void {
  index.data.forEach((raw, row) => visit(row * width + checkIndex(Number(raw), width, what), row));
}

export const takeAlong = defineOp<["x", "index"], None>({
  name: "takeAlong",
  kind: "index",
  doc: "one element of the last axis per row: y[…] = x[…, index[…]]",
  batch: "lead",
  inputs: ["x", "index"],
  infer: ([x, index]) => {
    needRows("takeAlong", x.shape.slice(0, -1), index);
    return { dtype: x.dtype, shape: index.shape };
  },
  reference: ([x, index], _, [y]) => {
    eachRow(index!, x!.shape.at(-1)!, "takeAlong", (at, row) => {
      y!.data[row] = x!.data[at]!;
    });
  },
  vjp: ({ grad, inputs: [x, index] }) => [f.scatterAlong(index, grad, x.shape.at(-1)!), null],
  samples: [
    { inputs: [{ shape: [3, 5] }, { shape: [3], dtype: "i32", values: [4, 0, 2] }] },
    { inputs: [{ shape: [2, 2, 3] }, { shape: [2, 2], dtype: "i32", values: [0, 1, 2, 2] }] },
    { inputs: [{ shape: [0, 3] }, { shape: [0], dtype: "i32" }] },
  ],
});

export const scatterAlong = defineOp<["index", "source"], { readonly width: number }>({
  name: "scatterAlong",
  kind: "index",
  doc: "zeros but for one element of the last axis per row: y[…, index[…]] = source[…]",
  batch: "lead",
  inputs: ["index", "source"],
  infer: ([index, source], { width }) => {
    needRows("scatterAlong", source.shape, index);
    return { dtype: source.dtype, shape: [...index.shape, width] };
  },
  reference: ([index, source], { width }, [y]) => {
    (y!.data as Float64Array).fill(0);
    eachRow(index!, width, "scatterAlong", (at, row) => {
      y!.data[at] = source!.data[row]!;
    });
  },
  vjp: ({ grad, inputs: [index] }) => [null, f.takeAlong(grad, index)],
  samples: [
    { inputs: [{ shape: [3], dtype: "i32", values: [4, 0, 2] }, { shape: [3] }], attrs: { width: 5 } },
    { inputs: [{ shape: [0], dtype: "i32" }, { shape: [0] }], attrs: { width: 5 } },
  ],
});

export const updateSlice = defineOp<["x", "value", "start"], { readonly axis: number }>({
  name: "updateSlice",
  kind: "index",
  doc: "x with `value` written from position `start` of one axis on, or each row of it from its own; starts are clamped to fit",
  inputs: ["x", "value", "start"],
  infer: ([x, value, start], { axis }) => {
    const isPerRow = axis > 0 && sameShape(start.shape, x.shape.slice(0, 1));
    if (start.dtype !== "i32" || !(start.shape.length === 0 || isPerRow))
      fail("dtype/index", "start is an i32 scalar, or one per row of the first axis", {
        got: formatType(start.dtype, start.shape),
      });
    const fits =
      value.dtype === x.dtype &&
      value.shape.length === x.shape.length &&
      value.shape.every((dim, at) => (at === axis ? dim <= x.shape[at]! : dim === x.shape[at]));
    if (!fits) {
      fail("shape/update-slice", "the value does not fit into the tensor", {
        expected: `${formatType(x.dtype, x.shape)} but for a shorter axis ${axis}`,
        got: formatType(value.dtype, value.shape),
        fix: "write fewer rows, or make the cache longer",
      });
    }
    return { dtype: x.dtype, shape: x.shape };
  },
  reference: ([x, value, start], { axis }, [y]) => {
    const inner = sizeOf(x!.shape.slice(axis + 1));
    const [row, width] = [x!.shape[axis]! * inner, value!.shape[axis]! * inner];
    const last = x!.shape[axis]! - value!.shape[axis]!;
    const perStart = sizeOf(x!.shape.slice(0, axis)) / start!.data.length;
    const target = y!.data as Float64Array;
    target.set(x!.data as Float64Array);
    if (width === 0) return;
    for (let o = 0; o * width < value!.data.length; o++) {
      const first = Math.min(Math.max(Number(start!.data[Math.floor(o / perStart)]), 0), last) * inner;
      target.set((value!.data as Float64Array).subarray(o * width, (o + 1) * width), o * row + first);
    }
  },
  params: ({ axis }) => [axis],
  inPlace: [[0, 0]],
  vjp: "none",
  samples: [
    {
      inputs: [{ shape: [2, 5, 3] }, { shape: [2, 2, 3] }, { shape: [], dtype: "i32", values: [2] }],
      attrs: { axis: 1 },
    },
    {
      inputs: [{ shape: [3, 2, 5] }, { shape: [3, 2, 2] }, { shape: [3], dtype: "i32", values: [3, -1, 2] }],
      attrs: { axis: 2 },
    },
    { inputs: [{ shape: [4] }, { shape: [1] }, { shape: [], dtype: "i32", values: [9] }], attrs: { axis: 0 } },
    { inputs: [{ shape: [4] }, { shape: [2] }, { shape: [], dtype: "i32", values: [-3] }], attrs: { axis: 0 } },
    { inputs: [{ shape: [4] }, { shape: [0] }, { shape: [], dtype: "i32", values: [1] }], attrs: { axis: 0 } },
  ],
});

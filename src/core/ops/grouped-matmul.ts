// Products of rows by the matrix of their group, as the experts of a mixture need them: the rows of a group stand together, and how many
// they are is data. No shape depends on it, and no row is left out.
import { fail, formatType, type HostArray, isFloat, sameShape, sizeOf } from "../../base/index.ts";
import { groupedMatmulGrad as gradOf, groupedMatmul as multiply } from "../composed.ts";
import { defineOp, type ValueType } from "../op.ts";
import type { Tensor } from "../tensor.ts";

export const groupRows = defineOp<["ids"], { readonly groups: number }>({
  name: "groupRows",
  kind: "index",
  doc: "sorts by group: ids (N, k) → rows (N k), that of ids which each place takes; places (N, k), where each id went; offsets (groups + 1) of the groups' first places. Equals keep their order",
  inputs: ["ids"],
  infer: ([ids], { groups }) => {
    if (ids.dtype !== "i32" || ids.shape.length !== 2)
      fail("dtype/index", "groupRows needs a matrix of i32 ids", { got: formatType(ids.dtype, ids.shape) });
    return [[sizeOf(ids.shape)], ids.shape, [groups + 1]].map((shape) => ({ dtype: "i32", shape }) as const);
  },
  reference: ([ids], { groups }, [rows, places, offsets]) => {
    const given = Array.from(ids!.data, Number);
    checkBounds(
      given.find((id) => !(id >= 0 && id < groups)),
      `0 ≤ id < ${groups}`,
    );
    const order = given.map((_, at) => at).sort((a, b) => given[a]! - given[b]! || a - b);
    order.forEach((from, at) => {
      rows!.data[at] = Math.floor(from / ids!.shape[1]!);
      places!.data[from] = at;
    });
    for (let group = 0; group <= groups; group++) offsets!.data[group] = given.filter((id) => id < group).length;
  },
  params: ({ groups }) => [groups],
  vjp: "zero",
  samples: [
    { inputs: [{ shape: [5, 2], dtype: "i32", values: [2, 0, 0, 3, 2, 0, 3, 2, 0, 2] }], attrs: { groups: 5 } },
    { inputs: [{ shape: [3, 1], dtype: "i32", values: [0, 0, 0] }], attrs: { groups: 1 } },
    { inputs: [{ shape: [0, 2], dtype: "i32", values: [] }], attrs: { groups: 3 } },
  ],
});

function checkBounds(wrong: number | undefined, expected: string): void {
  if (wrong !== undefined)
    fail("run/index-out-of-range", "an index is out of range in a product by groups", { expected, got: String(wrong) });
}

/** First place of each group and the end of the last. */
export function boundsOf(offsets: HostArray, numRows: number): number[] {
  const bounds = Array.from(offsets.data, Number);
  const isWrong = (bound: number, at: number) => bound < (bounds[at - 1] ?? 0) || bound > numRows;
  checkBounds(bounds.find(isWrong), `rising offsets between 0 and ${numRows}`);
  return bounds;
}

export function needRows(x: ValueType, offsets: ValueType, numGroups: number): void {
  if (
    !isFloat(x.dtype) ||
    x.shape.length !== 2 ||
    offsets.dtype !== "i32" ||
    !sameShape(offsets.shape, [numGroups + 1])
  )
    fail("shape/grouped-matmul", "a product by groups needs rows and the offsets of their groups", {
      expected: `x float [rows, inputs], offsets i32[${numGroups + 1}]`,
      got: `x ${formatType(x.dtype, x.shape)}, offsets ${formatType(offsets.dtype, offsets.shape)}`,
      fix: "give what groupRows() made for as many groups as there are matrices",
    });
}

export const groupedMatmul = defineOp<string[], { readonly transpose: boolean }>({
  name: "groupedMatmul",
  kind: "contract",
  doc: "x (R, K), its rows [offsets[g], offsets[g + 1]) by the g-th matrix (K, N) → (R, N); or x (R, N) by the transposes → (R, K). Rows of no group give 0",
  inputs: ["x", "offsets", "matrices"],
  variadic: true,
  infer: ([x, offsets, ...matrices], { transpose }) => {
    needRows(x!, offsets!, matrices.length);
    const [{ shape }] = matrices as [ValueType];
    const [depth, columns] = transpose ? shape.toReversed() : shape;
    const fits = (one: ValueType) => one.dtype === x!.dtype && one.shape.length === 2 && sameShape(one.shape, shape);
    if (!matrices.every(fits) || depth !== x!.shape[1])
      fail("shape/matmul-inner", "inner dimensions of the product differ", {
        expected: `matrices of one shape, ${transpose ? "columns" : "rows"} ${x!.shape[1]}`,
        got: matrices.map((one) => formatType(one.dtype, one.shape)).join(", "),
        fix: "check the input width of these experts",
      });
    return { dtype: x!.dtype, shape: [x!.shape[0]!, columns!] };
  },
  reference: ([x, offsets, ...matrices], { transpose }, [y]) => {
    const [numRows, depth] = x!.shape as [number, number];
    const columns = y!.shape[1]!;
    const [kStep, jStep] = transpose ? [1, depth] : [columns, 1];
    const bounds = boundsOf(offsets!, numRows);
    const values = x!.data as Float64Array;
    (y!.data as Float64Array).fill(0);
    matrices.forEach(({ data }, group) => {
      for (let i = bounds[group]!; i < bounds[group + 1]!; i++) {
        for (let j = 0; j < columns; j++) {
          let sum = 0;
          for (let k = 0; k < depth; k++) sum += values[i * depth + k]! * (data[k * kStep + j * jStep] as number);
          y!.data[i * columns + j] = sum;
        }
      }
    });
  },
  bf16: { inputs: [0, 2], outputs: [0] },
  params: ({ transpose }) => [Number(transpose)],
  vjp: ({ grad, inputs: [x, offsets, ...matrices], attrs: { transpose } }) => [
    multiply(grad, offsets!, matrices, !transpose),
    null,
    ...(transpose ? gradOf(grad, x!, offsets!) : gradOf(x!, grad, offsets!)),
  ],
  cost: ([x], [y]) => ({ flops: 2 * sizeOf(x!.shape) * y!.shape[1]! }),
  samples: [false, true].flatMap((transpose) =>
    (
      [
        [[0, 2, 2, 7], 5, 4],
        [[0, 0, 3], 2, 1],
        [[0, 0, 0], 3, 2],
        [[1, 3, 4], 2, 3],
        [[0, 70, 70, 83, 300], 40, 50],
        [[0, 2, 130], 130, 200],
      ] as const
    ).map(([offsets, inputs, outputs]) => ({
      inputs: [
        { shape: [offsets.at(-1)! + offsets[0], transpose ? outputs : inputs], low: -0.2, high: 0.2 },
        { shape: [offsets.length], dtype: "i32" as const, values: offsets },
        ...offsets.slice(1).map(() => ({ shape: [inputs, outputs] })),
      ],
      attrs: { transpose },
      differentiable: inputs > 10 ? [] : [0, ...offsets.slice(1).map((_, at) => at + 2)],
    })),
  ),
});

export const groupedMatmulGrad = defineOp<["x", "grad", "offsets"], { readonly groups: number }>({
  name: "groupedMatmulGrad",
  kind: "contract",
  doc: "of every group xᵀ grad over its rows: x (R, K), grad (R, N) → a matrix (K, N) for each",
  inputs: ["x", "grad", "offsets"],
  infer: ([x, grad, offsets], { groups }) => {
    needRows(x, offsets, groups);
    if (grad.dtype !== x.dtype || grad.shape.length !== 2 || grad.shape[0] !== x.shape[0])
      fail("shape/grouped-matmul", "there is not one gradient per row", {
        expected: `[${x.shape[0]}, outputs]`,
        got: formatType(grad.dtype, grad.shape),
      });
    const matrix = { dtype: x.dtype, shape: [x.shape[1]!, grad.shape[1]!] };
    return Array.from({ length: groups }, () => matrix);
  },
  reference: ([x, grad, offsets], _, matrices) => {
    const [numRows, depth] = x!.shape as [number, number];
    const columns = grad!.shape[1]!;
    const bounds = boundsOf(offsets!, numRows);
    const [values, grads] = [x!.data as Float64Array, grad!.data as Float64Array];
    matrices.forEach(({ data }, group) => {
      for (let k = 0; k < depth; k++) {
        for (let j = 0; j < columns; j++) {
          let sum = 0;
          for (let i = bounds[group]!; i < bounds[group + 1]!; i++)
            sum += values[i * depth + k]! * grads[i * columns + j]!;
          data[k * columns + j] = sum;
        }
      }
    });
  },
  bf16: { inputs: [0, 1], outputs: [] },
  vjp: ({ grads, inputs: [x, grad, offsets], outputs }) => {
    const matrices = outputs.map((output, at): Tensor => grads[at] ?? output.mul(0));
    return [multiply(grad, offsets, matrices, true), multiply(x, offsets, matrices), null];
  },
  cost: ([x, grad]) => ({ flops: 2 * sizeOf(x!.shape) * grad!.shape[1]! }),
  samples: (
    [
      [[0, 2, 2, 7], 5, 4],
      [[0, 0], 3, 2],
      [[0, 70, 70, 83, 300], 40, 230],
      [[0, 600, 610], 33, 17],
    ] as const
  ).map(([offsets, inputs, outputs]) => ({
    inputs: [
      { shape: [offsets.at(-1)!, inputs], low: -0.2, high: 0.2 },
      { shape: [offsets.at(-1)!, outputs], low: -0.5, high: 0.5 },
      { shape: [offsets.length], dtype: "i32" as const, values: offsets },
    ],
    attrs: { groups: offsets.length - 1 },
    differentiable: inputs > 10 ? [] : [0, 1],
  })),
});

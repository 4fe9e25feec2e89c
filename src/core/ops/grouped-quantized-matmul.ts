// Products of rows by the matrix of their group, where the matrices stay as they are and are kept in few bits (../quantized.ts).
import { fail, formatType, type HostArray, sameShape, sizeOf } from "../../base/index.ts";
import { groupedQuantizedMatmulOf } from "../composed.ts";
import { defineOp } from "../op.ts";
import { type QuantizedFormat, quantizedTypes } from "../quantized.ts";
import { boundsOf, needRows } from "./grouped-matmul.ts";
import { checkParts, matrixOf, multiplyRows } from "./quantized-matmul.ts";

/** The parts of each matrix, which stand one after the other. */
function byMatrix<T>(parts: readonly T[], format: QuantizedFormat): T[][] {
  const count = Object.keys(quantizedTypes(format, [2, 1])).length;
  return Array.from({ length: Math.ceil(parts.length / count) }, (_, at) => parts.slice(at * count, (at + 1) * count));
}

export const groupedQuantizedMatmul = defineOp<
  string[],
  { readonly format: QuantizedFormat; readonly transpose: boolean }
>({
  name: "groupedQuantizedMatmul",
  kind: "contract",
  doc: "x (R, inputs), its rows [offsets[g], offsets[g + 1]) by the g-th quantized matrix → (R, outputs); or x (R, outputs) by the transposes → (R, inputs). Rows of no group give 0",
  inputs: ["x", "offsets", "parts"],
  variadic: true,
  infer: ([x, offsets, ...parts], { format, transpose }) => {
    const matrices = byMatrix(parts, format);
    needRows(x!, offsets!, matrices.length);
    for (const matrix of matrices) checkParts(matrix, x!.dtype, format);
    const [codes] = parts;
    const matrix = matrixOf(codes!, format === "nf4");
    const [depth, columns] = transpose ? matrix.toReversed() : matrix;
    if (!matrices.every(([one]) => sameShape(one!.shape, codes!.shape)) || depth !== x!.shape[1])
      fail("shape/matmul-inner", "inner dimensions of the product differ", {
        expected: `matrices of one shape, ${transpose ? "outputs" : "inputs"} ${x!.shape[1]}`,
        got: matrices.map(([one]) => formatType(one!.dtype, one!.shape)).join(", "),
        fix: "check the input width of these experts",
      });
    return { dtype: x!.dtype, shape: [x!.shape[0]!, columns!] };
  },
  reference: ([x, offsets, ...parts], { format, transpose }, [y]) => {
    const bounds = boundsOf(offsets!, x!.shape[0]!);
    (y!.data as Float64Array).fill(0);
    byMatrix<HostArray>(parts, format).forEach((matrix, group) => {
      multiplyRows(x!, matrix, transpose, y!, bounds[group]!, bounds[group + 1]!);
    });
  },
  params: ({ format, transpose }) => [Number(transpose), Number(format === "nf4")],
  vjp: ({ grad, inputs: [, offsets, ...parts], attrs: { format, transpose } }) => [
    groupedQuantizedMatmulOf(grad, offsets!, parts, format, !transpose),
    null,
    ...parts.map(() => null),
  ],
  cost: ([x], [y]) => ({ flops: 2 * sizeOf(x!.shape) * y!.shape[1]! }),
  samples: [false, true].flatMap((transpose) =>
    (["int8", "nf4"] as const).flatMap((format) =>
      (
        [
          [[0, 2, 2, 7], 6, 5],
          [[1, 3, 4], 64, 9],
          [[0, 0], 4, 3],
          [[0, 1, 9, 33, 103], 128, 230],
          [[0, 20, 20, 160], 130, 49],
        ] as const
      ).map(([offsets, inputs, outputs]) => {
        const size = format === "int8" ? 100 : 1;
        const parts = Object.values(quantizedTypes(format, [inputs, outputs])).map(({ dtype, shape }) =>
          dtype === "u8" ? { shape, dtype, low: 0, high: 256 } : { shape, low: 0.5 / size, high: 1 / size },
        );
        return {
          inputs: [
            { shape: [offsets.at(-1)! + offsets[0], transpose ? outputs : inputs] },
            { shape: [offsets.length], dtype: "i32" as const, values: offsets },
            ...offsets.slice(1).flatMap(() => parts),
          ],
          attrs: { format, transpose },
          differentiable: inputs < 10 ? [0] : [],
        };
      }),
    ),
  ),
});

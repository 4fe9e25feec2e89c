// Product with a matrix that stays as it is and is kept in few bits (../quantized.ts): its numbers are made while it is multiplied.
import { fail, formatType, type HostArray, isFloat, sizeOf } from "../../base/index.ts";
import { quantizedMatmulOf } from "../composed.ts";
import { defineOp, type ValueType } from "../op.ts";
import { numbersOf, type QuantizedFormat, quantizedTypes } from "../quantized.ts";

type QuantizedInputs = ["x", "codes", "scales", "scaleCodes", "mean"];

/** [inputs, outputs] of the matrix. */
export function matrixOf(codes: ValueType, isNf4: boolean): [number, number] {
  const [outputs, width] = codes.shape as [number, number];
  return [isNf4 ? 2 * width : width, outputs];
}

export function checkParts(parts: readonly ValueType[], dtype: ValueType["dtype"], format: QuantizedFormat): void {
  const [codes] = parts;
  if (codes?.shape.length !== 2)
    fail("shape/quantized", "codes are those of a matrix", { got: codes && formatType(codes.dtype, codes.shape) });
  const wanted = Object.values(quantizedTypes(format, matrixOf(codes, format === "nf4")));
  const types = wanted.map((type) => formatType(type.dtype === "u8" ? "u8" : dtype, type.shape));
  const got = parts.map((part) => formatType(part.dtype, part.shape));
  if (!isFloat(dtype) || types.join() !== got.join())
    fail("shape/quantized", "these are not the parts of a quantized matrix", {
      expected: types.join(", "),
      got: got.join(", "),
      fix: "give what quantize() made, in its order",
    });
}

/** Rows [first, end) of y: those of x by the matrix that parts stand for, or by its transpose. */
export function multiplyRows(
  x: HostArray,
  [codes, scales, scaleCodes, mean]: readonly HostArray[],
  transpose: boolean,
  y: HostArray,
  first: number,
  end: number,
): void {
  const parts = { codes: codes!, scales: scales!, ...(mean === undefined ? {} : { scaleCodes: scaleCodes!, mean }) };
  const matrix = numbersOf(parts);
  const [inputs, outputs] = matrixOf(codes!, mean !== undefined);
  const [depth, columns] = transpose ? [outputs, inputs] : [inputs, outputs];
  const [kStep, jStep] = transpose ? [inputs, 1] : [1, inputs];
  const values = x.data as Float64Array;
  for (let i = first; i < end; i++) {
    for (let j = 0; j < columns; j++) {
      let sum = 0;
      for (let k = 0; k < depth; k++) sum += values[i * depth + k]! * matrix[k * kStep + j * jStep]!;
      y.data[i * columns + j] = sum;
    }
  }
}

export const quantizedMatmul = defineOp<QuantizedInputs, { readonly transpose: boolean }>({
  name: "quantizedMatmul",
  kind: "contract",
  doc: "x (M, inputs) by a quantized matrix → (M, outputs), or x (M, outputs) by its transpose → (M, inputs); int8 without, nf4 with scaleCodes and mean",
  inputs: ["x", "codes", "scales", "scaleCodes", "mean"],
  optional: 2,
  infer: ([x, ...parts], { transpose }) => {
    const given = parts.filter((part) => part !== undefined);
    checkParts(given, x.dtype, given.length > 2 ? "nf4" : "int8");
    const matrix = matrixOf(given[0]!, given.length > 2);
    const [depth, columns] = transpose ? matrix.toReversed() : matrix;
    if (x.shape.length !== 2 || x.shape[1] !== depth)
      fail("shape/matmul-inner", "inner dimensions of the product differ", {
        expected: `x [M, ${depth}]`,
        got: formatType(x.dtype, x.shape),
        fix: "check the input width of this layer",
      });
    return { dtype: x.dtype, shape: [x.shape[0]!, columns!] };
  },
  reference: ([x, ...parts], { transpose }, [y]) => {
    multiplyRows(x!, parts.filter(Boolean), transpose, y!, 0, y!.shape[0]!);
  },
  params: ({ transpose }) => [Number(transpose)],
  vjp: ({ grad, inputs: [, ...parts], attrs: { transpose } }) => [
    quantizedMatmulOf(grad, parts, !transpose),
    null,
    null,
    null,
    null,
  ],
  cost: ([x], [y]) => ({ flops: 2 * sizeOf(x!.shape) * y!.shape[1]! }),
  samples: [false, true].flatMap((transpose) =>
    (
      [
        [3, 6, 5],
        [2, 64, 300],
        [1, 192, 37],
        [5, 128, 9],
        [8, 100, 6],
        [9, 64, 10],
        [17, 64, 10],
        [70, 130, 49],
        [0, 4, 3],
      ] as const
    ).flatMap(([rows, inputs, outputs]) => {
      const x = { shape: [rows, transpose ? outputs : inputs] };
      const parts = (format: "int8" | "nf4", size = format === "int8" ? 100 : 1) =>
        Object.values(quantizedTypes(format, [inputs, outputs])).map(({ dtype, shape }) =>
          dtype === "u8" ? { shape, dtype, low: 0, high: 256 } : { shape, low: 0.5 / size, high: 1 / size },
        );
      return (["int8", "nf4"] as const).map((format) => ({
        inputs: [x, ...parts(format)],
        attrs: { transpose },
        differentiable: rows * inputs < 200 ? [0] : [],
      }));
    }),
  ),
});

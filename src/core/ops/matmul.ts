// Matrix product, the one contraction so far. Convolution and grouped products will stand beside it.
import { broadcastShapes, fail, formatType, sizeOf } from "../../base/index.ts";
import * as f from "../functions.ts";
import { defineOp } from "../op.ts";

type Transposed = { readonly transposeA: boolean; readonly transposeB: boolean };

/** [rows, columns] of the last two dimensions, as the product sees them. */
function matrixDims(shape: readonly number[], transposed: boolean): [number, number] {
  const [rows, columns] = [shape.at(-2)!, shape.at(-1)!];
  return transposed ? [columns, rows] : [rows, columns];
}

export const matmul = defineOp<["a", "b"], Transposed>({
  name: "matmul",
  kind: "contract",
  layout: "strided",
  doc: "matrix product over the last two dimensions, either operand transposed; batch dimensions are equal",
  batch: "lead",
  inputs: ["a", "b"],
  infer: ([a, b], { transposeA, transposeB }) => {
    if (a.shape.length < 2 || b.shape.length !== a.shape.length || a.dtype !== b.dtype) {
      fail("shape/matmul-rank", "matmul needs two tensors of one dtype and rank, at least matrices", {
        got: `a ${formatType(a.dtype, a.shape)}, b ${formatType(b.dtype, b.shape)}`,
        fix: "reshape the smaller one; a vector v is v.reshape(n, 1)",
      });
    }
    const [m, k] = matrixDims(a.shape, transposeA);
    const [k2, n] = matrixDims(b.shape, transposeB);
    if (k !== k2) {
      fail("shape/matmul-inner", "inner dimensions of the product differ", {
        expected: `columns of a (${k}) = rows of b`,
        got: `${k2}: a ${formatType(a.dtype, a.shape)}${transposeA ? " transposed" : ""}, b ${formatType(b.dtype, b.shape)}${transposeB ? " transposed" : ""}`,
        fix: "check the input width of this layer, or transpose one operand",
      });
    }
    const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
    if (
      batch === undefined ||
      sizeOf(batch) !== sizeOf(a.shape.slice(0, -2)) ||
      sizeOf(batch) !== sizeOf(b.shape.slice(0, -2))
    ) {
      fail("shape/matmul-batch", "batch dimensions of the product differ", {
        got: `a ${formatType(a.dtype, a.shape)}, b ${formatType(b.dtype, b.shape)}`,
      });
    }
    return { dtype: a.dtype, shape: [...batch, m, n] };
  },
  reference: ([a, b], { transposeA, transposeB }, [y]) => {
    const [m, k] = matrixDims(a!.shape, transposeA);
    const [, n] = matrixDims(b!.shape, transposeB);
    const [x, w, z] = [a!.data as Float64Array, b!.data as Float64Array, y!.data as Float64Array];
    const [aRow, aColumn] = transposeA ? [1, m] : [k, 1];
    const [bRow, bColumn] = transposeB ? [1, k] : [n, 1];
    const batches = sizeOf(y!.shape.slice(0, -2));
    const line = new Float64Array(n);
    for (let batch = 0; batch < batches; batch++) {
      const [aAt, bAt, yAt] = [batch * m * k, batch * k * n, batch * m * n];
      for (let i = 0; i < m; i++) {
        line.fill(0);
        for (let p = 0; p < k; p++) {
          const factor = x[aAt + i * aRow + p * aColumn]!;
          for (let j = 0; j < n; j++) line[j]! += factor * w[bAt + p * bRow + j * bColumn]!;
        }
        z.set(line, yAt + i * n);
      }
    }
  },
  bf16: { inputs: [0, 1], outputs: [0] },
  params: ({ transposeA, transposeB }) => [Number(transposeA), Number(transposeB), 0],
  vjp: ({ grad, inputs: [a, b], attrs: { transposeA, transposeB } }) => [
    transposeA ? f.matmulOf(b, grad, transposeB, true) : f.matmulOf(grad, b, false, !transposeB),
    transposeB ? f.matmulOf(grad, a, true, transposeA) : f.matmulOf(a, grad, !transposeA, false),
  ],
  cost: ([a], [y], { transposeA }) => ({ flops: 2 * sizeOf(y!.shape) * matrixDims(a!.shape, transposeA)[1] }),
  samples: [false, true].flatMap((transposeA) =>
    [false, true].flatMap((transposeB) => {
      const at = (m: number, n: number, flip: boolean) => (flip ? [n, m] : [m, n]);
      return [
        {
          inputs: [{ shape: at(3, 5, transposeA) }, { shape: at(5, 4, transposeB) }],
          attrs: { transposeA, transposeB },
        },
        {
          inputs: [{ shape: [2, ...at(7, 3, transposeA)] }, { shape: [2, ...at(3, 17, transposeB)] }],
          attrs: { transposeA, transposeB },
        },
        {
          inputs: [{ shape: at(2, 0, transposeA) }, { shape: at(0, 3, transposeB) }],
          attrs: { transposeA, transposeB },
        },
        {
          inputs: [{ shape: at(6, 40, transposeA), low: -0.5, high: 0.5 }, { shape: at(40, 200, transposeB) }],
          attrs: { transposeA, transposeB },
          differentiable: [],
        },
        {
          inputs: [{ shape: at(65, 130, transposeA), low: -0.2, high: 0.2 }, { shape: at(130, 49, transposeB) }],
          attrs: { transposeA, transposeB },
          differentiable: [],
        },
      ];
    }),
  ),
});

// A matrix laid out for products with few rows, and such a product. The compiler makes them where a loop multiplies by the same matrix in every
// turn: it is laid out once. No model names them.
import { type DType, fail, formatType, sizeOf } from "../../base/index.ts";
import * as f from "../functions.ts";
import { defineOp } from "../op.ts";
import type { Tensor } from "../tensor.ts";

/** Columns that lie together: whole vectors on every instruction set. */
const panelColumns = 32;

/** Rows whose elements lie side by side: products of bf16 take two at once. */
const rowsTogether = (dtype: DType) => (dtype === "bf16" ? 2 : 1);

/** Matrices of samples, of whatever is tested and of bf16. */
const sizes = (...all: readonly (readonly [number, number])[]) =>
  all.flatMap(([depth, columns]) =>
    [{}, { dtype: "bf16" as const }].map((dtype: { dtype?: "bf16" }) => ({ depth, columns, dtype })),
  );

export const packPanels = defineOp<["matrix"], { readonly transpose: boolean }>({
  name: "packPanels",
  kind: "fused",
  layout: "strided",
  ownBf16: true,
  doc: "a matrix (K, N), or the transpose of one, in panels of 32 columns: (N/32, K, 32), zeros beyond its edge; of bf16 (N/32, K/2, 64), by pairs of rows",
  inputs: ["matrix"],
  infer: ([{ dtype, shape }], { transpose }) => {
    const [depth, columns] = transpose ? shape.toReversed() : shape;
    const together = rowsTogether(dtype);
    if (shape.length !== 2 || depth! % together !== 0)
      fail("shape/panels", "panels are those of a matrix", {
        expected: "a matrix; of bf16, with an even number of rows",
        got: `${formatType(dtype, shape)}${transpose ? " transposed" : ""}`,
      });
    return { dtype, shape: [Math.ceil(columns! / panelColumns), depth! / together, panelColumns * together] };
  },
  expand: ([given], { transpose }) => {
    const matrix = transpose ? given.transpose() : given;
    const [depth, columns] = matrix.shape as [number, number];
    const [together, panels] = [rowsTogether(matrix.dtype), Math.ceil(columns / panelColumns)];
    return f
      .pad(matrix, 1, 0, panels * panelColumns - columns)
      .reshape(depth / together, together, panels, panelColumns)
      .permute(2, 0, 3, 1)
      .reshape(panels, depth / together, panelColumns * together);
  },
  params: ({ transpose }) => [Number(transpose)],
  vjp: "none",
  samples: sizes([6, 40], [64, 97], [514, 31], [0, 3], [4, 0]).flatMap(({ depth, columns, dtype }) =>
    [false, true].map((transpose) => ({
      inputs: [{ shape: transpose ? [columns, depth] : [depth, columns], ...dtype }],
      attrs: { transpose },
    })),
  ),
});

export const matmulPanels = defineOp<["x", "panels"], { readonly columns: number }>({
  name: "matmulPanels",
  kind: "contract",
  ownBf16: true,
  doc: "x (M, K) by a matrix (K, columns) in panels; of bf16 both, with sums and the result in f32",
  inputs: ["x", "panels"],
  infer: ([x, panels], { columns }) => {
    const [count, depth, width] = panels.shape;
    const together = rowsTogether(panels.dtype);
    const fits =
      x.dtype === panels.dtype &&
      panels.shape.length === 3 &&
      count === Math.ceil(columns / panelColumns) &&
      width === panelColumns * together;
    if (!fits || x.shape.length !== 2 || x.shape[1] !== depth! * together)
      fail("shape/panels", "these are not the panels of a matrix that x is multiplied by", {
        expected: `x (M, K) and what packPanels made of (K, ${columns}), of one dtype`,
        got: `${formatType(x.dtype, x.shape)}, ${formatType(panels.dtype, panels.shape)}`,
      });
    return { dtype: x.dtype === "bf16" ? "f32" : x.dtype, shape: [x.shape[0]!, columns] };
  },
  expand: ([x, panels], { columns }) => {
    const [count, depth, width] = panels.shape as [number, number, number];
    const together = width / panelColumns;
    const matrix = panels
      .reshape(count, depth, panelColumns, together)
      .permute(1, 3, 0, 2)
      .reshape(depth * together, count * panelColumns)
      .slice(1, 0, columns);
    const wide = (given: Tensor) => (given.dtype === "bf16" ? given.cast("f32") : given);
    return f.matmulOf(wide(x), wide(matrix), false, false);
  },
  vjp: "none",
  cost: ([x], [y]) => ({ flops: 2 * sizeOf(x!.shape) * y!.shape[1]! }),
  samples: sizes([6, 40], [130, 100], [64, 96], [300, 1], [0, 3], [2, 0]).flatMap(({ depth, columns, dtype }) =>
    [3, 16, 70, 0].map((rows) => {
      const together = rowsTogether(dtype.dtype ?? "f32");
      const panels = [Math.ceil(columns / panelColumns), depth / together, panelColumns * together];
      return {
        inputs: [
          { shape: [rows, depth], ...dtype },
          { shape: panels, ...dtype },
        ],
        attrs: { columns },
      };
    }),
  ),
});

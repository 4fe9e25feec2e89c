// Cross-entropy of a linear map, in one op, so that a kernel need not hold the matrix of logits. Made by the compiler's pass
// `chunk-logits` from products, losses and gradients written apart; nothing else makes it.
import * as f from "../functions.ts";
import { defineOp, type ValueType } from "../op.ts";
import { matmul } from "./matmul.ts";
import { crossEntropy, crossEntropyGrad } from "./softmax.ts";

export type LinearCrossEntropyAttrs = {
  readonly ignoreIndex: number;
  /** Rows whose logits a kernel holds at one time. */
  readonly chunkRows: number;
  /** Mixed precision: the gradient of the logits is rounded to bf16 before its products. */
  readonly roundsGrad: boolean;
};

const samplesOf = (grad: boolean) =>
  [
    { rows: 5, width: 3, classes: 7, chunkRows: 2, targets: [0, 6, -1, 3, 3] },
    { rows: 3, width: 2, classes: 33, chunkRows: 8, targets: [-1, -1, -1] },
    { rows: 0, width: 4, classes: 3, chunkRows: 2, targets: [] },
    { rows: 2, width: 0, classes: 3, chunkRows: 1, targets: [2, 0] },
  ].map(({ rows, width, classes, chunkRows, targets }) => ({
    inputs: [
      { shape: [rows, width] },
      { shape: [classes, width] },
      { shape: [rows], dtype: "i32" as const, values: targets },
      ...(grad ? [{ shape: [rows] }] : []),
    ],
    attrs: { ignoreIndex: -1, chunkRows, roundsGrad: false },
  }));

export const linearCrossEntropy = defineOp<["x", "weight", "targets", "grad"], LinearCrossEntropyAttrs>({
  name: "linearCrossEntropy",
  kind: "contract",
  layout: "strided",
  doc: "cross-entropy of the logits x·weightᵀ and their log-sum-exp; given the gradient of each row's loss, also those of x and weight",
  inputs: ["x", "weight", "targets", "grad"],
  optional: 1,
  infer: ([x, weight, targets, grad], attrs) => {
    const logits = matmul.infer([x, weight], { transposeA: false, transposeB: true }) as ValueType;
    const [loss, lse] = crossEntropy.infer([logits, targets], attrs) as readonly [ValueType, ValueType];
    if (grad === undefined) return [loss, lse];
    crossEntropyGrad.infer([logits, targets, lse, grad], attrs);
    return [loss, lse, x, weight];
  },
  expand: ([x, weight, targets, grad], { ignoreIndex, roundsGrad }) => {
    const logits = f.matmulOf(x, weight, false, true); // (N, V)
    const [loss, lse] = f.fusedMulti(crossEntropy, [logits, targets], { ignoreIndex });
    if (grad === undefined) return [loss!, lse!];
    const exact = f.fused(crossEntropyGrad, [logits, targets, lse!, grad], { ignoreIndex });
    const dLogits = roundsGrad ? exact.cast("bf16").cast(exact.dtype) : exact;
    return [loss!, lse!, f.matmulOf(dLogits, weight, false, false), f.matmulOf(dLogits, x, true, false)];
  },
  params: ({ ignoreIndex, chunkRows, roundsGrad }) => [ignoreIndex, chunkRows, Number(roundsGrad)],
  bf16: { inputs: [0, 1], outputs: [2] },
  cost: ([x, weight], outputs) => {
    const [rows, width, classes] = [x!.shape[0]!, x!.shape[1]!, weight!.shape[0]!];
    const [products, exponentials] = outputs.length === 2 ? [1, 1] : [3, 2];
    return { flops: rows * classes * (2 * products * width + 12 * exponentials) };
  },
  samples: [...samplesOf(false), ...samplesOf(true)],
});

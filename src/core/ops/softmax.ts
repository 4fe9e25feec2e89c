// Softmax and cross-entropy over the last axis, from logits, by log-sum-exp: finite for any finite logits.
import { fail, formatType, isFloat, sameShape, sizeOf } from "../../base/index.ts";
import * as f from "../functions.ts";
import { defineOp, type ValueType } from "../op.ts";

type None = Record<string, never>;

function needRows(name: string, x: ValueType): ValueType {
  if (!isFloat(x.dtype) || x.shape.length === 0)
    fail("shape/softmax", `${name} needs a floating-point tensor with a last axis`, {
      got: formatType(x.dtype, x.shape),
      fix: 'give it an axis: x.reshape(1), or a dtype: x.cast("f32")',
    });
  return x;
}

const lastAxis = { axis: -1, keepDim: true } as const;
const cost = ([x]: readonly ValueType[]) => ({ flops: 12 * sizeOf(x!.shape) });
const samples = [
  { inputs: [{ shape: [3, 7] }] },
  { inputs: [{ shape: [2, 2, 33], low: -9, high: 9 }] },
  { inputs: [{ shape: [0, 4] }] },
  { inputs: [{ shape: [4, 1] }] },
];
const gradSamples = [
  { inputs: [{ shape: [3, 7] }, { shape: [3, 7], low: 0.05, high: 0.3 }] },
  { inputs: [{ shape: [0, 7] }, { shape: [0, 7] }] },
];

export const softmax = defineOp<["x"], None>({
  name: "softmax",
  kind: "fused",
  doc: "e^x / Σ e^x over the last axis",
  batch: "lead",
  inputs: ["x"],
  infer: ([x]) => needRows("softmax", x),
  expand: ([x]) => {
    const shifted = x.sub(f.stopGradient(x.max(lastAxis))).exp();
    return shifted.div(shifted.sum(lastAxis));
  },
  vjp: ({ grad, output }) => [f.fused(softmaxGrad, [grad, output])],
  inPlace: [[0, 0]],
  cost,
  samples,
});

export const softmaxGrad = defineOp<["grad", "y"], None>({
  name: "softmaxGrad",
  kind: "fused",
  doc: "gradient of softmax from its output: y·(g − Σ g·y)",
  batch: "lead",
  inputs: ["grad", "y"],
  infer: ([, y]) => needRows("softmaxGrad", y),
  expand: ([grad, y]) => y.mul(grad.sub(grad.mul(y).sum(lastAxis))),
  inPlace: [[0, 0]],
  cost: ([, y]) => ({ flops: 4 * sizeOf(y!.shape) }),
  samples: gradSamples,
});

export const logSoftmax = defineOp<["x"], None>({
  name: "logSoftmax",
  kind: "fused",
  doc: "x − log Σ e^x over the last axis",
  batch: "lead",
  inputs: ["x"],
  infer: ([x]) => needRows("logSoftmax", x),
  expand: ([x]) => {
    const shifted = x.sub(f.stopGradient(x.max(lastAxis)));
    return shifted.sub(shifted.exp().sum(lastAxis).log());
  },
  vjp: ({ grad, output }) => [f.fused(logSoftmaxGrad, [grad, output])],
  inPlace: [[0, 0]],
  cost,
  samples,
});

export const logSoftmaxGrad = defineOp<["grad", "y"], None>({
  name: "logSoftmaxGrad",
  kind: "fused",
  doc: "gradient of log-softmax from its output: g − e^y·Σ g",
  batch: "lead",
  inputs: ["grad", "y"],
  infer: ([, y]) => needRows("logSoftmaxGrad", y),
  expand: ([grad, y]) => grad.sub(y.exp().mul(grad.sum(lastAxis))),
  inPlace: [[0, 0]],
  cost,
  samples: gradSamples,
});

type Ignore = { readonly ignoreIndex: number };

export const crossEntropy = defineOp<["logits", "targets"], Ignore>({
  name: "crossEntropy",
  kind: "fused",
  doc: "per row: log Σ e^logits − logit of the target class; 0 where the target is ignoreIndex. Also returns log Σ e^logits, 0 there too",
  inputs: ["logits", "targets"],
  infer: ([logits, targets]) => {
    if (
      logits.shape.length !== 2 ||
      targets.shape.length !== 1 ||
      logits.shape[0] !== targets.shape[0] ||
      targets.dtype !== "i32" ||
      !isFloat(logits.dtype)
    ) {
      fail("shape/cross-entropy", "cross-entropy needs logits (rows, classes) and one class id per row", {
        expected: "logits float[N,V], targets i32[N]",
        got: `logits ${formatType(logits.dtype, logits.shape)}, targets ${formatType(targets.dtype, targets.shape)}`,
        fix: "the order is (logits, targets): do not exchange them, and flatten (B,T,V) to (B·T,V)",
      });
    }
    const row = { dtype: logits.dtype, shape: [logits.shape[0]!] };
    return [row, row];
  },
  expand: ([logits, targets], { ignoreIndex }) => {
    const largest = f.stopGradient(logits.max(lastAxis));
    const lse = logits.sub(largest).exp().sum(lastAxis).log().add(largest).reshape(logits.shape[0]!);
    const kept = targets.notEqual(ignoreIndex);
    const chosen = f.takeAlong(logits, f.where(kept, targets, 0));
    return [f.where(kept, lse.sub(chosen), 0), f.where(kept, lse, 0)];
  },
  params: ({ ignoreIndex }) => [ignoreIndex],
  vjp: ({ grads, inputs: [logits, targets], outputs: [, lse], attrs }) => {
    const [dLoss, dLse] = grads;
    const parts = [];
    if (dLoss !== undefined) parts.push(f.fused(crossEntropyGrad, [logits, targets, lse!, dLoss], attrs));
    if (dLse !== undefined) {
      const rows = logits.shape[0]!;
      const kept = targets.notEqual(attrs.ignoreIndex).reshape(rows, 1);
      const softmax = logits.sub(lse!.reshape(rows, 1)).exp();
      parts.push(f.where(kept, softmax.mul(dLse.reshape(rows, 1)), 0));
    }
    return [parts.reduce((sum, part) => sum.add(part)), null];
  },
  cost,
  samples: [
    { inputs: [{ shape: [4, 7] }, { shape: [4], dtype: "i32", values: [0, 6, -1, 3] }], attrs: { ignoreIndex: -1 } },
    {
      inputs: [
        { shape: [2, 33], low: -20, high: 20 },
        { shape: [2], dtype: "i32", values: [32, 1] },
      ],
      attrs: { ignoreIndex: -100 },
    },
    { inputs: [{ shape: [0, 3] }, { shape: [0], dtype: "i32" }], attrs: { ignoreIndex: -1 } },
  ],
});

export const crossEntropyGrad = defineOp<["logits", "targets", "lse", "grad"], Ignore>({
  name: "crossEntropyGrad",
  kind: "fused",
  doc: "(softmax − one-hot)·g per row; zero rows where the target is ignored",
  inputs: ["logits", "targets", "lse", "grad"],
  infer: ([logits, , lse, grad]) => {
    if (!sameShape(lse.shape, grad.shape))
      fail("shape/cross-entropy", "one gradient per row", { got: formatType(grad.dtype, grad.shape) });
    return logits;
  },
  expand: ([logits, targets, lse, grad], { ignoreIndex }) => {
    const [rows, classes] = [logits.shape[0]!, logits.shape[1]!];
    const kept = targets.notEqual(ignoreIndex);
    const weight = f.where(kept, grad, 0);
    // an ignored row has no log-sum-exp: its e^logits may be infinite
    const probability = f.where(kept.reshape(rows, 1), logits.sub(lse.reshape(rows, 1)), 0).exp();
    return probability.mul(weight.reshape(rows, 1)).sub(f.scatterAlong(f.where(kept, targets, 0), weight, classes));
  },
  params: ({ ignoreIndex }) => [ignoreIndex],
  inPlace: [[0, 0]],
  cost,
  samples: [
    {
      inputs: [
        { shape: [4, 7] },
        { shape: [4], dtype: "i32", values: [0, 6, -1, 3] },
        { shape: [4], low: 2, high: 3 },
        { shape: [4] },
      ],
      attrs: { ignoreIndex: -1 },
    },
    {
      inputs: [{ shape: [0, 3] }, { shape: [0], dtype: "i32" }, { shape: [0] }, { shape: [0] }],
      attrs: { ignoreIndex: -1 },
    },
  ],
});

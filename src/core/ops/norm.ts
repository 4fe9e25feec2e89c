// Layer norm and RMS norm over the last axis, with the statistics that their gradients need.
import { fail, formatType, isFloat, sizeOf } from "../../base/index.ts";
import * as f from "../functions.ts";
import { defineOp, type ValueType } from "../op.ts";
import type { Tensor } from "../tensor.ts";

type Eps = { readonly eps: number };
const lastAxis = { axis: -1, keepDim: true } as const;

function checkScale(name: string, x: ValueType, ...scales: ValueType[]): void {
  for (const scale of scales) {
    if (!isFloat(x.dtype) || scale.dtype !== x.dtype || scale.shape.length !== 1 || scale.shape[0] !== x.shape.at(-1)) {
      fail("shape/norm", `${name}: weight and bias match the last dimension`, {
        expected: `${x.dtype}[${x.shape.at(-1) ?? "C"}]`,
        got: `${formatType(scale.dtype, scale.shape)} for x ${formatType(x.dtype, x.shape)}`,
        fix: "build the norm for the width of what it normalizes",
      });
    }
  }
}

const perRow = (x: ValueType): ValueType => ({ dtype: x.dtype, shape: x.shape.slice(0, -1) });
const cost = ([x]: readonly ValueType[]) => ({ flops: 8 * sizeOf(x!.shape) });

// Ba, Kiros & Hinton 2016; biased variance, eps inside the root.
function layerNormComposition(x: Tensor, weight: Tensor, bias: Tensor, eps: number): readonly [Tensor, Tensor, Tensor] {
  const mean = x.mean(lastAxis);
  const centred = x.sub(mean);
  const rstd = centred.square().mean(lastAxis).add(eps).rsqrt();
  const rows = x.shape.slice(0, -1);
  return [centred.mul(rstd).mul(weight).add(bias), mean.reshape(...rows), rstd.reshape(...rows)];
}

export const layerNorm = defineOp<["x", "weight", "bias"], Eps>({
  name: "layerNorm",
  kind: "fused",
  doc: "(x − mean)/√(var + eps)·weight + bias over the last axis; also returns mean and 1/√(var + eps)",
  inputs: ["x", "weight", "bias"],
  infer: ([x, weight, bias]) => {
    checkScale("layerNorm", x, weight, bias);
    return [x, perRow(x), perRow(x)];
  },
  expand: ([x, weight, bias], { eps }) => layerNormComposition(x, weight, bias, eps),
  params: ({ eps }) => [eps],
  bf16: { inputs: [0], outputs: [0] },
  vjp: ({ grads, inputs: [x, weight, bias], outputs: [, mean, rstd], attrs }) => {
    if (grads[1] ?? grads[2])
      return f.gradientOfMany((a, b, c) => layerNormComposition(a!, b!, c!, attrs.eps), [x, weight, bias], grads) as [
        Tensor,
        Tensor,
        Tensor,
      ];
    const [dx, dw, db] = f.fusedMulti(layerNormGrad, [grads[0]!, x, weight, mean!, rstd!], attrs);
    return [dx!, dw!, db!];
  },
  cost,
  samples: [
    { inputs: [{ shape: [4, 6] }, { shape: [6] }, { shape: [6] }], attrs: { eps: 1e-5 } },
    { inputs: [{ shape: [2, 3, 17] }, { shape: [17] }, { shape: [17] }], attrs: { eps: 1e-5 } },
    { inputs: [{ shape: [0, 5] }, { shape: [5] }, { shape: [5] }], attrs: { eps: 1e-5 } },
  ],
});

export const layerNormGrad = defineOp<["grad", "x", "weight", "mean", "rstd"], Eps>({
  name: "layerNormGrad",
  kind: "fused",
  doc: "gradients of layer norm with respect to x, weight and bias",
  inputs: ["grad", "x", "weight", "mean", "rstd"],
  infer: ([, x, weight]) => [x, weight, weight],
  expand: ([grad, x, weight, mean, rstd]) => {
    const rows = [...x.shape.slice(0, -1), 1];
    const deviation = x.sub(mean.reshape(...rows)); // of a mean that is rounded: what it is off by is taken out
    const normal = deviation.sub(deviation.mean(lastAxis)).mul(rstd.reshape(...rows));
    const g = grad.mul(weight);
    const dx = g
      .sub(g.mean(lastAxis))
      .sub(normal.mul(g.mul(normal).mean(lastAxis)))
      .mul(rstd.reshape(...rows));
    return [dx, f.sumTo(grad.mul(normal), weight.shape), f.sumTo(grad, weight.shape)];
  },
  params: ({ eps }) => [eps],
  bf16: { inputs: [0, 1], outputs: [0] },
  cost: ([, x]) => ({ flops: 14 * sizeOf(x!.shape) }),
  samples: [
    {
      inputs: [{ shape: [4, 6] }, { shape: [4, 6] }, { shape: [6] }, { shape: [4] }, { shape: [4], low: 0.5, high: 2 }],
      attrs: { eps: 1e-5 },
    },
    {
      inputs: [{ shape: [0, 6] }, { shape: [0, 6] }, { shape: [6] }, { shape: [0] }, { shape: [0] }],
      attrs: { eps: 1e-5 },
    },
  ],
});

// Zhang & Sennrich 2019.
function rmsNormComposition(x: Tensor, weight: Tensor, eps: number): readonly [Tensor, Tensor] {
  const rstd = x.square().mean(lastAxis).add(eps).rsqrt();
  return [x.mul(rstd).mul(weight), rstd.reshape(...x.shape.slice(0, -1))];
}

export const rmsNorm = defineOp<["x", "weight"], Eps>({
  name: "rmsNorm",
  kind: "fused",
  doc: "x/√(mean x² + eps)·weight over the last axis; also returns 1/√(mean x² + eps)",
  inputs: ["x", "weight"],
  infer: ([x, weight]) => {
    checkScale("rmsNorm", x, weight);
    return [x, perRow(x)];
  },
  expand: ([x, weight], { eps }) => rmsNormComposition(x, weight, eps),
  params: ({ eps }) => [eps],
  bf16: { inputs: [0], outputs: [0] },
  vjp: ({ grads, inputs: [x, weight], outputs: [, rstd], attrs }) => {
    if (grads[1])
      return f.gradientOfMany((a, b) => rmsNormComposition(a!, b!, attrs.eps), [x, weight], grads) as [Tensor, Tensor];
    const [dx, dw] = f.fusedMulti(rmsNormGrad, [grads[0]!, x, weight, rstd!], attrs);
    return [dx!, dw!];
  },
  cost,
  samples: [
    { inputs: [{ shape: [4, 6] }, { shape: [6] }], attrs: { eps: 1e-6 } },
    { inputs: [{ shape: [2, 3, 17] }, { shape: [17] }], attrs: { eps: 1e-6 } },
    { inputs: [{ shape: [0, 5] }, { shape: [5] }], attrs: { eps: 1e-6 } },
  ],
});

export const rmsNormGrad = defineOp<["grad", "x", "weight", "rstd"], Eps>({
  name: "rmsNormGrad",
  kind: "fused",
  doc: "gradients of RMS norm with respect to x and weight",
  inputs: ["grad", "x", "weight", "rstd"],
  infer: ([, x, weight]) => [x, weight],
  expand: ([grad, x, weight, rstd]) => {
    const root = rstd.reshape(...x.shape.slice(0, -1), 1);
    const normal = x.mul(root);
    const g = grad.mul(weight);
    return [g.sub(normal.mul(g.mul(normal).mean(lastAxis))).mul(root), f.sumTo(grad.mul(normal), weight.shape)];
  },
  params: ({ eps }) => [eps],
  bf16: { inputs: [0, 1], outputs: [0] },
  cost: ([, x]) => ({ flops: 9 * sizeOf(x!.shape) }),
  samples: [
    {
      inputs: [{ shape: [4, 6] }, { shape: [4, 6] }, { shape: [6] }, { shape: [4], low: 0.5, high: 2 }],
      attrs: { eps: 1e-6 },
    },
    { inputs: [{ shape: [0, 6] }, { shape: [0, 6] }, { shape: [6] }, { shape: [0] }], attrs: { eps: 1e-6 } },
  ],
});

// Activations with a slope of their own: one pass forward, one pass back. Elementwise, so they fuse into tapes.
import { fail, formatType, isFloat, sameShape, sizeOf } from "../../base/index.ts";
import * as f from "../functions.ts";
import { defineOp } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { erfScalar } from "./elementwise.ts";

type None = Record<string, never>;

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const tanhGain = Math.sqrt(2 / Math.PI);

function activation(
  name: string,
  doc: string,
  scalar: (x: number) => number,
  slope: (x: number) => number,
  compose: (x: Tensor) => Tensor,
  flops: number,
) {
  const size = (x: { shape: readonly number[] } | undefined) => sizeOf(x!.shape);
  const gradOp = defineOp<["x", "grad"], None>({
    name: `${name}Grad`,
    kind: "elementwise",
    doc: `gradient of ${name} at x, times the incoming gradient`,
    inputs: ["x", "grad"],
    infer: ([x, grad]) => {
      if (x.dtype !== grad.dtype || !sameShape(x.shape, grad.shape))
        fail("shape/elementwise", `${name}Grad needs equal types`, { got: formatType(grad.dtype, grad.shape) });
      return x;
    },
    scalar: (x, grad) => slope(x) * grad,
    expand: ([x, grad]) => f.gradientOf(compose, [x], grad)[0]!,
    inPlace: [
      [0, 0],
      [0, 1],
    ],
    cost: ([x]) => ({ flops: (flops + 6) * size(x) }),
    samples: [
      { inputs: [{ shape: [4, 9], low: -4, high: 4 }, { shape: [4, 9] }] },
      { inputs: [{ shape: [0] }, { shape: [0] }] },
    ],
  });
  const op = defineOp<["x"], None>({
    name,
    kind: "elementwise",
    doc,
    inputs: ["x"],
    infer: ([x]) => {
      if (!isFloat(x.dtype))
        fail("dtype/float", `${name} needs a floating-point tensor`, { got: formatType(x.dtype, x.shape) });
      return x;
    },
    scalar,
    expand: ([x]) => compose(x),
    vjp: ({ grad, inputs: [x] }) => [f.elementwise(gradOp, x, grad)],
    inPlace: [[0, 0]],
    cost: ([x]) => ({ flops: flops * size(x) }),
    samples: [
      { inputs: [{ shape: [4, 9], low: -4, high: 4 }] },
      { inputs: [{ shape: [0] }] },
      { inputs: [{ shape: [1030], low: -6, high: 6 }] },
    ],
  });
  return { op, gradOp };
}

// Hendrycks & Gimpel 2016, exact form with the error function.
const geluPair = activation(
  "gelu",
  "x·Φ(x), Φ by erf",
  (x) => 0.5 * x * (1 + erfScalar(x / Math.SQRT2)),
  (x) => 0.5 * (1 + erfScalar(x / Math.SQRT2)) + (x * Math.exp(-0.5 * x * x)) / Math.sqrt(2 * Math.PI),
  (x) => x.mul(0.5).mul(x.mul(Math.SQRT1_2).erf().add(1)),
  14,
);
// The same paper's approximation, which GPT-2 used.
const geluTanhPair = activation(
  "geluTanh",
  "x·Φ(x), Φ by tanh",
  (x) => 0.5 * x * (1 + Math.tanh(tanhGain * (x + 0.044715 * x ** 3))),
  (x) => {
    const t = Math.tanh(tanhGain * (x + 0.044715 * x ** 3));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * tanhGain * (1 + 3 * 0.044715 * x * x);
  },
  (x) => x.mul(0.5).mul(x.add(x.square().mul(x).mul(0.044715)).mul(tanhGain).tanh().add(1)),
  14,
);
// Elfwing et al. 2017; SiLU, also called swish.
const siluPair = activation(
  "silu",
  "x·σ(x)",
  (x) => x * sigmoid(x),
  (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))),
  (x) => x.mul(x.sigmoid()),
  10,
);

export const gelu = geluPair.op;
export const geluGrad = geluPair.gradOp;
export const geluTanh = geluTanhPair.op;
export const geluTanhGrad = geluTanhPair.gradOp;
export const silu = siluPair.op;
export const siluGrad = siluPair.gradOp;

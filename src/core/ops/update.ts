// Optimizer updates in one pass over memory. Each is a composition first; the kernel only saves traffic.
import { fail, formatType, sameShape, sizeOf } from "../../base/index.ts";
import { defineOp, type ValueType } from "../op.ts";

function sameAll(name: string, first: ValueType, others: readonly ValueType[], scalars: readonly ValueType[]): void {
  for (const other of others) {
    if (other.dtype !== first.dtype || !sameShape(other.shape, first.shape)) {
      fail("shape/update", `${name}: parameter, gradient and slots have one type`, {
        expected: formatType(first.dtype, first.shape),
        got: formatType(other.dtype, other.shape),
      });
    }
  }
  for (const scalar of scalars)
    if (scalar.shape.length !== 0)
      fail("shape/update", `${name}: rates are scalars`, { got: formatType(scalar.dtype, scalar.shape) });
}

type AdamAttrs = { readonly beta1: number; readonly beta2: number; readonly eps: number; readonly weightDecay: number };

// Loshchilov & Hutter 2019, algorithm 2, with PyTorch's eps outside the bias-corrected root.
export const adamw = defineOp<["p", "g", "m", "v", "scale", "lr", "c1", "c2"], AdamAttrs>({
  name: "adamw",
  kind: "fused",
  doc: "AdamW step: new parameter, moments, and a scalar that is 0 when both moments are finite, else NaN. c1 = 1/(1−β₁ᵗ) and c2 = 1/(1−β₂ᵗ) come from the host; g is multiplied by scale first",
  inputs: ["p", "g", "m", "v", "scale", "lr", "c1", "c2"],
  infer: ([p, g, m, v, ...scalars]) => {
    sameAll("adamw", p, [g, m, v], scalars);
    return [p, m, v, { dtype: p.dtype, shape: [] }];
  },
  expand: ([p, g, m, v, scale, lr, c1, c2], { beta1, beta2, eps, weightDecay }) => {
    const grad = g.mul(scale);
    const first = m.mul(beta1).add(grad.mul(1 - beta1));
    const second = v.mul(beta2).add(grad.square().mul(1 - beta2));
    const decayed = weightDecay === 0 ? p : p.mul(lr.mul(-weightDecay).add(1));
    const step = first.mul(lr.mul(c1)).div(second.sqrt().mul(c2.sqrt()).add(eps));
    return [decayed.sub(step), first, second, first.sum().add(second.sum()).mul(0)];
  },
  params: ({ beta1, beta2, eps, weightDecay }) => [beta1, beta2, eps, weightDecay],
  inPlace: [
    [0, 0],
    [1, 2],
    [2, 3],
  ],
  vjp: "none",
  cost: ([p]) => ({ flops: 15 * sizeOf(p!.shape) }),
  samples: [
    { weightDecay: 0, size: 37 },
    { weightDecay: 0.1, size: 37 },
    { weightDecay: 0.1, size: 0 },
  ].map(({ weightDecay, size }) => ({
    inputs: [
      { shape: [size] },
      { shape: [size] },
      { shape: [size] },
      { shape: [size], low: 0.01, high: 1 },
      { shape: [], low: 0.5, high: 1 },
      { shape: [], low: 0.001, high: 0.01 },
      { shape: [], low: 1, high: 5 },
      { shape: [], low: 1, high: 5 },
    ],
    attrs: { beta1: 0.9, beta2: 0.95, eps: 1e-8, weightDecay },
  })),
});

type LionAttrs = { readonly beta1: number; readonly beta2: number; readonly weightDecay: number };

// Chen et al. 2023, algorithm 2: the sign of one running mean moves the parameter, another one is kept.
export const lion = defineOp<["p", "g", "m", "scale", "lr"], LionAttrs>({
  name: "lion",
  kind: "fused",
  doc: "Lion step: new parameter, new mean, and a scalar that is 0 when the mean is finite, else NaN; g is multiplied by scale first",
  inputs: ["p", "g", "m", "scale", "lr"],
  infer: ([p, g, m, ...scalars]) => {
    sameAll("lion", p, [g, m], scalars);
    return [p, m, { dtype: p.dtype, shape: [] }];
  },
  expand: ([p, g, m, scale, lr], { beta1, beta2, weightDecay }) => {
    const grad = g.mul(scale);
    const direction = m
      .mul(beta1)
      .add(grad.mul(1 - beta1))
      .sign();
    const mean = m.mul(beta2).add(grad.mul(1 - beta2));
    const decayed = weightDecay === 0 ? p : p.mul(lr.mul(-weightDecay).add(1));
    return [decayed.sub(direction.mul(lr)), mean, mean.sum().mul(0)];
  },
  params: ({ beta1, beta2, weightDecay }) => [beta1, beta2, weightDecay],
  inPlace: [
    [0, 0],
    [1, 2],
  ],
  vjp: "none",
  cost: ([p]) => ({ flops: 10 * sizeOf(p!.shape) }),
  samples: [
    { weightDecay: 0, size: 37 },
    { weightDecay: 0.1, size: 37 },
    { weightDecay: 0.1, size: 0 },
  ].map(({ weightDecay, size }) => ({
    inputs: [
      ...[1, 2, 3].map(() => ({ shape: [size] })),
      { shape: [], low: 0.5, high: 1 },
      { shape: [], low: 0.001, high: 0.01 },
    ],
    attrs: { beta1: 0.9, beta2: 0.99, weightDecay },
  })),
});

type SgdAttrs = {
  readonly momentum: number;
  readonly dampening: number;
  readonly nesterov: boolean;
  readonly weightDecay: number;
};

// Sutskever et al. 2013 in PyTorch's form: velocity = μ·velocity + (1−dampening)·g, p −= lr·velocity; weightDecay is coupled (l2).
export const sgd = defineOp<["p", "g", "scale", "lr", "velocity"], SgdAttrs>({
  name: "sgd",
  kind: "fused",
  doc: "SGD step with momentum: new parameter and, with a velocity, the new velocity; g is multiplied by scale first",
  inputs: ["p", "g", "scale", "lr", "velocity"],
  optional: 1,
  infer: ([p, g, scale, lr, velocity]) => {
    sameAll("sgd", p, velocity ? [g, velocity] : [g], [scale, lr]);
    return velocity ? [p, velocity] : [p];
  },
  expand: ([p, g, scale, lr, velocity], { momentum, dampening, nesterov, weightDecay }) => {
    const scaled = g.mul(scale);
    const grad = weightDecay === 0 ? scaled : scaled.add(p.mul(weightDecay));
    if (velocity === undefined) return [p.sub(grad.mul(lr))];
    const next = velocity.mul(momentum).add(grad.mul(1 - dampening));
    return [p.sub((nesterov ? grad.add(next.mul(momentum)) : next).mul(lr)), next];
  },
  params: ({ momentum, dampening, nesterov, weightDecay }) => [momentum, dampening, Number(nesterov), weightDecay],
  inPlace: [
    [0, 0],
    [1, 4],
  ],
  vjp: "none",
  cost: ([p]) => ({ flops: 6 * sizeOf(p!.shape) }),
  samples: [
    ...[false, true].map((nesterov) => ({
      inputs: [{ shape: [37] }, { shape: [37] }, { shape: [] }, { shape: [] }, { shape: [37] }],
      attrs: { momentum: 0.9, dampening: nesterov ? 0 : 0.3, nesterov, weightDecay: 5e-4 },
    })),
    ...[37, 0].map((size) => ({
      inputs: [{ shape: [size] }, { shape: [size] }, { shape: [] }, { shape: [] }],
      attrs: { momentum: 0, dampening: 0, nesterov: false, weightDecay: 0.1 },
    })),
  ],
});

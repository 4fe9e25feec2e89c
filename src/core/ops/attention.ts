// Scaled dot-product attention in the layout (B, T, H, D), in which a projection's output splits into heads without a copy.
// B batch, T queries, S keys, H query heads, G key heads (H a multiple of G), D head width.
import { fail, formatType, hashName, isFloat, sizeOf } from "../../base/index.ts";
import * as f from "../functions.ts";
import { defineOp, type ValueType } from "../op.ts";
import type { Tensor } from "../tensor.ts";
import { checkRandomInputs } from "./random.ts";

export type AttentionAttrs = {
  /** Query i sees keys j ≤ i + (S − T), the last one all; or, given the positions of the first queries, j ≤ i + position. */
  readonly causal: boolean;
  /** Query i sees keys less than this far from i + (S − T), before it and, if not causal, after it; 0: any distance. */
  readonly window: number;
  readonly scale: number;
  /** Stream of the dropout on the probabilities, or "" for none. */
  readonly dropoutStream: string;
};

function check(q: ValueType, k: ValueType, v: ValueType, mask: ValueType | undefined, causal: boolean): void {
  const [batch, queries, heads, width] = q.shape;
  const fits =
    q.shape.length === 4 &&
    k.shape.length === 4 &&
    v.shape.length === 4 &&
    isFloat(q.dtype) &&
    k.dtype === q.dtype &&
    v.dtype === q.dtype &&
    k.shape[0] === batch &&
    v.shape[0] === batch &&
    k.shape[1] === v.shape[1] &&
    k.shape[2] === v.shape[2] &&
    k.shape[3] === width &&
    v.shape[3] === width &&
    heads! % k.shape[2]! === 0;
  if (!fits) {
    fail("shape/attention", "queries, keys and values do not fit", {
      expected: "q [B,T,H,D], k and v [B,S,G,D] of one float dtype, H a multiple of G",
      got: `q ${formatType(q.dtype, q.shape)}, k ${formatType(k.dtype, k.shape)}, v ${formatType(v.dtype, v.shape)}`,
    });
  }
  if (mask === undefined) return;
  const keys = k.shape[1]!;
  const full = [batch!, heads!, queries!, keys];
  const isMask = mask.shape.length === 4 && mask.shape.every((dim, at) => dim === full[at] || (dim === 1 && at < 3));
  const isPositions = causal && formatType("i32", mask.shape) === formatType("i32", [batch!]);
  const isDocuments = queries === keys && formatType("i32", mask.shape) === formatType("i32", [batch!, keys]);
  if (mask.dtype === "bool" ? !isMask : mask.dtype !== "i32" || !(isDocuments || isPositions)) {
    fail("shape/attention-mask", "the mask does not fit", {
      expected: `bool[${full}], dimensions but the last may be 1, true = may be seen; or, where T = S, i32[${[batch!, keys]}], the document of each position; or, if causal, i32[${batch}], where each row's queries begin`,
      got: formatType(mask.dtype, mask.shape),
    });
  }
}

function checkWindow(window: number): void {
  if (Number.isInteger(window) && window >= 0) return;
  fail("shape/attention-window", "the window counts keys", {
    expected: "a whole number from 1 on, or 0 for none",
    got: String(window),
  });
}

/** Where position `query` may see position `key`, (B|1, H|1, T, S); undefined where it may see all. */
function visibility(q: Tensor, k: Tensor, mask: Tensor | undefined, attrs: AttentionAttrs): Tensor | undefined {
  const [batch, queries] = q.shape as [number, number];
  const keys = k.shape[1]!;
  const shape = [1, 1, queries, keys];
  const start = mask !== undefined && isPositions(mask) ? mask.reshape(batch, 1, 1, 1) : keys - queries;
  const ahead = f.iota(shape, 3).sub(f.iota(shape, 2).add(start)); // of the key
  const rules: Tensor[] = [];
  if (attrs.causal) rules.push(ahead.lessEqual(0));
  if (attrs.window > 0) rules.push(ahead.greater(-attrs.window));
  if (attrs.window > 0 && !attrs.causal) rules.push(ahead.less(attrs.window));
  if (mask?.dtype === "bool") rules.push(mask);
  else if (mask !== undefined && !isPositions(mask))
    rules.push(mask.reshape(batch, 1, queries, 1).equal(mask.reshape(batch, 1, 1, keys)));
  return rules.reduce<Tensor | undefined>((all, one) => (all ? all.and(one) : one), undefined);
}

/** Whether a mask says where each row's queries begin: queries over a cache. */
const isPositions = (mask: Tensor) => mask.dtype === "i32" && mask.rank === 1;

/** The composition: T×S probabilities are materialized, which kernels avoid. */
function compose(
  q: Tensor,
  k: Tensor,
  v: Tensor,
  p: Tensor,
  key: Tensor,
  rows: Tensor,
  mask: Tensor | undefined,
  attrs: AttentionAttrs,
): readonly [Tensor, Tensor] {
  const [batch, queries, heads, width] = q.shape as [number, number, number, number];
  const [, keys, groups] = k.shape as [number, number, number, number];
  const perHead = (x: Tensor) => {
    // (B,S,G,D) → (B,G,1,S,D) → (B,H,S,D): heads of one group share keys and values
    const grouped = x.permute(0, 2, 1, 3).reshape(batch, groups, 1, keys, width);
    return grouped.broadcastTo([batch, groups, heads / groups, keys, width]).reshape(batch, heads, keys, width);
  };
  const scores = f.matmulOf(q.permute(0, 2, 1, 3), perHead(k), false, true).mul(attrs.scale); // (B,H,T,S)
  const seen = visibility(q, k, mask, attrs)?.broadcastTo([batch, heads, queries, keys]);
  const masked = seen ? f.where(seen, scores, Number.NEGATIVE_INFINITY) : scores;
  const largest = f.stopGradient(masked.max({ axis: -1, keepDim: true }));
  const safe = f.where(largest.isFinite(), largest, 0); // rows that see nothing give zeros
  const raised = seen ? f.where(seen, f.where(seen, scores, 0).sub(safe).exp(), 0) : scores.sub(safe).exp();
  const total = raised.sum({ axis: -1, keepDim: true });
  const empty = total.equal(0);
  let probabilities = raised.div(f.where(empty, 1, total));
  if (attrs.dropoutStream !== "") probabilities = f.dropoutOf(probabilities, p, key, rows, attrs.dropoutStream);
  const out = f.matmulOf(probabilities, perHead(v), false, false).permute(0, 2, 1, 3); // (B,T,H,D)
  const lse = f
    .where(empty, Number.NEGATIVE_INFINITY, f.where(empty, 1, total).log().add(safe))
    .reshape(batch, heads, queries);
  return [out, lse];
}

const params = ({ causal, scale, dropoutStream, window }: AttentionAttrs): number[] => [
  Number(causal),
  scale,
  dropoutStream === "" ? -1 : hashName(dropoutStream),
  window,
];

/** Of the keys that a query sees by its position: documents are not known before they are there. */
function flopsOf(q: ValueType, k: ValueType, { causal, window }: AttentionAttrs, products: number) {
  const keys = k.shape[1]! / (causal ? 2 : 1);
  const near = window === 0 ? keys : Math.min(keys, causal ? window : 2 * window - 1);
  return { flops: 2 * products * sizeOf(q.shape) * near };
}

const key = { shape: [3], dtype: "i32", values: [3, 1, 4] } as const;
const rate = { shape: [], values: [0.3] } as const;
const rowsOf = (n: number) =>
  ({ shape: [n], dtype: "i32", values: Array.from({ length: n }, (_, i) => 5 + 2 * i) }) as const;
const plain = { causal: true, scale: 0.5, dropoutStream: "", window: 0 };
const square = (batch: number, time: number) =>
  [{ shape: [batch, time, 2, 4] }, { shape: [batch, time, 2, 4] }, { shape: [batch, time, 2, 4] }] as const;
const documents = (...rows: number[][]) =>
  ({ shape: [rows.length, rows[0]!.length], dtype: "i32", values: rows.flat() }) as const;

const cases = [
  {
    inputs: [{ shape: [2, 5, 2, 4] }, { shape: [2, 5, 2, 4] }, { shape: [2, 5, 2, 4] }, rate, key, rowsOf(2)],
    attrs: plain,
  },
  {
    inputs: [{ shape: [1, 3, 4, 3] }, { shape: [1, 6, 2, 3] }, { shape: [1, 6, 2, 3] }, rate, key, rowsOf(1)],
    attrs: plain,
  },
  {
    inputs: [{ shape: [2, 4, 1, 4] }, { shape: [2, 4, 1, 4] }, { shape: [2, 4, 1, 4] }, rate, key, rowsOf(2)],
    attrs: { ...plain, dropoutStream: "d" },
  },
  {
    inputs: [
      { shape: [2, 3, 2, 4] },
      { shape: [2, 3, 2, 4] },
      { shape: [2, 3, 2, 4] },
      rate,
      key,
      rowsOf(2),
      { shape: [2, 1, 1, 3], dtype: "bool" as const, values: [1, 0, 1, 0, 0, 0] },
    ],
    attrs: { ...plain, causal: false },
  },
  { inputs: [...square(1, 7), rate, key, rowsOf(1)], attrs: { ...plain, window: 3 } },
  {
    inputs: [{ shape: [1, 2, 2, 3] }, { shape: [1, 6, 1, 3] }, { shape: [1, 6, 1, 3] }, rate, key, rowsOf(1)],
    attrs: { ...plain, causal: false, window: 2 },
  },
  {
    inputs: [...square(2, 5), rate, key, rowsOf(2), documents([0, 0, 1, 1, 1], [4, 2, 2, 4, 2])], // ids may come again
    attrs: plain,
  },
  {
    inputs: [...square(1, 6), rate, key, rowsOf(1), documents([0, 0, 0, 0, 1, 1])],
    attrs: { ...plain, causal: false, window: 2, dropoutStream: "d" },
  },
  {
    inputs: [
      ...[{ shape: [2, 2, 4, 4] }, { shape: [2, 7, 2, 4] }, { shape: [2, 7, 2, 4] }, rate, key, rowsOf(2)],
      { shape: [2], dtype: "i32" as const, values: [4, 1] },
    ],
    attrs: { ...plain, window: 3 },
  },
  {
    inputs: [{ shape: [0, 3, 2, 4] }, { shape: [0, 3, 2, 4] }, { shape: [0, 3, 2, 4] }, rate, key, rowsOf(0)],
    attrs: plain,
  },
];

export const attention = defineOp<["q", "k", "v", "p", "key", "rows", "mask"], AttentionAttrs>({
  name: "attention",
  kind: "fused",
  layout: "rows",
  bf16: { inputs: [0, 1, 2], outputs: [0] },
  doc: "softmax(q·kᵀ·scale)·v per head; also returns the log-sum-exp of the scores [B,H,T]",
  inputs: ["q", "k", "v", "p", "key", "rows", "mask"],
  optional: 1,
  infer: ([q, k, v, p, key, rows, mask], { window, causal }) => {
    check(q, k, v, mask, causal);
    checkWindow(window);
    if (p.shape.length !== 0)
      fail("shape/attention", "the dropout rate is a scalar", { got: formatType(p.dtype, p.shape) });
    checkRandomInputs("attention", key, rows, q.shape);
    return [q, { dtype: q.dtype, shape: [q.shape[0]!, q.shape[2]!, q.shape[1]!] }];
  },
  expand: ([q, k, v, p, key, rows, mask], attrs) => compose(q, k, v, p, key, rows, mask, attrs),
  params,
  vjp: ({ grads, inputs, outputs: [o, lse], attrs }) => {
    const [q, k, v, p, key, rows, mask] = inputs;
    if (grads[1] !== undefined || (mask !== undefined && isPositions(mask))) {
      const three = f.gradientOfMany((a, b, c) => compose(a!, b!, c!, p, key, rows, mask, attrs), [q, k, v], grads);
      return [...(three as [Tensor, Tensor, Tensor]), null, null, null, null];
    }
    const rest = mask ? [mask] : [];
    const [dq, dk, dv] = f.fusedMulti(attentionGrad, [grads[0]!, q, k, v, p, key, rows, o!, lse!, ...rest], attrs);
    return [dq!, dk!, dv!, null, null, null, null];
  },
  cost: ([q, k], _, attrs) => flopsOf(q!, k!, attrs, 2),
  samples: cases.map((sample) => ({ ...sample, differentiable: [0, 1, 2] })),
});

export const attentionGrad = defineOp<["grad", "q", "k", "v", "p", "key", "rows", "o", "lse", "mask"], AttentionAttrs>({
  name: "attentionGrad",
  kind: "fused",
  layout: "rows",
  bf16: { inputs: [0, 1, 2, 3, 7], outputs: [0, 1, 2] },
  doc: "gradients of attention with respect to q, k and v; probabilities are computed again from the log-sum-exp",
  inputs: ["grad", "q", "k", "v", "p", "key", "rows", "o", "lse", "mask"],
  optional: 1,
  infer: ([, q, k, v]) => [q, k, v],
  expand: ([grad, q, k, v, p, key, rows, , , mask], attrs) =>
    f.gradientOfMany((a, b, c) => compose(a!, b!, c!, p, key, rows, mask, attrs), [q, k, v], [grad]),
  params,
  cost: ([, q, k], _, attrs) => flopsOf(q!, k!, attrs, 5),
  samples: [],
  noSamples: "o and lse must belong to q, k, v: it is checked as attention's gradient",
});

// Functions made of whole operations: products, attention, norms, losses, random tensors, optimizer updates, gradients of
// compositions. The elementary ones are in functions.ts.
import { broadcastShapes, fail, formatType, fromNumbers, type Shape, sizeOf } from "../base/index.ts";
import { broadcastTo, constant, full, iota, isFinite, min, zerosLike } from "./functions.ts";
import { gradients } from "./grad.ts";
import type { Graph } from "./graph.ts";
import type { Attrs, OpSpec } from "./op.ts";
import { type AttentionAttrs, attention as attentionOp } from "./ops/attention.ts";
import { blocksOf, dequantizeBlocks as dequantizeBlocksOp, quantizeBlocks as quantizeBlocksOp } from "./ops/blocks.ts";
import {
  groupedMatmulGrad as groupedMatmulGradOp,
  groupedMatmul as groupedMatmulOp,
  groupRows as groupRowsOp,
} from "./ops/grouped-matmul.ts";
import { groupedQuantizedMatmul as groupedQuantizedMatmulOp } from "./ops/grouped-quantized-matmul.ts";
import { matmul as matmulOp } from "./ops/matmul.ts";
import { layerNorm as layerNormOp, rmsNorm as rmsNormOp } from "./ops/norm.ts";
import { quantizedMatmul as quantizedMatmulOp } from "./ops/quantized-matmul.ts";
import * as random from "./ops/random.ts";
import { rotary as rotaryOp } from "./ops/rotary.ts";
import { crossEntropy as crossEntropyOp, logSoftmax as logSoftmaxOp, softmax as softmaxOp } from "./ops/softmax.ts";
import { adamw as adamwOp, lion as lionOp, sgd as sgdOp } from "./ops/update.ts";
import { reshape as reshapeOp, stopGradient as stopGradientOp } from "./ops/view.ts";
import type { QuantizedFormat, QuantizedParts } from "./quantized.ts";
import { applyMulti, applyOp, Tensor } from "./tensor.ts";
import { currentTrace } from "./trace.ts";

// ---- products -----------------------------------------------------------------------------------------------------

/** Product with explicit transposition; ranks are equal. */
export const matmulOf = (a: Tensor, b: Tensor, transposeA: boolean, transposeB: boolean): Tensor =>
  applyOp(matmulOp, [a, b], { transposeA, transposeB });

/**
 * Matrix product over the last two dimensions. Leading dimensions broadcast; a matrix on the right is shared by all rows
 * of the left, as one large product. Errors with `shape/matmul-inner` when the inner dimensions differ.
 */
export function matmul(a: Tensor, b: Tensor): Tensor {
  if (a.rank < 2 || b.rank < 2) {
    fail("shape/matmul-rank", "matmul needs matrices", {
      got: `a ${formatType(a.dtype, a.shape)}, b ${formatType(b.dtype, b.shape)}`,
      fix: "reshape a vector v to (1, n) or (n, 1)",
    });
  }
  const [depth, columns] = b.shape.slice(-2) as [number, number];
  if (a.shape.at(-1) !== depth) {
    fail("shape/matmul-inner", "inner dimensions differ", {
      expected: "a.shape[-1] == b.shape[-2]",
      got: `a ${formatType(a.dtype, a.shape)}, b ${formatType(b.dtype, b.shape)}`,
      fix: "check the input width of this layer, or transpose one operand",
    });
  }
  if (b.rank === 2 && a.rank > 2) {
    const lead = a.shape.slice(0, -1);
    return matmulOf(a.reshape(sizeOf(lead), depth), b, false, false).reshape(...lead, columns);
  }
  const batch = broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2));
  if (batch === undefined) return matmulOf(a, b, false, false); // says what is wrong
  return matmulOf(
    broadcastTo(a, [...batch, ...a.shape.slice(-2)]),
    broadcastTo(b, [...batch, ...b.shape.slice(-2)]),
    false,
    false,
  );
}

/** x (…, inputs) by a matrix in few bits → (…, outputs): `parts` are the tensors of `quantize`, which have no gradient. */
export function quantizedMatmul(x: Tensor, parts: QuantizedParts<Tensor>): Tensor {
  const product = quantizedMatmulOf(x.reshape(-1, x.shape.at(-1)!), listed(parts), false);
  return product.reshape(...x.shape.slice(0, -1), product.shape[1]!);
}
const listed = ({ codes, scales, scaleCodes, mean }: QuantizedParts<Tensor>): Tensor[] =>
  mean === undefined ? [codes, scales] : [codes, scales, scaleCodes!, mean];
/** The same of matrices alone, or with the transpose: x (M, outputs) → (M, inputs). */
export const quantizedMatmulOf = (x: Tensor, parts: readonly Tensor[], transpose: boolean): Tensor =>
  applyOp(quantizedMatmulOp, [x, ...parts], { transpose });

/**
 * Sorts by group: of ids i32 (N, k) the row that each of the N k places takes, the place (N, k) that each id went to, and the offsets
 * (groups + 1) of the groups' first places. Equals keep their order.
 */
export function groupRows(ids: Tensor, groups: number): { rows: Tensor; places: Tensor; offsets: Tensor } {
  const [rows, places, offsets] = applyMulti(groupRowsOp, [ids], { groups });
  return { rows: rows!, places: places!, offsets: offsets! };
}

/** x (R, K), whose rows [offsets[g], offsets[g + 1]) go through the g-th matrix (K, N) → (R, N); or through the transposes. */
export const groupedMatmul = (x: Tensor, offsets: Tensor, matrices: readonly Tensor[], transpose = false): Tensor =>
  applyOp(groupedMatmulOp, [x, offsets, ...matrices], { transpose });

/** The same where matrices are kept in few bits, all in one format. */
export const groupedQuantizedMatmul = (
  x: Tensor,
  offsets: Tensor,
  matrices: readonly QuantizedParts<Tensor>[],
): Tensor =>
  groupedQuantizedMatmulOf(
    x,
    offsets,
    matrices.flatMap(listed),
    matrices[0]!.mean === undefined ? "int8" : "nf4",
    false,
  );
export const groupedQuantizedMatmulOf = (
  x: Tensor,
  offsets: Tensor,
  parts: readonly Tensor[],
  format: QuantizedFormat,
  transpose: boolean,
): Tensor => applyOp(groupedQuantizedMatmulOp, [x, offsets, ...parts], { format, transpose });

/** The gradients of the matrices: of every group xᵀ grad over its rows. */
export const groupedMatmulGrad = (x: Tensor, grad: Tensor, offsets: Tensor): readonly Tensor[] =>
  applyMulti(groupedMatmulGradOp, [x, grad, offsets], { groups: offsets.shape[0]! - 1 });

export interface AttendOptions {
  /** A query sees keys up to its own position; the last query is at the last key. */
  readonly causal?: boolean;
  /** Default 1/√D. */
  readonly scale?: number;
  /** Sliding window: a query sees the `window` keys up to its own position, and if not causal as many from it on. */
  readonly window?: number;
  /** bool (B|1, H|1, T|1, S): true may be seen. */
  readonly mask?: Tensor;
  /** i32 (B, S), where T = S: positions see those of the same document only, so that texts can share a row. */
  readonly documents?: Tensor;
  readonly dropout?: { readonly rate: Tensor; readonly stream: string };
}

/** Scaled dot-product attention. q (B,T,H,D), k and v (B,S,G,D), H a multiple of G → (B,T,H,D). What a query may not see is the options'. */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttendOptions = {}): Tensor {
  const { causal = false, scale = 1 / Math.sqrt(q.shape.at(-1) ?? 1), window = 0, dropout } = options;
  const { random } = currentTrace();
  if (dropout && !random) {
    fail("random/none", "dropout needs the trace's random inputs", {
      fix: "trace with { random: (inputs) => ({ key, rows }) }, or leave dropout out",
    });
  }
  const rate = dropout?.rate ?? constant(0, q.dtype);
  const key = dropout && random ? random.key : constant(fromNumbers("i32", [3], [0, 0, 0]));
  const rows = dropout && random ? random.rows : full([q.shape[0]!], 0, "i32");
  const stream = dropout ? dropout.stream || "attention" : "";
  const attrs: AttentionAttrs = { causal, scale, dropoutStream: stream, window };
  const mask = attentionMask(options);
  return applyMulti(attentionOp, [q, k, v, rate, key, rows, ...(mask ? [mask] : [])], attrs)[0]!;
}

/** Documents stay ids where there is no mask: only so can the kernel leave out what lies in other documents. */
function attentionMask({ mask, documents }: AttendOptions): Tensor | undefined {
  if (!mask || !documents) return mask ?? documents;
  const [batch, keys] = documents.shape as [number, number];
  return mask.and(documents.reshape(batch, 1, keys, 1).equal(documents.reshape(batch, 1, 1, keys)));
}

export interface RotaryOptions {
  /** Wavelengths grow from 2π up to 2π·base; default 10,000. */
  readonly base?: number;
  /** Angle of each pair per position, `width` / 2 numbers, instead of those of `base`. */
  readonly frequencies?: readonly number[];
  /** What turns is multiplied by it; default 1. */
  readonly magnitude?: number;
  /** Channels that turn, an even number; default all of D. */
  readonly width?: number;
  /** Pairs are neighbouring channels, as in GPT-J; default half the width apart, as in Llama. */
  readonly interleaved?: boolean;
  /** (B or 1, T), of any dtype: where the tokens stand; default 0 … T − 1. Angles are exact to a rounding of x's dtype. */
  readonly positions?: Tensor;
}

/** Rotary position embedding of queries or keys (B,T,H,D): products of two depend on the distance of their positions alone. */
export function rotary(x: Tensor, options: RotaryOptions = {}): Tensor {
  const [, time, , channels] = x.shape as [number, number, number, number];
  const { base = 10000, width = channels, interleaved = false, magnitude = 1 } = options;
  if (width % 2 !== 0 || width < 2 || width > channels) {
    fail("shape/rotary-width", "channels turn in pairs", {
      expected: `an even width from 2 to ${channels}, the channels of a head`,
      got: String(width),
    });
  }
  const positions = options.positions ?? iota([1, time], 1);
  if (positions.shape.length !== 2 || positions.shape[1] !== time) {
    fail("shape/rotary-positions", "positions and tokens differ", {
      expected: `[1 or ${x.shape[0]}, ${time}]`,
      got: formatType(positions.dtype, positions.shape),
    });
  }
  const half = width / 2;
  const { frequencies = Array.from({ length: half }, (_, i) => base ** (-i / half)) } = options;
  if (frequencies.length !== half) {
    fail("shape/rotary-width", "each pair of channels turns by a frequency of its own", {
      expected: `${half} frequencies for ${width} channels`,
      got: String(frequencies.length),
    });
  }
  const angles = positions
    .cast(x.dtype)
    .reshape(positions.shape[0]!, time, 1)
    .mul(constant(fromNumbers(x.dtype, [half], frequencies)));
  const [cos, sin] =
    magnitude === 1 ? [angles.cos(), angles.sin()] : [angles.cos().mul(magnitude), angles.sin().mul(magnitude)];
  return applyOp(rotaryOp, [x, cos, sin], { interleaved, inverse: false });
}

// ---- fused compositions -------------------------------------------------------------------------------------------

/** Softmax over the last axis. */
export const softmax = (x: Tensor): Tensor => applyOp(softmaxOp, [x], {});
export const logSoftmax = (x: Tensor): Tensor => applyOp(logSoftmaxOp, [x], {});

/** Loss per row from logits (N,V) and class ids i32 (N); 0 for rows whose target is `ignoreIndex` (default −1). */
export const crossEntropy = (logits: Tensor, targets: Tensor, ignoreIndex = -1): Tensor =>
  applyMulti(crossEntropyOp, [logits, targets], { ignoreIndex })[0]!;

/** The same, and log Σ e^logits per row (0 for rows that are ignored); both have gradients. */
export const crossEntropyAndLogSum = (logits: Tensor, targets: Tensor, ignoreIndex = -1): readonly [Tensor, Tensor] =>
  applyMulti(crossEntropyOp, [logits, targets], { ignoreIndex }) as readonly [Tensor, Tensor];

export const layerNorm = (x: Tensor, weight: Tensor, bias: Tensor, eps = 1e-5): Tensor =>
  applyMulti(layerNormOp, [x, weight, bias], { eps })[0]!;
export const rmsNorm = (x: Tensor, weight: Tensor, eps = 1e-6): Tensor =>
  applyMulti(rmsNormOp, [x, weight], { eps })[0]!;

export const uniform = (key: Tensor, rows: Tensor, shape: Shape, stream: string): Tensor =>
  applyOp(random.uniform, [key, rows], { shape, stream });
/** x in f32 as bf16, rounded up or down by chance so that the mean is x. `rows` holds an i32 for each row of x. */
export const roundStochastic = (x: Tensor, key: Tensor, rows: Tensor, stream: string): Tensor =>
  applyOp(random.roundStochastic, [x, key, rows], { stream });
export const normal = (key: Tensor, rows: Tensor, shape: Shape, stream: string): Tensor =>
  applyOp(random.normal, [key, rows], { shape, stream });
/** True with probability `p` (a scalar tensor). */
export const bernoulli = (p: Tensor, key: Tensor, rows: Tensor, shape: Shape, stream: string): Tensor =>
  uniform(key, rows, shape, stream).cast(p.dtype).less(p);
export const dropoutOf = (x: Tensor, p: Tensor, key: Tensor, rows: Tensor, stream: string): Tensor =>
  applyOp(random.dropout, [x, p, key, rows], { stream });

/** AdamW on one tensor; see the op `adamw` for the meaning of the scalars. Returns the new p, m, v. */
export const adamw = (
  tensors: readonly Tensor[],
  attrs: { beta1: number; beta2: number; eps: number; weightDecay: number },
): readonly Tensor[] => applyMulti(adamwOp, tensors, attrs);
/** Lion on one tensor: (p, g, m, scale, lr) → the new p and m, and a scalar that is 0 where m is finite. */
export const lion = (
  tensors: readonly Tensor[],
  attrs: { beta1: number; beta2: number; weightDecay: number },
): readonly Tensor[] => applyMulti(lionOp, tensors, attrs);
/** SGD on one tensor: (p, g, scale, lr[, velocity]) → the new p[, velocity]. */
export const sgd = (
  tensors: readonly Tensor[],
  attrs: { momentum: number; dampening: number; nesterov: boolean; weightDecay: number },
): readonly Tensor[] => applyMulti(sgdOp, tensors, attrs);

/** Codes u8 of x's shape and the scales of its blocks of 256, for storage: see the op `quantizeBlocks`. */
export function quantizeBlocks(x: Tensor, { signed }: { readonly signed: boolean }): [codes: Tensor, scales: Tensor] {
  const [codes, scales] = applyMulti(quantizeBlocksOp, [x], { signed });
  return [codes!, scales!];
}
/** What codes and scales stand for, in the dtype of the scales. */
export const dequantizeBlocks = (codes: Tensor, scales: Tensor, { signed }: { readonly signed: boolean }): Tensor =>
  applyOp(dequantizeBlocksOp, [codes, scales], { signed });
/** Scales that a tensor of this shape has in blocks. */
export const numBlocks = blocksOf;

/** Applies a fused op by its definition: for ops that exist only as gradients of others. */
export function fused<In extends readonly string[], A extends Attrs>(
  op: OpSpec<In, A>,
  inputs: readonly Tensor[],
  attrs: NoInfer<A> = {} as A,
): Tensor {
  return applyOp(op, inputs, attrs);
}

export function fusedMulti<In extends readonly string[], A extends Attrs>(
  op: OpSpec<In, A>,
  inputs: readonly Tensor[],
  attrs: NoInfer<A>,
): readonly Tensor[] {
  return applyMulti(op, inputs, attrs);
}

// ---- gradients ----------------------------------------------------------------------------------------------------

/** The same value, through which no gradient flows. */
export function stopGradient(x: Tensor): Tensor {
  return applyOp(stopGradientOp, [x], {});
}

/** Gradients of a composition at `inputs`, given the gradient of its single output. */
export function gradientOf(
  fn: (...inputs: Tensor[]) => Tensor,
  inputs: readonly Tensor[],
  grad: Tensor,
): readonly Tensor[] {
  return gradientOfMany((...given) => [fn(...given)], inputs, [grad]);
}

export function gradientOfMany(
  fn: (...inputs: Tensor[]) => readonly Tensor[],
  inputs: readonly Tensor[],
  grads: readonly (Tensor | undefined)[],
): readonly Tensor[] {
  return gradientsThrough(fn, inputs, grads).map((grad, at) => grad ?? zerosLike(inputs[at]!));
}

/** The same, `undefined` for inputs that no floating path leads back to. */
export function gradientsThrough(
  fn: (...inputs: Tensor[]) => readonly Tensor[],
  inputs: readonly Tensor[],
  grads: readonly (Tensor | undefined)[],
): readonly (Tensor | undefined)[] {
  // A fresh name for each input: the composition is differentiated with respect to it, not to what it was made from.
  const own = inputs.map((input) => applyOp(reshapeOp, [input], { shape: input.shape }));
  return gradients(fn(...own), own, grads);
}

/** 1 when every element of value `id` of the graph being traced is finite, else 0: for diagnosis. */
export function applyCheck(graph: Graph, id: number): Tensor {
  return min(isFinite(new Tensor(graph, id)).cast("f32"));
}

// The functional form of the language: what Tensor's methods call. Coerces numbers, broadcasts, normalizes axes; the ops
// beneath take exact shapes. What is made of whole operations (products, norms, losses, gradients) is in composed.ts.
import {
  broadcastShapes,
  type DType,
  fail,
  formatType,
  fromNumbers,
  type HostArray,
  isFloat,
  normalizeAxis,
  type Shape,
  sameShape,
  sizeOf,
} from "../base/index.ts";
import type { OpSpec } from "./op.ts";
import { gelu as geluOp, geluTanh as geluTanhOp, silu as siluOp } from "./ops/activation.ts";
import * as e from "./ops/elementwise.ts";
import * as ix from "./ops/indexing.ts";
import { assignOp, constantLeaf, variableLeaf } from "./ops/leaf.ts";
import * as logic from "./ops/logic.ts";
import * as r from "./ops/reduce.ts";
import * as view from "./ops/view.ts";
import { applyMulti, applyOp, type Operand, type ReduceOptions, Tensor } from "./tensor.ts";
import { currentTrace, declareOnce, declareVariable, outside } from "./trace.ts";

export * from "./composed.ts";
export type { Tensor } from "./tensor.ts";

// ---- leaves -------------------------------------------------------------------------------------------------------

/** A constant: a number, nested arrays of numbers, or a host array. Numbers take the trace's float dtype unless given. */
export function constant(value: number | readonly number[] | HostArray, dtype?: DType): Tensor {
  if (typeof value === "object" && "data" in value) return applyOp(constantLeaf, [], { value });
  const type = dtype ?? currentTrace().floatDType;
  const array = typeof value === "number" ? fromNumbers(type, [], [value]) : fromNumbers(type, [value.length], value);
  return applyOp(constantLeaf, [], { value: array });
}

/** A tensor of the store, as it is before this run. */
export function variable(name: string, dtype: DType, shape: Shape): Tensor {
  return outside(() => {
    declareVariable(name, { dtype, shape });
    return applyOp(variableLeaf, [], { name, dtype, shape });
  });
}

/** Gives a variable its next value. */
export function assign(name: string, value: Tensor): void {
  declareVariable(name, value);
  declareOnce("next value of variable", name, "combine the values first, or use two variables");
  applyMulti(assignOp, [value], { name, dtype: value.dtype, shape: value.shape });
}

export function full(shape: Shape, value: number, dtype?: DType): Tensor {
  return applyOp(view.fill, [], { shape, dtype: dtype ?? currentTrace().floatDType, value });
}

export function zeros(shape: Shape, dtype?: DType): Tensor {
  return full(shape, 0, dtype);
}

export function ones(shape: Shape, dtype?: DType): Tensor {
  return full(shape, 1, dtype);
}

export function zerosLike(x: Tensor): Tensor {
  return full(x.shape, 0, x.dtype);
}

/** i32 tensor of each element's index along `axis`. */
export function iota(shape: Shape, axis: number): Tensor {
  return applyOp(view.iota, [], { shape, axis: normalizeAxis(axis, shape.length, "iota") });
}

// ---- elementwise --------------------------------------------------------------------------------------------------

/** Numbers become constants of the first tensor's dtype; shapes are broadcast. */
function align(name: string, operands: readonly Operand[], dtypeOf: readonly number[]): Tensor[] {
  const model = dtypeOf.map((at) => operands[at]).find((operand) => Tensor.is(operand));
  const tensors = operands.map((operand) => {
    if (Tensor.is(operand)) return operand;
    if (typeof operand !== "number") {
      return fail("tensor/operand", `an operand of ${name} is neither a Tensor nor a number`, {
        got: operand === null ? "null" : typeof operand,
        fix: "pass a Tensor of the same trace, or a plain number",
      });
    }
    return constant(operand, model?.dtype);
  });
  let shape: number[] = [];
  for (const tensor of tensors) {
    shape =
      broadcastShapes(shape, tensor.shape) ??
      fail("shape/broadcast", `shapes of ${name}'s operands do not broadcast`, {
        expected: "from the right, dimensions that are equal or 1",
        got: tensors.map((x) => formatType(x.dtype, x.shape)).join(", "),
        fix: "reshape one of them, or sum the longer one first",
      });
  }
  return tensors.map((tensor) => broadcastTo(tensor, shape));
}

/** Applies an elementwise op to tensors that already have equal shapes. */
export function elementwise<In extends readonly string[]>(
  op: OpSpec<In, Record<string, never>>,
  ...inputs: readonly Tensor[]
): Tensor {
  return applyOp(op, inputs, {});
}

const binary = (op: OpSpec<["a", "b"], Record<string, never>>) => (a: Operand, b: Operand) =>
  elementwise(op, ...align(op.name, [a, b], [0, 1]));
const unary = (op: OpSpec<["x"], Record<string, never>>) => (x: Tensor) => elementwise(op, x);

// Each function looks its op up when called: the op modules import this one.
export const add = (a: Operand, b: Operand): Tensor => binary(e.add)(a, b);
export const sub = (a: Operand, b: Operand): Tensor => binary(e.sub)(a, b);
export const mul = (a: Operand, b: Operand): Tensor => binary(e.mul)(a, b);
export const div = (a: Operand, b: Operand): Tensor => binary(e.div)(a, b);
export const pow = (a: Operand, b: Operand): Tensor => binary(e.pow)(a, b);
export const mod = (a: Operand, b: Operand): Tensor => binary(e.mod)(a, b);
export const maximum = (a: Operand, b: Operand): Tensor => binary(e.max)(a, b);
export const minimum = (a: Operand, b: Operand): Tensor => binary(e.min)(a, b);
export const equal = (a: Operand, b: Operand): Tensor => binary(logic.eq)(a, b);
export const notEqual = (a: Operand, b: Operand): Tensor => binary(logic.ne)(a, b);
export const less = (a: Operand, b: Operand): Tensor => binary(logic.lt)(a, b);
export const lessEqual = (a: Operand, b: Operand): Tensor => binary(logic.le)(a, b);
export const greater = (a: Operand, b: Operand): Tensor => binary(logic.gt)(a, b);
export const greaterEqual = (a: Operand, b: Operand): Tensor => binary(logic.ge)(a, b);
export const logicalAnd = (a: Operand, b: Operand): Tensor => binary(logic.and)(a, b);
export const logicalOr = (a: Operand, b: Operand): Tensor => binary(logic.or)(a, b);
export const logicalXor = (a: Operand, b: Operand): Tensor => binary(logic.xor)(a, b);
export const neg = (x: Tensor): Tensor => unary(e.neg)(x);
export const abs = (x: Tensor): Tensor => unary(e.abs)(x);
export const sign = (x: Tensor): Tensor => unary(e.sign)(x);
export const exp = (x: Tensor): Tensor => unary(e.exp)(x);
export const log = (x: Tensor): Tensor => unary(e.log)(x);
export const log1p = (x: Tensor): Tensor => unary(e.log1p)(x);
export const expm1 = (x: Tensor): Tensor => unary(e.expm1)(x);
export const sqrt = (x: Tensor): Tensor => unary(e.sqrt)(x);
export const rsqrt = (x: Tensor): Tensor => unary(e.rsqrt)(x);
export const reciprocal = (x: Tensor): Tensor => unary(e.reciprocal)(x);
export const square = (x: Tensor): Tensor => unary(e.square)(x);
export const sin = (x: Tensor): Tensor => unary(e.sin)(x);
export const cos = (x: Tensor): Tensor => unary(e.cos)(x);
export const tanh = (x: Tensor): Tensor => unary(e.tanh)(x);
export const sigmoid = (x: Tensor): Tensor => unary(e.sigmoid)(x);
export const erf = (x: Tensor): Tensor => unary(e.erf)(x);
export const floor = (x: Tensor): Tensor => unary(e.floor)(x);
export const ceil = (x: Tensor): Tensor => unary(e.ceil)(x);
export const round = (x: Tensor): Tensor => unary(e.round)(x);
export const relu = (x: Tensor): Tensor => unary(e.relu)(x);
export const isFinite = (x: Tensor): Tensor => unary(logic.isFinite)(x);
export const logicalNot = (x: Tensor): Tensor => unary(logic.not)(x);
/** Exact GELU, x·Φ(x). */
export const gelu = (x: Tensor): Tensor => unary(geluOp)(x);
/** GELU by tanh, as GPT-2 used it. */
export const geluTanh = (x: Tensor): Tensor => unary(geluTanhOp)(x);
export const silu = (x: Tensor): Tensor => unary(siluOp)(x);

/** `a` where the condition holds, else `b`. */
export function where(condition: Tensor, a: Operand, b: Operand): Tensor {
  const [first, second] = [a, b].map((operand) => (Tensor.is(operand) ? operand.dtype : undefined));
  const dtype = first ?? second ?? currentTrace().floatDType;
  const toTensor = (operand: Operand) => (Tensor.is(operand) ? operand : constant(operand, dtype));
  return elementwise(logic.where, ...align("where", [condition, toTensor(a), toTensor(b)], [1, 2]));
}

/** The same values in another dtype. Nothing happens when it has it already. */
export function cast(x: Tensor, dtype: DType): Tensor {
  return x.dtype === dtype ? x : applyOp(e.cast, [x], { to: dtype });
}

// ---- reductions ---------------------------------------------------------------------------------------------------

function normalAxes(x: Tensor, axis: number | readonly number[] | undefined, name: string): number[] {
  if (axis === undefined) return x.shape.map((_, at) => at);
  const list = (typeof axis === "number" ? [axis] : axis).map((one) => normalizeAxis(one, x.rank, name));
  return [...new Set(list)].sort((a, b) => a - b);
}

type ReduceOp = OpSpec<["x"], { readonly axes: readonly number[] }>;

function reduceBy(op: ReduceOp, x: Tensor, { axis, keepDim = false }: ReduceOptions = {}): Tensor {
  const axes = normalAxes(x, axis, op.name);
  const kept = axes.length === 0 ? x : applyOp(op, [x], { axes });
  return keepDim
    ? kept
    : reshape(
        kept,
        x.shape.filter((_, at) => !axes.includes(at)),
      );
}

/** Sum over `axis` (all axes when left out). */
export const sum = (x: Tensor, options?: ReduceOptions): Tensor => reduceBy(r.sum, x, options);
export const max = (x: Tensor, options?: ReduceOptions): Tensor => reduceBy(r.reduceMax, x, options);
export const min = (x: Tensor, options?: ReduceOptions): Tensor => reduceBy(r.reduceMin, x, options);
export const prod = (x: Tensor, options?: ReduceOptions): Tensor => reduceBy(r.prod, x, options);

/** Arithmetic mean over `axis`. */
export function mean(x: Tensor, options?: ReduceOptions): Tensor {
  const count = normalAxes(x, options?.axis, "mean").reduce((product, axis) => product * x.shape[axis]!, 1);
  if (!isFloat(x.dtype))
    fail("dtype/float", "mean needs a floating-point tensor", { got: x.toString(), fix: "cast it first" });
  return sum(x, options).mul(1 / count);
}

/** Index of the largest element along `axis`, i32; the axis is dropped. */
export function argMax(x: Tensor, axis = -1): Tensor {
  const at = normalizeAxis(axis, x.rank, "argMax");
  return reshape(
    applyOp(r.argmax, [x], { axis: at }),
    x.shape.filter((_, i) => i !== at),
  );
}

export function cumulativeSum(x: Tensor, axis = -1, options: { exclusive?: boolean; reverse?: boolean } = {}): Tensor {
  const { exclusive = false, reverse = false } = options;
  return applyOp(r.cumsum, [x], { axis: normalizeAxis(axis, x.rank, "cumulativeSum"), exclusive, reverse });
}

/** Sum of the squares of all elements. */
export const sumSquares = (x: Tensor): Tensor => applyOp(r.sumSquares, [x], {});

/** Sums the dimensions that broadcasting to `x`'s shape had repeated, back to `shape`. */
export function sumTo(x: Tensor, shape: Shape): Tensor {
  if (sameShape(x.shape, shape)) return x;
  const lead = x.rank - shape.length;
  const axes = x.shape.flatMap((dim, axis) => (axis < lead || (shape[axis - lead] === 1 && dim !== 1) ? [axis] : []));
  return reshape(axes.length === 0 ? x : sum(x, { axis: axes, keepDim: true }), shape);
}

// ---- views --------------------------------------------------------------------------------------------------------

/** One dimension may be -1: it is computed. */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const known = sizeOf(shape.filter((dim) => dim !== -1));
  const isOpen = shape.filter((dim) => dim === -1).length === 1;
  const rest = sizeOf(x.shape) / known;
  const full = isOpen && Number.isInteger(rest) ? shape.map((dim) => (dim === -1 ? rest : dim)) : shape;
  return sameShape(full, x.shape) ? x : applyOp(view.reshape, [x], { shape: full });
}

export function permute(x: Tensor, order: readonly number[]): Tensor {
  const axes = order.map((axis) => normalizeAxis(axis, x.rank, "permute"));
  return axes.length === x.rank && axes.every((axis, at) => axis === at)
    ? x
    : applyOp(view.permute, [x], { order: axes });
}

export function transpose(x: Tensor): Tensor {
  if (x.rank < 2) fail("shape/rank", "transpose needs a matrix", { got: x.toString() });
  return permute(
    x,
    [...x.shape.keys()].map((axis) => (axis < x.rank - 2 ? axis : 2 * x.rank - 3 - axis)),
  );
}

export function broadcastTo(x: Tensor, shape: Shape): Tensor {
  return sameShape(x.shape, shape) ? x : applyOp(view.broadcast, [x], { shape: [...shape] });
}

/** Elements start ≤ i < stop along `axis`; negative positions count from the end. */
export function slice(x: Tensor, axis: number, start: number, stop: number): Tensor {
  const at = normalizeAxis(axis, x.rank, "slice");
  const length = x.shape[at]!;
  const [from, to] = [start < 0 ? start + length : start, stop < 0 ? stop + length : stop];
  return from === 0 && to === length ? x : applyOp(view.slice, [x], { axis: at, start: from, stop: to });
}

/** Cuts an axis into equal parts. */
export function split(x: Tensor, parts: number, axis = -1): readonly Tensor[] {
  return applyMulti(view.split, [x], { axis: normalizeAxis(axis, x.rank, "split"), parts });
}

export function concat(parts: readonly Tensor[], axis = 0): Tensor {
  if (parts.length === 1) return parts[0]!;
  const rank = parts[0]?.rank ?? 1;
  return applyOp(view.concat, parts, { axis: normalizeAxis(axis, rank, "concat") });
}

export function pad(x: Tensor, axis: number, low: number, high: number, value = 0): Tensor {
  const at = normalizeAxis(axis, x.rank, "pad");
  return low === 0 && high === 0 ? x : applyOp(view.pad, [x], { axis: at, low, high, value });
}

// ---- gather and scatter -------------------------------------------------------------------------------------------

/** Rows of `x` by an i32 index: an embedding lookup. x (V, …), index (…) → (…index, …). */
export const take = (x: Tensor, index: Tensor): Tensor => applyOp(ix.take, [x, index], {});
export const scatterAdd = (index: Tensor, source: Tensor, rows: number): Tensor =>
  applyOp(ix.scatterAdd, [index, source], { rows });
export const takeAlong = (x: Tensor, index: Tensor): Tensor => applyOp(ix.takeAlong, [x, index], {});
export const scatterAlong = (index: Tensor, source: Tensor, width: number): Tensor =>
  applyOp(ix.scatterAlong, [index, source], { width });
/** `x` with `value` written from position `start` of `axis` on: an i32 scalar, or one for each row of the first axis. */
export const updateSlice = (x: Tensor, value: Tensor, start: Tensor, axis: number): Tensor =>
  applyOp(ix.updateSlice, [x, value, start], { axis: normalizeAxis(axis, x.rank, "updateSlice") });

// A Tensor: a handle on one value of a graph. It has a shape and a dtype, never data.
import { type DType, fail, formatType, type Shape } from "../base/index.ts";
import * as f from "./functions.ts";
import type { Graph } from "./graph.ts";
import type { Attrs, OpSpec } from "./op.ts";
import { currentScope, currentTrace } from "./trace.ts";

const brand = Symbol.for("athanor.Tensor");

/** A number stands for a constant of the other operand's dtype. */
export type Operand = Tensor | number;

/** Axes of a reduction: one, several, or all when left out. */
export interface ReduceOptions {
  readonly axis?: number | readonly number[];
  readonly keepDim?: boolean;
}

export class Tensor {
  readonly graph: Graph;
  readonly id: number;
  readonly dtype: DType;
  readonly shape: Shape;

  constructor(graph: Graph, id: number) {
    const value = graph.value(id);
    this.graph = graph;
    this.id = id;
    this.dtype = value.dtype;
    this.shape = value.shape;
  }

  get [brand](): true {
    return true;
  }

  /** True for tensors of any copy of this package (`instanceof` is not, across duplicate installs). */
  static is(value: unknown): value is Tensor {
    return typeof value === "object" && value !== null && (value as { [brand]?: unknown })[brand] === true;
  }

  get rank(): number {
    return this.shape.length;
  }

  /** `a + b` on tensors would make a string: refuse, and say what to write. */
  [Symbol.toPrimitive](hint: string): string {
    if (hint === "string") return this.toString();
    return fail("tensor/operator", "JavaScript operators do not work on tensors", {
      expected: "a method call",
      got: `an operator (+ - * / < >) applied to ${this.toString()}`,
      fix: "write a.add(b), a.sub(b), a.mul(b), a.div(b), a.less(b)",
    });
  }

  toString(): string {
    return `Tensor(${formatType(this.dtype, this.shape)})`;
  }

  // Elementwise. Operands broadcast by NumPy's rule.
  add(other: Operand): Tensor {
    return f.add(this, other);
  }
  sub(other: Operand): Tensor {
    return f.sub(this, other);
  }
  mul(other: Operand): Tensor {
    return f.mul(this, other);
  }
  div(other: Operand): Tensor {
    return f.div(this, other);
  }
  pow(other: Operand): Tensor {
    return f.pow(this, other);
  }
  mod(other: Operand): Tensor {
    return f.mod(this, other);
  }
  maximum(other: Operand): Tensor {
    return f.maximum(this, other);
  }
  minimum(other: Operand): Tensor {
    return f.minimum(this, other);
  }
  equal(other: Operand): Tensor {
    return f.equal(this, other);
  }
  notEqual(other: Operand): Tensor {
    return f.notEqual(this, other);
  }
  less(other: Operand): Tensor {
    return f.less(this, other);
  }
  lessEqual(other: Operand): Tensor {
    return f.lessEqual(this, other);
  }
  greater(other: Operand): Tensor {
    return f.greater(this, other);
  }
  greaterEqual(other: Operand): Tensor {
    return f.greaterEqual(this, other);
  }
  and(other: Tensor): Tensor {
    return f.logicalAnd(this, other);
  }
  or(other: Tensor): Tensor {
    return f.logicalOr(this, other);
  }
  not(): Tensor {
    return f.logicalNot(this);
  }
  neg(): Tensor {
    return f.neg(this);
  }
  abs(): Tensor {
    return f.abs(this);
  }
  sign(): Tensor {
    return f.sign(this);
  }
  exp(): Tensor {
    return f.exp(this);
  }
  log(): Tensor {
    return f.log(this);
  }
  log1p(): Tensor {
    return f.log1p(this);
  }
  expm1(): Tensor {
    return f.expm1(this);
  }
  sqrt(): Tensor {
    return f.sqrt(this);
  }
  rsqrt(): Tensor {
    return f.rsqrt(this);
  }
  reciprocal(): Tensor {
    return f.reciprocal(this);
  }
  square(): Tensor {
    return f.square(this);
  }
  sin(): Tensor {
    return f.sin(this);
  }
  cos(): Tensor {
    return f.cos(this);
  }
  tanh(): Tensor {
    return f.tanh(this);
  }
  sigmoid(): Tensor {
    return f.sigmoid(this);
  }
  erf(): Tensor {
    return f.erf(this);
  }
  relu(): Tensor {
    return f.relu(this);
  }
  floor(): Tensor {
    return f.floor(this);
  }
  ceil(): Tensor {
    return f.ceil(this);
  }
  round(): Tensor {
    return f.round(this);
  }
  isFinite(): Tensor {
    return f.isFinite(this);
  }
  cast(dtype: DType): Tensor {
    return f.cast(this, dtype);
  }

  // Reductions.
  sum(options?: ReduceOptions): Tensor {
    return f.sum(this, options);
  }
  mean(options?: ReduceOptions): Tensor {
    return f.mean(this, options);
  }
  max(options?: ReduceOptions): Tensor {
    return f.max(this, options);
  }
  min(options?: ReduceOptions): Tensor {
    return f.min(this, options);
  }
  prod(options?: ReduceOptions): Tensor {
    return f.prod(this, options);
  }
  argMax(axis = -1): Tensor {
    return f.argMax(this, axis);
  }
  cumulativeSum(axis = -1): Tensor {
    return f.cumulativeSum(this, axis);
  }

  // Views: nothing is computed.
  reshape(...shape: number[]): Tensor {
    return f.reshape(this, shape);
  }
  permute(...order: number[]): Tensor {
    return f.permute(this, order);
  }
  /** Swaps the last two dimensions. */
  transpose(): Tensor {
    return f.transpose(this);
  }
  broadcastTo(shape: Shape): Tensor {
    return f.broadcastTo(this, shape);
  }
  slice(axis: number, start: number, stop: number): Tensor {
    return f.slice(this, axis, start, stop);
  }
  split(parts: number, axis = -1): readonly Tensor[] {
    return f.split(this, parts, axis);
  }

  /** Matrix product over the last two dimensions; leading ones broadcast. */
  matmul(other: Tensor): Tensor {
    return f.matmul(this, other);
  }
}

/** Appends a node to the trace under way and returns its first output. */
export function applyOp<In extends readonly string[], A extends Attrs>(
  op: OpSpec<In, A>,
  inputs: readonly Tensor[],
  attrs: NoInfer<A>,
): Tensor {
  return applyMulti(op, inputs, attrs)[0]!;
}

/** Appends a node and returns all its outputs. */
export function applyMulti<In extends readonly string[], A extends Attrs>(
  op: OpSpec<In, A>,
  inputs: readonly Tensor[],
  attrs: NoInfer<A>,
): readonly Tensor[] {
  const { graph } = currentTrace();
  const ids = graph.add(
    op,
    inputs.map((input) => own(input, `an input of ${op.name}`).id),
    attrs,
    currentScope(),
  );
  return ids.map((id) => new Tensor(graph, id));
}

/** A tensor of the trace under way: a body is handed those of the trace around it. Errors with `trace/foreign-tensor` for any other. */
export function own(tensor: Tensor, what: string): Tensor {
  const { graph, enclosing } = currentTrace();
  if (tensor.graph === graph) return tensor;
  if (enclosing !== undefined) return enclosing.capture(tensor);
  return fail("trace/foreign-tensor", `${what} belongs to another trace`, {
    got: tensor.toString(),
    fix: "pass tensors in as inputs of the traced function; do not keep them between traces",
  });
}

// What an op is: one object holding everything the system knows about it. Not a registry of kernels, and no list to edit:
// ops/all.generated.ts is written from the folder.
import type { DType, HostArray, Shape } from "../base/index.ts";
import type { Graph } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

/** Shape and element type of a value in a graph. */
export interface ValueType {
  readonly dtype: DType;
  readonly shape: Shape;
}

export type AttrValue = number | string | boolean | readonly number[] | HostArray | Graph | readonly TapeStep[];
export type Attrs = { readonly [name: string]: AttrValue | undefined };

/** One operation of a fused elementwise chain: reads registers, writes the next register. */
export interface TapeStep {
  readonly op: string;
  readonly args: readonly number[];
  readonly dtype: DType;
  readonly value?: number;
}

export const opKinds = [
  "leaf", // inputs, variables, constants
  "elementwise",
  "reduce",
  "view", // moves or repeats elements, computes nothing
  "contract", // matmul; the place of convolution, pooling, grouped matmul
  "index", // gather and scatter; the place of sort and top-k
  "random",
  "scan", // runs along one axis; the place of recurrences with a body graph
  "fused", // a composition, perhaps with a kernel of its own
  "update", // writes variables
  "collective", // sums over processes
] as const;
export type OpKind = (typeof opKinds)[number];

type TupleOf<In extends readonly string[], T> = { [K in keyof In]: T };

/** What a gradient rule sees: the node's tensors and the gradients of its outputs (`undefined` where none flows). */
export interface VjpContext<In extends readonly string[], A extends Attrs> {
  readonly inputs: TupleOf<In, Tensor>;
  readonly outputs: readonly Tensor[];
  readonly output: Tensor;
  /** Gradient of the first output. */
  readonly grad: Tensor;
  /** Gradient of every output. */
  readonly grads: readonly (Tensor | undefined)[];
  readonly attrs: A;
}

/** One gradient per input, in order; `null` for inputs that have none (indices, masks, keys). */
export type VjpRule<In extends readonly string[], A extends Attrs> = (
  context: VjpContext<In, A>,
) => TupleOf<In, Tensor | null>;

/** How a test draws one input: uniform in [low, high), or the values given. */
export interface SampleInput {
  readonly shape: Shape;
  readonly dtype?: DType;
  readonly low?: number;
  readonly high?: number;
  readonly values?: readonly number[];
}

/** A case from which every test of the op is made. */
export interface Sample<A extends Attrs = Attrs> {
  readonly inputs: readonly SampleInput[];
  readonly attrs?: A;
  /** Which inputs are checked against central differences; by default all floating ones. */
  readonly differentiable?: readonly number[];
  /** False where the function has kinks inside the sampled range: the gradient is then not checked numerically. */
  readonly smooth?: boolean;
}

export interface Cost {
  readonly flops: number;
}

export interface OpSpec<In extends readonly string[], A extends Attrs> {
  readonly name: string;
  readonly kind: OpKind;
  /** One sentence: what it computes. */
  readonly doc: string;
  /** Names of the inputs, in order. */
  readonly inputs: In;
  /** The last `optional` inputs may be left out. */
  readonly optional?: number;
  /** Any number of inputs of the kind named last. */
  readonly variadic?: boolean;
  /** Shape-and-dtype rule. Errors when the inputs do not fit. */
  infer(inputs: TupleOf<In, ValueType>, attrs: A): ValueType | readonly ValueType[];
  /**
   * Gradient rule: a function, `"zero"` (flat almost everywhere) or `"none"` (asking for a gradient is an error).
   * A fused op may leave it out: its composition is differentiated.
   */
  readonly vjp?: VjpRule<In, A> | "zero" | "none";
  /** Elementwise ops: the function of one element, in f64. */
  readonly scalar?: (...values: number[]) => number;
  /** The naive implementation, on dense arrays; every other engine is compared with it. */
  readonly reference?: (inputs: readonly HostArray[], attrs: A, outputs: readonly HostArray[]) => void;
  /** Fused ops: the composition that defines the op. */
  readonly expand?: (inputs: TupleOf<In, Tensor>, attrs: A) => Tensor | readonly Tensor[];
  /** The numbers that a native kernel receives, in the order of its documentation. */
  readonly params?: (attrs: A, inputs: readonly ValueType[]) => readonly number[];
  /**
   * How a strided engine's kernel addresses its operands: `strided` any strides, `rows` a dense last axis,
   * `dense` (default) row-major without gaps. Others get a copy first.
   */
  readonly layout?: "strided" | "rows" | "dense";
  /** Positions of the f32 operands that a native kernel also takes (`takesBf16`), or gives, as bf16: it computes in f32 all the same. */
  readonly bf16?: { readonly inputs: readonly number[]; readonly outputs: readonly number[] };
  /** Whether its native kernel takes bf16 as a dtype like others, not in the place of f32. */
  readonly ownBf16?: boolean;
  /**
   * How it takes a leading axis of examples (vmap): as one more dimension of all its operands, `lead`, or so and with its axes and shapes
   * moved up, `axes`. Left out: `lead` for elementwise ops, `axes` for views and reductions, for others their composition, if any.
   */
  readonly batch?: "lead" | "axes";
  /** Outputs that may be written over an input's memory: [output, input] pairs. */
  readonly inPlace?: readonly (readonly [number, number])[];
  /** Floating-point operations. */
  readonly cost?: (inputs: readonly ValueType[], outputs: readonly ValueType[], attrs: A) => Cost;
  readonly samples: readonly Sample<A>[];
  /** Why there are none. */
  readonly noSamples?: string;
}

const opBrand = Symbol.for("athanor.Op");

// The one place where `any` stands: a heterogeneous collection of ops cannot name each op's tuple and attributes.
// biome-ignore lint/suspicious/noExplicitAny: see above
export type Op = OpSpec<any, any>;

/** Whether a native kernel takes an op's input in bf16; of a variadic op's last kind either all or none. */
export const takesBf16 = ({ bf16, inputs, variadic }: Op, at: number): boolean =>
  bf16?.inputs.includes(variadic ? Math.min(at, inputs.length - 1) : at) === true;

/** Whether an op moves elements and computes nothing, whatever their dtype. */
export const movesElements = ({ kind, name }: Op): boolean => kind === "view" || name === "take";

const registry = new Map<string, Op>();

/** Declares an op. Names are unique; a second definition of one is an internal error. */
export function defineOp<const In extends readonly string[], A extends Attrs = Record<string, never>>(
  spec: OpSpec<In, A>,
): OpSpec<In, A> {
  if (registry.has(spec.name)) throw new Error(`internal: op ${spec.name} is defined twice`);
  const op = Object.assign({}, spec, { [opBrand]: true });
  registry.set(spec.name, op as Op);
  return op;
}

/** Every op that exists, by name. Complete once `core`'s door has been imported. */
export function allOps(): ReadonlyMap<string, Op> {
  return registry;
}

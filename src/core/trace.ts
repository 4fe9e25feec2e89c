// Tracing: runs a plain function once, on tensors without data, and keeps the graph. Reads no values, runs nothing.
import { AthanorError, type DType, type FloatDType, fail, formatType, type Shape, sameShape } from "../base/index.ts";
import { Graph } from "./graph.ts";
import { locate } from "./locate.ts";
import type { ValueType } from "./op.ts";
import { inputLeaf } from "./ops/leaf.ts";
import { applyOp, Tensor } from "./tensor.ts";

/** What randomness in a trace depends on, as tensors: so a step never recompiles for it. */
export interface RandomInputs {
  /** i32[3]: low word of the seed, high word, step. */
  readonly key: Tensor;
  /** i32[rows]: the global sample id of each row. */
  readonly rows: Tensor;
}

/** Facts that whoever traces decides, and layers only read. */
export interface TraceContext {
  readonly graph: Graph;
  /** Layers such as dropout act in `train` mode and are the identity in `eval` mode. */
  readonly mode: "train" | "eval";
  /** Element type of parameters and of constants made from plain numbers. */
  readonly floatDType: FloatDType;
  readonly random: RandomInputs | undefined;
  /** Of a body that is traced: the trace that it stands in, and how a tensor of that is handed to it. */
  readonly enclosing?: { readonly context: TraceContext; readonly capture: (outer: Tensor) => Tensor };
}

const contexts: TraceContext[] = [];
const scopes: string[] = [];

/** The trace that is under way. Errors with `trace/none` outside of one. */
export function currentTrace(): TraceContext {
  return (
    contexts.at(-1) ??
    fail("trace/none", "this can only be called while a function is traced", {
      fix: "call it inside the function given to trace(), evaluate() or a model's forward",
    })
  );
}

export function insideTrace(): boolean {
  return contexts.length > 0;
}

/** Module path of what is being traced, `h.0.attn`, or "". */
export function currentScope(): string {
  return scopes.at(-1) ?? "";
}

/** Runs `fn` with nodes marked as belonging to `scope` (a full module path). */
export function withScope<T>(scope: string, fn: () => T): T {
  scopes.push(scope);
  try {
    return fn();
  } finally {
    scopes.pop();
  }
}

/** Runs `fn` as part of the trace described. Nested use restores the outer trace at the end. */
export function withTrace<T>(context: TraceContext, fn: () => T): T {
  contexts.push(context);
  try {
    const result = fn();
    if (isPromise(result)) {
      fail("trace/async", "a traced function returned a Promise", {
        where: currentScope(),
        expected: "a synchronous function from tensors to tensors",
        got: "async function or a returned Promise",
        fix: "load data before training and pass it in as a feed; remove async/await from forward",
      });
    }
    return result;
  } finally {
    contexts.pop();
  }
}

/** The same trace with some facts changed, for as long as `fn` runs. */
export function withContext<T>(changes: Partial<Omit<TraceContext, "graph">>, fn: () => T): T {
  return withTrace({ ...currentTrace(), ...changes }, fn);
}

/** A leaf that the outermost trace has and bodies inside are handed: what is given from outside belongs to no turn. */
export function outside(leaf: () => Tensor): Tensor {
  const { enclosing } = currentTrace();
  return enclosing === undefined ? leaf() : enclosing.capture(withTrace(enclosing.context, () => outside(leaf)));
}

function isPromise(value: unknown): boolean {
  return typeof value === "object" && value !== null && typeof (value as { then?: unknown }).then === "function";
}

export interface TraceOptions {
  readonly mode?: "train" | "eval";
  /** Default f32. */
  readonly floatDType?: FloatDType;
  readonly random?: (inputs: { [name: string]: Tensor }) => RandomInputs;
}

/**
 * Traces `fn` into a graph. Inputs become the feeds named by their keys; what `fn` returns become the outputs
 * (a single tensor is called `result`).
 *
 * @example
 * ```ts run
 * import { trace } from "athanor";
 * const graph = trace({ x: { dtype: "f32", shape: [2, 3] } }, ({ x }) => x.mul(2).sum());
 * console.log(graph.toString());
 * ```
 */
export function trace<
  const Inputs extends { readonly [name: string]: { readonly dtype: DType; readonly shape: Shape } },
>(
  inputs: Inputs,
  fn: (inputs: { [K in keyof Inputs]: Tensor }) => Tensor | { readonly [name: string]: Tensor } | undefined,
  options: TraceOptions = {},
): Graph {
  const graph = new Graph();
  const base: TraceContext = {
    graph,
    mode: options.mode ?? "eval",
    floatDType: options.floatDType ?? "f32",
    random: undefined,
  };
  located(() =>
    withTrace(base, () => {
      const tensors = Object.fromEntries(Object.entries(inputs).map(([name, type]) => [name, feed(name, type)])) as {
        [K in keyof Inputs]: Tensor;
      };
      const random = options.random?.(tensors);
      const result = withContext(random ? { random } : {}, () => fn(tensors));
      if (result === undefined) return;
      if (typeof result !== "object" || result === null) return markOutput("result", result);
      const named = Tensor.is(result) ? { result } : result;
      for (const [name, tensor] of Object.entries(named)) markOutput(name, tensor);
    }),
  );
  return graph;
}

/** Errors that know no place get the line of the traced function. */
function located<T>(fn: () => T): T {
  try {
    return fn();
  } catch (error) {
    throw error instanceof AthanorError ? error.at(locate("", error)) : error;
  }
}

/** Names that a trace has given away, and the types of its variables. */
const namesOf = new WeakMap<Graph, Set<string>>();
const variablesOf = new WeakMap<Graph, Map<string, ValueType>>();

/** Errors with `trace/twice` when the trace under way has one of that name already. */
export function declareOnce(what: string, name: string, fix: string): void {
  const { graph } = currentTrace();
  const names = namesOf.get(graph) ?? new Set();
  namesOf.set(graph, names);
  const key = `${what} ${name}`;
  if (names.has(key)) fail("trace/twice", `there is a second ${what} "${name}"`, { expected: "one of each name", fix });
  names.add(key);
}

/** Errors with `trace/variable` when the trace under way uses the variable with another type. */
export function declareVariable(name: string, { dtype, shape }: ValueType): void {
  const { graph } = currentTrace();
  const types = variablesOf.get(graph) ?? new Map<string, ValueType>();
  variablesOf.set(graph, types);
  const known = types.get(name) ?? { dtype, shape };
  types.set(name, known);
  if (known.dtype !== dtype || !sameShape(known.shape, shape)) {
    fail("trace/variable", `variable "${name}" has one type`, {
      expected: formatType(known.dtype, known.shape),
      got: formatType(dtype, shape),
      fix: "cast or reshape the value before assigning it, or name the variables apart",
    });
  }
}

/** A named feed of the graph being traced. */
export function feed(name: string, type: ValueType): Tensor {
  return outside(() => {
    declareOnce("feed", name, "use the first one's tensor, or name them apart");
    return applyOp(inputLeaf, [], { name, dtype: type.dtype, shape: type.shape });
  });
}

/** Makes a tensor an output of the graph being traced. */
export function markOutput(name: string, tensor: Tensor): void {
  if (!Tensor.is(tensor)) {
    fail("trace/output", `output "${name}" is not a Tensor`, {
      expected: "a Tensor, or an object of Tensors",
      got: tensor === null ? "null" : typeof tensor,
      fix: "return tensors; plain numbers belong outside the traced function",
    });
  }
  const { graph } = currentTrace();
  if (tensor.graph !== graph) {
    fail("trace/foreign-tensor", `output "${name}" belongs to another trace`, {
      got: tensor.toString(),
      fix: "return tensors that this function computed; do not keep them between traces",
    });
  }
  declareOnce("output", name, "name them apart");
  graph.outputs.set(name, tensor.id);
}

/**
 * Names an intermediate tensor so that it can be read: it becomes an output `tap:<name>` when asked for.
 * Returns the tensor unchanged.
 */
export function tap(name: string, x: Tensor): Tensor {
  x.graph.taps.set(name, x.id);
  return x;
}

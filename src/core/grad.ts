// Reverse-mode differentiation: one loop over the graph, from the outputs back, which appends nodes. Knows no op by name.
import { fail, formatType, isFloat, unreachable } from "../base/index.ts";
import { add, gradientsThrough, ones, zerosLike } from "./functions.ts";
import type { Node } from "./graph.ts";
import { own, Tensor } from "./tensor.ts";
import { currentTrace, withScope } from "./trace.ts";

/**
 * Gradients of some tensors by others, in the trace under way.
 *
 * `seeds[i]` is the gradient flowing into `of[i]`; left out, it is 1 (for a scalar loss).
 * A result is `undefined` where no path leads from the tensor to the outputs.
 */
export function gradients(
  of: readonly Tensor[],
  by: readonly Tensor[],
  seeds?: readonly (Tensor | undefined)[],
): (Tensor | undefined)[] {
  const { graph } = currentTrace();
  const [outputs, wrt] = [of, by].map((list) => list.map((tensor) => own(tensor, "what is differentiated"))) as [
    Tensor[],
    Tensor[],
  ];
  // Nodes before the first of `wrt` cannot depend on it: gradients taken deep in a model cost what lies between.
  const first = Math.min(...wrt.map((tensor) => graph.value(tensor.id).node));
  const last = Math.max(-1, ...outputs.map((output) => graph.value(output.id).node));
  const wanted = new Set(wrt.map((root) => root.id));
  for (let at = first; at <= last; at++) {
    const node = graph.nodes[at]!;
    if (node.inputs.some((id) => wanted.has(id))) for (const id of node.outputs) wanted.add(id);
  }
  const flowing = new Map<number, Tensor>();
  const accumulate = (id: number, grad: Tensor) => {
    const sum = flowing.get(id);
    flowing.set(id, sum === undefined ? grad : add(sum, grad));
  };
  outputs.forEach((output, at) => {
    const seed = seeds === undefined ? ones(output.shape, output.dtype) : seeds[at];
    if (seed !== undefined && wanted.has(output.id)) accumulate(output.id, seed);
  });

  const targets = new Set(wrt.map((tensor) => tensor.id));
  for (let at = last; at >= first; at--) {
    const node = graph.nodes[at]!;
    const grads = node.outputs.map((id) => flowing.get(id));
    if (grads.every((grad) => grad === undefined)) continue;
    if (!node.inputs.some((id) => wanted.has(id))) continue;
    for (const id of node.outputs) if (!targets.has(id)) flowing.delete(id);
    const contributions = withScope(node.scope, () => contributionsOf(node, grads));
    node.inputs.forEach((input, position) => {
      const contribution = contributions[position];
      if (contribution && wanted.has(input)) accumulate(input, contribution);
    });
  }
  return wrt.map((tensor) => flowing.get(tensor.id));
}

/** What flows into each input of a node, given what flows into its outputs. */
function contributionsOf(node: Node, grads: readonly (Tensor | undefined)[]): readonly (Tensor | null | undefined)[] {
  const { op } = node;
  const { graph } = currentTrace();
  const inputs = node.inputs.map((id) => new Tensor(graph, id));
  const outputs = node.outputs.map((id) => new Tensor(graph, id));
  if (op.vjp === "zero") return [];
  if (op.vjp === "none") {
    const output = outputs[0];
    if (output !== undefined && !isFloat(output.dtype)) return [];
    fail("grad/none", `${op.name} has no gradient`, {
      got: output ? formatType(output.dtype, output.shape) : op.name,
      fix: "differentiate with respect to something else, or wrap its input in stopGradient()",
    });
  }
  if (op.vjp === undefined) {
    // A fused op without a rule of its own: its composition is differentiated.
    if (op.expand === undefined) unreachable(`op ${op.name} has neither a gradient rule nor a composition`);
    const compose = (...own: Tensor[]): readonly Tensor[] => {
      const result: Tensor | readonly Tensor[] = op.expand!(own, node.attrs);
      return Array.isArray(result) ? (result as readonly Tensor[]) : [result as Tensor];
    };
    return gradientsThrough(compose, inputs, grads);
  }
  const first = grads[0] ?? zerosLike(outputs[0]!);
  return op.vjp({ inputs, outputs, output: outputs[0]!, grad: first, grads, attrs: node.attrs });
}

type Differentiable = (...inputs: Tensor[]) => Tensor;

function checkScalar(loss: Tensor): Tensor {
  if (loss.shape.length !== 0 || !isFloat(loss.dtype)) {
    fail("grad/scalar", "only a scalar can be differentiated", {
      expected: "a floating-point scalar",
      got: loss.toString(),
      fix: "reduce it first: loss.mean() or loss.sum()",
    });
  }
  return loss;
}

export interface GradOptions {
  /** The arguments to differentiate by, counted from 0; left out, the first, whose gradient is then given alone. */
  readonly argnums: readonly number[];
}

/**
 * Value and gradient of a scalar function with respect to its first argument, or a list of gradients for those of `argnums`. Errors
 * with `grad/scalar` and `grad/arguments`.
 *
 * @example
 * ```ts run
 * import { evaluate, valueAndGrad } from "athanor";
 * const parabola = valueAndGrad((x) => x.square().sum());
 * console.log(evaluate((x) => parabola(x).grad, { x: [1, 2] }).data); // [2, 4]
 * ```
 */
export function valueAndGrad(fn: Differentiable): (...inputs: Tensor[]) => { value: Tensor; grad: Tensor };
export function valueAndGrad(
  fn: Differentiable,
  options: GradOptions,
): (...inputs: Tensor[]) => { value: Tensor; grad: Tensor[] };
export function valueAndGrad(fn: Differentiable, options?: GradOptions) {
  return (...inputs: Tensor[]): { value: Tensor; grad: Tensor | Tensor[] } => {
    const wrt = (options?.argnums ?? [0]).map((at) => inputs[at] ?? failArgument(at, inputs.length));
    const value = checkScalar(fn(...inputs));
    const grads = gradients([value], wrt).map((grad, at) => grad ?? zerosLike(wrt[at]!));
    return { value, grad: options === undefined ? grads[0]! : grads };
  };
}

function failArgument(at: number, given: number): never {
  fail("grad/arguments", "there is no such argument to differentiate by", {
    expected: `argument ${at}, counted from 0`,
    got: `${given} arguments`,
    fix: "pass the tensors to differentiate by as arguments of the function",
  });
}

/** The gradient of a scalar function with respect to its first argument, or those of `argnums`; nests: `grad(grad(f))`. */
export function grad(fn: Differentiable): Differentiable;
export function grad(fn: Differentiable, options: GradOptions): (...inputs: Tensor[]) => Tensor[];
export function grad(fn: Differentiable, options?: GradOptions): (...inputs: Tensor[]) => Tensor | Tensor[] {
  return options === undefined
    ? (...inputs) => valueAndGrad(fn)(...inputs).grad
    : (...inputs) => valueAndGrad(fn, options)(...inputs).grad;
}

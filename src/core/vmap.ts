// vmap: a function of one example becomes one of a batch. It runs once, on stand-ins for an example; what it did with them is then done
// again with a leading axis of examples. Knows no op by name: a kind, or the op itself, says how it takes one more axis.
import { fail, normalizeAxis, type Shape } from "../base/index.ts";
import { broadcastTo, permute, reshape, zeros } from "./functions.ts";
import type { Node } from "./graph.ts";
import type { Attrs, Op } from "./op.ts";
import { applyMulti, Tensor } from "./tensor.ts";
import { currentTrace, withScope } from "./trace.ts";

export interface VmapOptions {
  /** For each argument the axis of its examples, or null where it is the same for all of them; default 0. */
  readonly inAxes?: readonly (number | null)[];
}

/**
 * `fn` over a batch of examples at once: arguments have an axis of examples more than `fn` expects, results have it first. Nests with
 * itself and `grad`: `vmap(grad(loss), { inAxes: [null, 0] })` gives the gradient of every example. Errors with `vmap/examples`, and with
 * `vmap/op` for what cannot be done by the example: drawing random numbers, looking up by index, writing variables.
 *
 * @example
 * ```ts run
 * import { evaluate, vmap } from "athanor";
 * const dot = vmap((a, b) => a.mul(b).sum());
 * console.log(evaluate(dot, { a: [[1, 2], [3, 4]], b: [[1, 1], [2, 2]] }).data); // [3, 14]
 * ```
 */
export function vmap<R extends Tensor | readonly Tensor[]>(
  fn: (...inputs: Tensor[]) => R,
  options: VmapOptions = {},
): (...inputs: Tensor[]) => R {
  return (...inputs) => {
    const { graph } = currentTrace();
    const axes = inputs.map((_, at) => options.inAxes?.[at] ?? (options.inAxes?.[at] === null ? null : 0));
    const size = countExamples(inputs, axes);
    const first = graph.nodes.length;
    const batched = new Map<number, Tensor>();
    const examples = inputs.map((input, at) => {
      const axis = axes[at]!;
      if (axis === null) return input;
      const moved = toFront(input, axis);
      const example = zeros(moved.shape.slice(1), moved.dtype);
      batched.set(example.id, moved);
      return example;
    });
    const result = fn(...examples);
    const results: readonly Tensor[] = Tensor.is(result) ? [result] : result;
    new Batching(size, batched).replay(first, results);
    const full = results.map((one) => batched.get(one.id) ?? broadcastTo(one, [size, ...one.shape]));
    return (Tensor.is(result) ? full[0] : full) as R;
  };
}

function toFront(x: Tensor, axis: number): Tensor {
  const at = normalizeAxis(axis, x.rank, "vmap");
  return permute(
    x,
    [at, ...x.shape.keys()].filter((other, place) => place === 0 || other !== at),
  );
}

function countExamples(inputs: readonly Tensor[], axes: readonly (number | null)[]): number {
  const sizes = inputs.flatMap(({ shape, rank }, at) => {
    const axis = axes[at]!;
    return axis === null ? [] : [rank === 0 ? undefined : shape[normalizeAxis(axis, rank, "vmap")]];
  });
  const [size] = sizes;
  if (size === undefined || sizes.some((other) => other !== size)) {
    fail("vmap/examples", "the arguments have no common number of examples", {
      expected: "one length along the axis of examples of every argument that has one",
      got: inputs.map((input, at) => `${input}${axes[at] === null ? " for all" : ` along ${axes[at]}`}`).join(", "),
      fix: "give inAxes: an axis for each argument, or null for one that is the same for all examples",
    });
  }
  return size;
}

/** Values with their examples: `batched` maps a value of the example to that of all of them. */
class Batching {
  private readonly size: number;
  private readonly batched: Map<number, Tensor>;

  constructor(size: number, batched: Map<number, Tensor>) {
    this.size = size;
    this.batched = batched;
  }

  /** Does again, for all examples, what the nodes from `first` on do to come from batched values to `results`. */
  replay(first: number, results: readonly Tensor[]): void {
    const { graph } = currentTrace();
    const nodes = graph.nodes.slice(first);
    const needed = new Set(results.map(({ id }) => id));
    // what has no output is there for what it does: writing a variable
    const isNeeded = ({ outputs }: Node) => outputs.length === 0 || outputs.some((id) => needed.has(id));
    for (const node of nodes.toReversed()) if (isNeeded(node)) for (const id of node.inputs) needed.add(id);
    for (const node of nodes) {
      if (!isNeeded(node) || !node.inputs.some((id) => this.batched.has(id))) continue;
      const outputs = withScope(node.scope, () => this.run(node));
      node.outputs.forEach((id, at) => void this.batched.set(id, outputs[at]!));
    }
  }

  private run(node: Node): readonly Tensor[] {
    const { op, attrs } = node;
    switch (op.batch ?? ruleOfKind[op.kind]) {
      case "lead":
        return applyMulti(
          op as Op,
          node.inputs.map((id) => this.full(id)),
          attrs,
        );
      case "axes": {
        const rank = (attrs.shape as Shape | undefined)?.length ?? 0;
        const inputs = node.inputs.map((id) => aligned(this.full(id), rank + 1));
        return applyMulti(op as Op, inputs, shifted(attrs, this.size));
      }
      default:
        return this.composed(node);
    }
  }

  /** A fused op by its composition. */
  private composed({ op, attrs, inputs }: Node): readonly Tensor[] {
    if (op.expand === undefined) {
      return fail("vmap/op", `${op.name} has no rule for a batch of examples`, {
        expected: "elementwise operations, reductions, views, products, and what is made of them",
        got: `${op.name}: ${op.doc}`,
        fix: "leave it outside of the function given to vmap",
      });
    }
    const { graph } = currentTrace();
    const first = graph.nodes.length;
    const made: Tensor | readonly Tensor[] = op.expand(
      inputs.map((id) => new Tensor(graph, id)),
      attrs,
    );
    const outputs = Tensor.is(made) ? [made] : made;
    this.replay(first, outputs);
    return outputs.map(({ id }) => this.full(id));
  }

  /** A value with its examples: repeated where it is the same for all. */
  private full(id: number): Tensor {
    const value = new Tensor(currentTrace().graph, id);
    return this.batched.get(id) ?? broadcastTo(value, [this.size, ...value.shape]);
  }
}

const ruleOfKind: { readonly [kind: string]: Op["batch"] } = { elementwise: "lead", reduce: "axes", view: "axes" };

/** Ones behind the axis of examples, so that broadcasting from the right leaves that axis alone. */
function aligned(x: Tensor, rank: number): Tensor {
  const [size, ...shape] = x.shape as [number, ...number[]];
  return x.rank >= rank ? x : reshape(x, [size, ...new Array<number>(rank - x.rank).fill(1), ...shape]);
}

/** Attributes that name axes or a shape, for tensors with an axis of examples before the others. */
function shifted(attrs: Attrs, size: number): Attrs {
  const next = (axes: readonly number[]) => axes.map((axis) => axis + 1);
  return Object.fromEntries(
    Object.entries(attrs).map(([name, value]) => {
      if (name === "axis") return [name, (value as number) + 1];
      if (name === "axes") return [name, next(value as readonly number[])];
      if (name === "order") return [name, [0, ...next(value as readonly number[])]];
      return [name, name === "shape" ? [size, ...(value as Shape)] : value];
    }),
  );
}

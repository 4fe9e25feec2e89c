// Building a new graph from an old one: the frame that every pass shares. Holds no optimization of its own.
import { type Attrs, Graph, type Node, type Op, Tensor, withScope, withTrace } from "../core/index.ts";

/** A pass: graph in, new graph out. The name appears in `athanor inspect`. */
export interface Pass {
  readonly name: string;
  readonly doc: string;
  run(graph: Graph): Graph;
}

export interface Rewriter {
  /** The graph being built. */
  readonly graph: Graph;
  /** Where an old value went. */
  map(oldId: number): number;
  /** Says where an old value went when its own node could not. */
  setMap(oldId: number, newId: number): void;
  /** Appends a node to the new graph. */
  add(op: Op, inputs: readonly number[], attrs: Attrs, scope: string): readonly number[];
  /** Runs tensor functions that append to the new graph, and gives the ids of what they return. */
  trace(scopeOf: Node, inputs: readonly number[], fn: (tensors: Tensor[]) => readonly Tensor[]): readonly number[];
}

/** What becomes of a node: the new ids of its outputs, or `undefined` to copy it as it is. */
export type Visit = (node: Node, rewriter: Rewriter) => readonly number[] | undefined;

/** Walks `old` in order and builds a graph with the same outputs, taps and guard. */
export function rewrite(old: Graph, visit: Visit): Graph {
  const graph = new Graph();
  const mapped = new Array<number>(old.values.length);
  const rewriter: Rewriter = {
    graph,
    map: (id) => mapped[id]!,
    setMap: (id, to) => {
      mapped[id] = to;
    },
    add: (op, inputs, attrs, scope) => graph.add(op, inputs, attrs, scope),
    trace: (node, inputs, fn) =>
      withTrace({ graph, mode: "eval", floatDType: "f32", random: undefined }, () =>
        withScope(node.scope, () => fn(inputs.map((id) => new Tensor(graph, id))).map((tensor) => tensor.id)),
      ),
  };
  for (const node of old.nodes) {
    const ids =
      visit(node, rewriter) ??
      graph.add(
        node.op,
        node.inputs.map((id) => mapped[id]!),
        node.attrs,
        node.scope,
      );
    node.outputs.forEach((id, at) => {
      mapped[id] = ids[at]!;
    });
  }
  for (const [name, id] of old.outputs) graph.outputs.set(name, mapped[id]!);
  for (const [name, id] of old.taps) graph.taps.set(name, mapped[id]!);
  if (old.guard !== undefined) graph.guard = mapped[old.guard]!;
  return graph;
}

/** How often each value is read by nodes, outputs, or the guard. */
export function countUses(graph: Graph): Int32Array {
  const uses = new Int32Array(graph.values.length);
  for (const node of graph.nodes) for (const id of node.inputs) uses[id]!++;
  for (const id of graph.outputs.values()) uses[id]!++;
  if (graph.guard !== undefined) uses[graph.guard]!++;
  return uses;
}

/** Ops whose nodes stand for themselves: never merged, never removed while something may notice. */
export function isEffect(node: Node): boolean {
  return node.op.kind === "update";
}

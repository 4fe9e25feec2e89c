// Pass `order`: effects (assignments) go to the end, and sums that only they wait for are made as soon as they can be: a gradient is
// added to that of other lanes while few others lie in memory, and a weight is rounded before the next one is made. Everything
// else keeps the order in which it was traced, which is forward before backward.
import type { Graph, Node } from "../../core/index.ts";
import { isEffect, type Pass, rewrite } from "../rewrite.ts";

export const orderEffectsLast: Pass = {
  name: "order",
  doc: "moves assignments behind everything that reads the old values, and what only they read forward",
  run: (graph) => {
    const effects: Node[] = [];
    const early = nextValues(graph);
    const waiting = new Map<number, Node[]>();
    for (const node of early) for (const id of node.inputs) waiting.set(id, [...(waiting.get(id) ?? []), node]);
    const made = new Set<number>();
    let finish: (() => void) | undefined;
    const result = rewrite(graph, (node, rewriter) => {
      const isReady = (id: number) => made.has(id) || graph.producer(id).inputs.length === 0;
      const make = ({ op, inputs, attrs, scope, outputs }: Node) => {
        for (const id of inputs) if (!made.has(id)) make(graph.producer(id)); // one without inputs that was traced later
        const ids = rewriter.add(op, inputs.map(rewriter.map), attrs, scope);
        outputs.forEach((id, at) => {
          rewriter.setMap(id, ids[at]!);
          made.add(id);
        });
      };
      finish ??= () => effects.forEach(make);
      if (isEffect(node)) {
        effects.push(node);
        return [];
      }
      for (const next = [node]; next.length > 0; ) {
        const current = next.pop()!;
        if (current.outputs.some((id) => made.has(id))) continue;
        make(current);
        for (const id of current.outputs)
          for (const reader of waiting.get(id) ?? []) if (reader.inputs.every(isReady)) next.push(reader);
      }
      return node.outputs.map(rewriter.map);
    });
    finish?.();
    return result;
  },
};

/**
 * Elementwise nodes that only assignments need, of variables that nothing else reads. With a guard they run last anyhow, and only
 * what is rounded for its assignment is made sooner than it was traced.
 */
function nextValues(graph: Graph): ReadonlySet<Node> {
  if (graph.guard !== undefined) return new Set(graph.nodes.filter(({ op }) => op.name === "roundStochastic"));
  const found = new Set<Node>();
  const outside = new Set(graph.outputs.values());
  const readers: Node[][] = graph.values.map(() => []);
  for (const node of graph.nodes) for (const id of node.inputs) readers[id]!.push(node);
  for (const node of [...graph.nodes].reverse()) {
    const waits = node.outputs.every(
      (id) => !outside.has(id) && readers[id]!.every((reader) => isEffect(reader) || found.has(reader)),
    );
    if (node.op.kind === "elementwise" && waits) found.add(node);
  }
  const readElsewhere = new Set(
    graph
      .nodesOf("variable")
      .flatMap(({ attrs, outputs }) =>
        readers[outputs[0]!]!.every((reader) => found.has(reader)) ? [] : [attrs.name],
      ),
  );
  for (const node of found)
    if (node.outputs.some((id) => readers[id]!.some(({ attrs }) => readElsewhere.has(attrs.name)))) found.delete(node);
  return found;
}

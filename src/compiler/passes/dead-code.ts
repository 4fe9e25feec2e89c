// Pass `dead-code`: drops nodes whose results nothing reads. Effects (assignments) and outputs are the roots.
import type { Graph } from "../../core/index.ts";
import { isEffect, type Pass, rewrite } from "../rewrite.ts";

export const removeDeadCode: Pass = {
  name: "dead-code",
  doc: "drops nodes whose results nothing reads",
  run: (graph) => {
    const live = liveNodes(graph);
    const result = rewrite(graph, (node) => (live.has(node.id) ? undefined : node.outputs.map(() => -1)));
    // Taps that are wanted were made outputs by the compiler; the others keep nothing alive.
    result.taps.clear();
    return result;
  },
};

function liveNodes(graph: Graph): Set<number> {
  const live = new Set<number>();
  const want = (value: number) => live.add(graph.value(value).node);
  for (const id of graph.outputs.values()) want(id);
  if (graph.guard !== undefined) want(graph.guard);
  for (let at = graph.nodes.length - 1; at >= 0; at--) {
    const node = graph.nodes[at]!;
    // Feeds stay: what a program must be given does not depend on what the optimizer finds useless.
    if (isEffect(node) || node.op.name === "input") live.add(at);
    if (live.has(at)) for (const id of node.inputs) want(id);
  }
  return live;
}

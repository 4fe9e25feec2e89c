// Which nodes wait for the guard. With one, variables are written at the end and only if it holds.
import type { Graph } from "../core/index.ts";
import { isEffect } from "./rewrite.ts";

/** The assignments, and the nodes whose results only they need. Empty without a guard. */
export function commitNodes(graph: Graph): ReadonlySet<number> {
  const commits = new Set<number>();
  if (graph.guard === undefined) return commits;
  const readers: number[][] = graph.values.map(() => []);
  for (const node of graph.nodes) for (const id of node.inputs) readers[id]!.push(node.id);
  const outside = new Set([...graph.outputs.values(), graph.guard]);
  for (let at = graph.nodes.length - 1; at >= 0; at--) {
    const node = graph.nodes[at]!;
    const waits =
      node.op.kind !== "leaf" &&
      node.outputs.every((id) => !outside.has(id) && readers[id]!.every((reader) => commits.has(reader)));
    if (isEffect(node) || waits) commits.add(at);
  }
  return commits;
}

// Pass `loops`: the scans of one body over the same inputs become one, which gives out what any of them is read for and nothing else; what
// runs in every turn is then optimized as a program of its own. Scans inside of bodies are unrolled.
import { Graph, type Node, type ScanAttrs } from "../../core/index.ts";
import { countUses, type Pass, type Rewriter, rewrite } from "../rewrite.ts";

export function settleLoops(optimizeBody: (body: Graph, scan: ScanAttrs) => Graph): Pass {
  return {
    name: "loops",
    doc: "makes one of scans that share their turns, and optimizes what a turn does",
    run: (graph) => {
      const uses = countUses(graph);
      const groups = groupScans(graph);
      return rewrite(graph, (node, rewriter) => {
        const group = groups.get(node);
        if (group === undefined) return undefined;
        if (node === group[0]) settle(group, rewriter, (id) => uses[id]! > 0);
        return node.outputs.map(rewriter.map);
      });
    },
  };

  function settle(group: readonly Node[], rewriter: Rewriter, isRead: (id: number) => boolean): void {
    const [{ op, attrs, inputs, scope }] = group as [Node];
    const { body, carried, results } = attrs as ScanAttrs;
    const given = group.flatMap(({ attrs, outputs }) =>
      (attrs as ScanAttrs).results.filter((_, at) => at >= carried && isRead(outputs[at]!)),
    );
    const wanted = [...results.slice(0, carried), ...new Set(given)];
    const outputs = new Map(wanted.map((id, at) => [String(at), id]));
    const whole = Object.assign(new Graph(), { nodes: body.nodes, values: body.values, outputs });
    const settled = optimizeBody(whole, attrs as ScanAttrs);
    const next = { ...attrs, body: settled, results: [...settled.outputs.values()] };
    const ids = rewriter.add(op, inputs.map(rewriter.map), next, scope);
    for (const { attrs, outputs } of group)
      outputs.forEach((id, at) => {
        const place = at < carried ? at : wanted.indexOf((attrs as ScanAttrs).results[at]!, carried);
        rewriter.setMap(id, ids[place] ?? -1);
      });
  }
}

/** To each scan those that do the same in every turn, whatever they give out; the first of them first. */
function groupScans(graph: Graph): ReadonlyMap<Node, readonly Node[]> {
  const bodies: unknown[] = [];
  const groups = new Map<string, Node[]>();
  for (const node of graph.nodesOf("scan")) {
    const { body, turns, reverse } = node.attrs as ScanAttrs;
    if (!bodies.includes(body)) bodies.push(body);
    const key = `${bodies.indexOf(body)} ${turns} ${reverse} ${node.inputs}`;
    groups.set(key, [...(groups.get(key) ?? []), node]);
  }
  return new Map([...groups.values()].flatMap((group) => group.map((node) => [node, group])));
}

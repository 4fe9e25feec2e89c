// Pass `expand`: fused ops that the target has no kernel for become their compositions, until only kernels are left.
import type { Graph, Tensor } from "../../core/index.ts";
import { type Pass, rewrite } from "../rewrite.ts";
import type { Target } from "../target.ts";

export function expandFused(target: Target): Pass {
  return {
    name: "expand",
    doc: "replaces fused ops without a kernel by their compositions",
    run: (graph) => {
      let current = graph;
      while (current.nodes.some((node) => mustExpand(node.op, target))) current = expandOnce(current, target);
      return current;
    },
  };
}

function mustExpand(op: Graph["nodes"][number]["op"], target: Target): boolean {
  return op.expand !== undefined && !target.hasKernel(op.name);
}

function expandOnce(graph: Graph, target: Target): Graph {
  return rewrite(graph, (node, rewriter) => {
    if (!mustExpand(node.op, target)) return undefined;
    const inputs = node.inputs.map((id) => rewriter.map(id));
    return rewriter.trace(node, inputs, (tensors) => {
      const result: Tensor | readonly Tensor[] = node.op.expand!(tensors, node.attrs);
      return Array.isArray(result) ? (result as readonly Tensor[]) : [result as Tensor];
    });
  });
}

// Pass `store-bf16`: mixed precision, as a matter of storage. What matmuls and attention read, and what they hand on to
// elementwise operations and to each other, is rounded to bf16 and widened again; every operation computes in f32, sums in f32
// and knows nothing of it. Weights, their gradients, slots, norms, the residual stream and losses stay f32
// (Micikevicius et al. 2018). Not for programs whose own outputs are asked for in f32: those are left as they are.
import { allOps, type Graph, movesElements, type Node, type Op, type ScanAttrs, takesBf16 } from "../../core/index.ts";
import { isEffect, type Pass, type Rewriter, rewrite } from "../rewrite.ts";
import { varyingValues } from "./hoist.ts";

const rounding = new Set(["matmul", "groupedMatmul", "groupedMatmulGrad", "attention", "attentionGrad"]);

export const storeBf16: Pass = {
  name: "store-bf16",
  doc: "rounds what matmuls and attention read and hand on to bf16",
  run: (graph) => {
    const keep = valuesToKeep(graph);
    return rewrite(graph, (node, rewriter) => {
      if (!rounding.has(node.op.name)) return undefined;
      const { outputs } = node.op.bf16!;
      const operands = node.inputs.map((id, at) => {
        const mapped = rewriter.map(id);
        return takesBf16(node.op, at) ? rounded(rewriter, mapped, node) : mapped;
      });
      const results = rewriter.add(node.op, operands, node.attrs, node.scope);
      return results.map((id, at) =>
        outputs.includes(at) && !keep.has(node.outputs[at]!) ? rounded(rewriter, id, node) : id,
      );
    });
  },
};

/** The same in the body of a scan, for what products read there alone, and only where a matrix is rounded once for all turns. */
export function storeBf16InTurns(scan: ScanAttrs): Pass {
  return {
    ...storeBf16,
    run: (graph) => {
      const varying = varyingValues(graph, scan);
      return rewrite(graph, (node, rewriter) => {
        const { op, inputs, attrs, scope } = node;
        if (op.name !== "matmul" || varying.has(inputs[1]!)) return undefined;
        const operands = inputs.map((id) => rounded(rewriter, rewriter.map(id), node));
        return rewriter.add(op, operands, attrs, scope);
      });
    },
  };
}

/** A value as it is after it was stored in bf16. Others than f32 stay as they are. */
function rounded({ graph, add }: Rewriter, id: number, { scope }: Node): number {
  if (graph.value(id).dtype !== "f32") return id;
  const cast = allOps().get("cast") as Op;
  const narrow = add(cast, [id], { to: "bf16" }, scope);
  return add(cast, narrow, { to: "f32" }, scope)[0]!;
}

/** Values that must not be rounded: outputs, what becomes a variable, and what some reader takes in f32 only. */
function valuesToKeep(graph: Graph): ReadonlySet<number> {
  const lasting = new Set(graph.outputs.values());
  if (graph.guard !== undefined) lasting.add(graph.guard);
  const wide = new Set<number>();
  for (const node of [...graph.nodes].reverse()) {
    const { op, inputs, outputs } = node;
    const moves = movesElements(op);
    const passesOn = moves || op.kind === "elementwise";
    inputs.forEach((id, at) => {
      if (isEffect(node) || (passesOn && outputs.some((output) => lasting.has(output)))) lasting.add(id);
      if (moves ? outputs.some((output) => wide.has(output)) : !passesOn && !takesBf16(op, at)) wide.add(id);
    });
  }
  return new Set([...lasting, ...wide]);
}

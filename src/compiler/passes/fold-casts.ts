// Pass `fold-casts`: kernels that take bf16 read and write it themselves, instead of casts before and after them; other
// readers of a widened value each widen it anew, so that only its bf16 is kept. Only for targets whose kernels can.
import { allOps, type Graph, type Node, type Op, takesBf16, type ValueType } from "../../core/index.ts";
import { countUses, type Pass, rewrite } from "../rewrite.ts";
import { beforeWidening } from "./simplify.ts";

export const foldCasts: Pass = {
  name: "fold-casts",
  doc: "lets kernels read and write bf16 themselves",
  run: (graph) => {
    const cast = allOps().get("cast") as Op;
    const roundings = roundingsToFold(graph);
    const folded = new Set(roundings.values());
    return rewrite(graph, (node, rewriter) => {
      if (node.outputs.length === 1 && folded.has(node.outputs[0]!)) return [rewriter.map(node.inputs[0]!)];
      const bf16Inputs = node.inputs.map((id, at) => (takesBf16(node.op, at) ? beforeWidening(graph, id) : undefined));
      const bf16Outputs = node.outputs.flatMap((id, at) => (roundings.has(id) ? [at] : []));
      const inputs = node.inputs.map((id, at) => {
        const narrow = bf16Inputs[at] ?? beforeWidening(graph, id);
        if (narrow === undefined) return rewriter.map(id);
        if (bf16Inputs[at] !== undefined) return rewriter.map(narrow);
        return rewriter.add(cast, [rewriter.map(narrow)], { to: "f32" }, node.scope)[0]!;
      });
      const folds = bf16Outputs.length > 0 || bf16Inputs.some((id) => id !== undefined);
      const [op, attrs] = folds ? [withBf16(node.op), { ...node.attrs, bf16Outputs }] : [node.op, node.attrs];
      return rewriter.add(op, inputs, attrs, node.scope);
    });
  },
};

/** Results that kernels can give in bf16 and that are read by one rounding alone: the value, and the rounded one. */
function roundingsToFold(graph: Graph): ReadonlyMap<number, number> {
  const uses = countUses(graph);
  const found = new Map<number, number>();
  for (const { op, inputs, outputs } of graph.nodes) {
    const [from] = inputs;
    if (op.name !== "cast" || graph.value(outputs[0]!).dtype !== "bf16" || uses[from!] !== 1) continue;
    const { node, index } = graph.value(from!);
    if (graph.nodes[node]!.op.bf16?.outputs.includes(index)) found.set(from!, outputs[0]!);
  }
  return found;
}

const variants = new Map<Op, Op>();

/** The op with operands of either type: the same kernel, another shape rule. Its attribute `bf16Outputs` lists positions. */
function withBf16(op: Op): Op {
  const known = variants.get(op);
  if (known !== undefined) return known;
  const wide = (types: readonly ValueType[]): ValueType[] =>
    types.map((type) => (type.dtype === "bf16" ? { ...type, dtype: "f32" } : type));
  const { infer, params, cost } = op;
  const variant: Op = {
    ...op,
    infer: (inputs: readonly ValueType[], { bf16Outputs, ...attrs }: Node["attrs"]) =>
      [infer(wide(inputs), attrs)]
        .flat()
        .map((type, at) => ((bf16Outputs as number[]).includes(at) ? { ...type, dtype: "bf16" } : type)),
    params: (attrs: Node["attrs"], inputs: readonly ValueType[]) => params?.(attrs, wide(inputs)) ?? [],
    cost: (inputs, outputs, attrs) => cost?.(wide(inputs), wide(outputs), attrs) ?? { flops: 0 },
  };
  variants.set(op, variant);
  return variant;
}

// Pass `fold-constants`: elementwise arithmetic on numbers known while compiling is done now.
import { fromNumbers, roundTo } from "../../base/index.ts";
import { allOps } from "../../core/index.ts";
import { type Pass, rewrite } from "../rewrite.ts";
import { scalarConstant } from "./simplify.ts";

export const foldConstants: Pass = {
  name: "fold-constants",
  doc: "computes elementwise operations on constant numbers",
  run: (graph) =>
    rewrite(graph, (node, r) => {
      const { scalar } = node.op;
      if (node.op.kind !== "elementwise" || scalar === undefined || node.inputs.length === 0) return undefined;
      const values = node.inputs.map((id) => scalarConstant(r.graph, r.map(id)));
      if (values.some((value) => value === undefined)) return undefined;
      const { dtype, shape } = graph.value(node.outputs[0]!);
      if (dtype === "i64") return undefined;
      const result = roundTo(dtype, scalar(...(values as number[])));
      const folded = r.add(allOps().get("constant")!, [], { value: fromNumbers(dtype, [], [result]) }, node.scope);
      return shape.length === 0 ? folded : r.add(allOps().get("broadcast")!, folded, { shape }, node.scope);
    }),
};

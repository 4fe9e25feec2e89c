// Pass `add-rows`: rows scattered into zeros and added to another tensor are added to it where it lies. The gradient of an
// embedding that is also the output head is such a sum.
import { allOps, type Op } from "../../core/index.ts";
import { countUses, type Pass, rewrite } from "../rewrite.ts";

export const addRows: Pass = {
  name: "add-rows",
  doc: "adds scattered rows to a tensor instead of making a sparse one of its size",
  run: (graph) => {
    const uses = countUses(graph);
    /** The scattered rows that value `id` is, when nothing else needs them. */
    const scatterOf = (id: number) => {
      const node = graph.producer(id);
      return node.op.name === "scatterAdd" && node.inputs.length === 2 && uses[id] === 1 ? node : undefined;
    };
    return rewrite(graph, (node, rewriter) => {
      if (node.op.name !== "add") return undefined;
      const [a, b] = node.inputs as [number, number];
      const scatter = scatterOf(b) ?? scatterOf(a);
      if (scatter === undefined) return undefined;
      const inputs = [...scatter.inputs, scatter.outputs[0] === b ? a : b].map((id) => rewriter.map(id));
      return rewriter.add(allOps().get("scatterAdd") as Op, inputs, scatter.attrs, scatter.scope);
    });
  },
};

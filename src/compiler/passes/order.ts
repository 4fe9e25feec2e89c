// Pass `order`: effects (assignments) go to the end. Everything else keeps the order in which it was traced, which is
// forward before backward; a cost-driven order may replace it.
import type { Node } from "../../core/index.ts";
import { isEffect, type Pass, rewrite } from "../rewrite.ts";

export const orderEffectsLast: Pass = {
  name: "order",
  doc: "moves assignments behind everything that reads the old values",
  run: (graph) => {
    const effects: Node[] = [];
    let finish: (() => void) | undefined;
    const result = rewrite(graph, (node, rewriter) => {
      finish ??= () => {
        for (const effect of effects) {
          const inputs = effect.inputs.map((id) => rewriter.map(id));
          rewriter.add(effect.op, inputs, effect.attrs, effect.scope);
        }
      };
      if (!isEffect(node)) return undefined;
      effects.push(node);
      return [];
    });
    finish?.();
    return result;
  },
};

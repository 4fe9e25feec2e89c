// The weights that a checkpoint's model is used with: averages where its optimizer keeps some, as its evaluations took, or raw.
import { fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import { parseOptimizer } from "../optim/index.ts";
import type { Recipe } from "../recipe/index.ts";

/** `averaged`: those that evaluations were made with, averaged where the optimizer averages. `raw`: those that were trained on. */
export type WeightsChoice = "averaged" | "raw";

/** A checkpoint's tensors with the chosen weights under the parameters' names. `recipe` is the text of its `recipe.json`. */
export function usedWeights(
  tensors: ReadonlyMap<string, HostArray>,
  recipe: string | undefined,
  choice: WeightsChoice = "averaged",
): ReadonlyMap<string, HostArray> {
  if (recipe === undefined || choice === "raw") return tensors;
  const { optimizer, steps } = JSON.parse(recipe) as Recipe;
  const weights = parseOptimizer(optimizer, { steps }).evaluatedWeights;
  if (weights === undefined) return tensors;
  return new Map(
    [...tensors].map(([name, parameter]) => {
      const slot = tensors.get(`${weights.slot}.${name}`); // only what is trained has one
      if (slot === undefined) return [name, parameter];
      const [values, gaps] = [toNumbers(parameter), toNumbers(slot)];
      const used = values.map((value, at) => value + weights.factor * gaps[at]!);
      return [name, fromNumbers(slot.dtype, slot.shape, used)]; // in the slot's dtype: a parameter may be stored in two bytes
    }),
  );
}

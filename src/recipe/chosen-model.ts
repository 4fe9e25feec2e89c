// Which model a recipe names.
import type { Recipe } from "./schema.ts";

/** The family's name and the configuration as it was written. */
export function chosenModel(recipe: Pick<Recipe, "model">): [family: string, config: unknown] {
  return Object.entries(recipe.model).find(([, config]) => config !== undefined)!;
}

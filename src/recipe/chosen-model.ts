// Which model a recipe names, and how much of a text it reads.
import { modelFamily, type TaskName } from "../models/index.ts";
import type { Recipe } from "./schema.ts";

/** The family's name and the configuration as it was written. */
export function chosenModel(recipe: Pick<Recipe, "model">): [family: string, config: unknown] {
  return Object.entries(recipe.model).find(([, config]) => config !== undefined)!;
}

/** Tokens of a text that the model reads: the family's default when the recipe names none. */
export function contextOf(family: string, config: unknown, task: TaskName): number {
  return modelFamily(family).build(config, { task, vocab: 1, outputs: 1 }).inputs.tokens!.shape[0]!;
}

/** Places that an adapter trains before every text. */
export const placesBefore = ({ adapter }: Pick<Recipe, "adapter">): number =>
  (adapter?.prompt ?? adapter?.prefix)?.tokens ?? 0;

/** Tokens of a text that a language model reads beside those places. */
export const roomOf = (context: number, recipe: Pick<Recipe, "adapter">): number =>
  Math.max(1, context - placesBefore(recipe)); // an adapter that leaves no room is refused as it is added

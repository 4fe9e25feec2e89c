// Which model a recipe names, and how much of a text it reads.
import { fail } from "../base/index.ts";
import { modelFamily, roomBehind, type TaskName } from "../models/index.ts";
import type { Recipe } from "./schema.ts";

/** The family's name and the configuration as it was written. */
export function chosenModel(recipe: Pick<Recipe, "model">): [family: string, config: unknown] {
  return Object.entries(recipe.model).find(([, config]) => config !== undefined)!;
}

/** Fewest tokens with which there is room for a word within what frames a text, or for a word of a question and one of its text. */
const fewest: { readonly [task in TaskName]?: number } = {
  "token-classification": 3,
  embedding: 3,
  "question-answering": 8,
};

/** Tokens of a text that the model reads: the family's default when the recipe names none. Errors with `model/context`. */
export function contextOf(family: string, config: unknown, task: TaskName): number {
  const context = modelFamily(family).build(config, { task, vocab: 1, outputs: 1 }).inputs.tokens!.shape[0]!;
  const { [task]: least = 1 } = fewest;
  if (context >= least) return context;
  return fail("model/context", "the model's context has no room for a text", {
    where: `model.${family}.context`,
    expected: `at least ${least}, for data.task: ${task}`,
    got: String(context),
    fix: "raise it to what your texts need, in tokens",
  });
}

/** Places that an adapter trains before every text. */
export const placesBefore = ({ adapter }: Pick<Recipe, "adapter">): number =>
  (adapter?.prompt ?? adapter?.prefix)?.tokens ?? 0;

/** Tokens of a text that a language model reads beside those places. Errors with `model/prompt`. */
export const roomOf = (context: number, recipe: Pick<Recipe, "adapter">): number =>
  roomBehind(placesBefore(recipe), context, `adapter.${recipe.adapter?.prompt ? "prompt" : "prefix"}.tokens`);

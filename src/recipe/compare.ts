// Comparing recipes: what of a recipe fixes the bytes of a run, and how two differ. A resumed run must agree in that part.
import { parseOptimizer } from "../optim/index.ts";
import type { Prepared } from "./prepare.ts";
import { type Recipe, recipeSchema } from "./schema.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/**
 * Settings that may differ on resume: they do not change what is learned, or are compared by what they mean instead: data by
 * its hash, the engine by its instruction set, `steps` by the learning rates of the past (`compareSchedules`). A plateau's rate and
 * early stopping follow from the evaluations, and where a rollback goes back to from the checkpoints: `fixedByUse`.
 */
export const freeOnResume: readonly string[] = [
  "name",
  "steps",
  "data.path",
  "data.heldOutPath",
  "data.source",
  "data.cache",
  "eval",
  "checkpoint",
  "stop",
  "samples",
  "watch.every",
  "watch.onWarning",
  "memory",
  "recompute",
  "engine.threads",
  "engine.name",
];

/** Settings that a fork may change too: they shape the steps to come, and neither the weights nor the order of the data. */
export const forkKeys = /^(optimizer|loss)\.|\.dropout(\.|$)/;

/** A recipe as plain JSON; data given in memory is left out, its hash stands in the run's record. */
export function recipeJson(recipe: Recipe): Json {
  const { rows: _, ...data } = recipe.data;
  return JSON.parse(JSON.stringify({ ...recipe, data })) as Json;
}

/** Lines such as `optimizer.adamw.lr: 0.001 → 0.002` for settings that fix a run's bytes, but for those that `free` names. */
export function compareRecipes(earlier: unknown, now: Json, free?: RegExp): string[] {
  const lines: string[] = [];
  const recipes = [withDefaults(earlier as Json), withDefaults(now)] as const;
  const [before, after] = [flatten(recipes[0]), flatten(recipes[1])];
  const fixed = fixedByUse(recipes);
  for (const key of new Set([...before.keys(), ...after.keys()])) {
    if (!fixed.includes(key) && freeOnResume.some((name) => key === name || key.startsWith(`${name}.`))) continue;
    if (free?.test(key)) continue;
    const [old, fresh] = [before.get(key), after.get(key)];
    if (old !== fresh) lines.push(`${key}: ${old ?? "(unset)"} → ${fresh ?? "(unset)"}`);
  }
  return lines;
}

/** Settings of evaluations on which a run's past depends: the same ones made again must lead to where it stands. */
function fixedByUse(recipes: readonly Json[]): string[] {
  const [before, now] = recipes.map((recipe) => (recipe as Partial<Recipe>).eval?.patience || Number.POSITIVE_INFINITY);
  const isFollowed = now! < Number.POSITIVE_INFINITY || /"plateau":/.test(JSON.stringify(recipes));
  // with less patience the run might have ended before
  const goesBack = /"(onNonFinite|onSpike)":"rollback"/.test(JSON.stringify(recipes));
  return [
    ...(isFollowed ? ["eval.every", "eval.batch"] : []),
    ...(now! < before! ? ["eval.patience"] : []),
    ...(goesBack ? ["checkpoint.every"] : []),
  ];
}

/** Each setting by its dotted key, as JSON text, defaults filled in: what recipes are compared by. */
export function recipeSettings(recipe: unknown): ReadonlyMap<string, string> {
  return flatten(withDefaults(recipe as Json));
}

/** With every default filled in: a setting that is younger than a run's record had its default then. */
function withDefaults(recipe: Json): Json {
  const { data } = recipeSchema.safeParse(recipe);
  return data === undefined ? recipe : recipeJson(data as Recipe); // a recipe that passes names a model
}

/** The first of the steps done at which another number of steps would have meant another learning rate, or nothing. */
export function compareSchedules(
  earlier: unknown,
  { recipe, learningRate, clockAt }: Prepared,
  done: number,
): string[] {
  const { steps } = earlier as Recipe;
  if (steps === recipe.steps) return [];
  const before = parseOptimizer(recipe.optimizer, { steps }).learningRate;
  for (let step = 0; step < done; step++) {
    const [old, now] = [before.at(clockAt(step)), learningRate(clockAt(step))];
    if (old !== now) return [`steps: ${steps} → ${recipe.steps}`, `learning rate at step ${step}: ${old} → ${now}`];
  }
  return [];
}

function flatten(value: Json, path = "", into = new Map<string, string>()): Map<string, string> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value)) flatten(inner, path === "" ? key : `${path}.${key}`, into);
  } else into.set(path, JSON.stringify(value));
  return into;
}

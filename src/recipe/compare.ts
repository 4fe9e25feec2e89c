// Comparing recipes: what of a recipe fixes the bytes of a run, and how two differ. A resumed run must agree in that part.
import type { Recipe } from "./schema.ts";

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

/** Settings that do not change what is learned: they may differ on resume. */
const free = new Set(["name", "eval", "checkpoint", "samples", "engine.threads", "engine.name"]);

/** A recipe as plain JSON; data given in memory is left out, its hash stands in the run's record. */
export function recipeJson(recipe: Recipe): Json {
  const { rows: _, ...data } = recipe.data;
  return JSON.parse(JSON.stringify({ ...recipe, data })) as Json;
}

/** Lines such as `optimizer.adamw.lr: 0.001 → 0.002` for settings that fix a run's bytes. `steps` may grow or shrink. */
export function compareRecipes(earlier: unknown, now: Json): string[] {
  const lines: string[] = [];
  const [before, after] = [flatten(earlier as Json), flatten(now)];
  for (const key of new Set([...before.keys(), ...after.keys()])) {
    if (key === "steps" || [...free].some((name) => key === name || key.startsWith(`${name}.`))) continue;
    const [old, fresh] = [before.get(key), after.get(key)];
    if (old !== fresh) lines.push(`${key}: ${old ?? "(unset)"} → ${fresh ?? "(unset)"}`);
  }
  return lines;
}

function flatten(value: Json, path = "", into = new Map<string, string>()): Map<string, string> {
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    for (const [key, inner] of Object.entries(value)) flatten(inner, path === "" ? key : `${path}.${key}`, into);
  } else into.set(path, JSON.stringify(value));
  return into;
}

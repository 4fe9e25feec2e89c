// Recipes trained over some seeds, each run in a folder of its own, so that they can be compared. What stands there already goes on.
import { basename, extname, join } from "node:path";
import { recipeHash, runTraining } from "../api/index.ts";
import { fail } from "../base/index.ts";
import { prepare, type Recipe, readRecipe } from "../recipe/index.ts";
import { readRun } from "../track/index.ts";

export interface TrainRecipesOptions {
  /** Where the runs' folders lie: `<recipe>-seed-<n>`. A run that is there goes on, or is taken as it is where it is done. */
  readonly folder: string;
  /** Runs of each recipe, from its own seed on. Default 1. */
  readonly seeds?: number;
  /** Changes of every recipe, as `--set` takes them. */
  readonly set?: readonly string[];
  /** Ends the run under way, saved, and begins no other. */
  readonly signal?: AbortSignal;
  readonly onNote?: (text: string) => void;
}

export interface TrainedRecipes {
  /** Folders of the runs, recipe by recipe. */
  readonly folders: readonly string[];
  readonly ending: "finished" | "interrupted";
}

/** Reads all recipes and their data before anything is trained. Errors with `config/*`, `data/*`, and as training does. */
export async function trainRecipes(
  paths: readonly string[],
  { folder, seeds = 1, set = [], signal, onNote }: TrainRecipesOptions,
): Promise<TrainedRecipes> {
  const names = namesOf(paths);
  const runs: { readonly runDir: string; readonly recipe: Recipe }[] = [];
  for (const [at, path] of paths.entries()) {
    const recipe = await readRecipe(path, { set });
    await (await prepare(recipe)).close?.();
    for (let seed = recipe.seed; seed < recipe.seed + seeds; seed++)
      runs.push({ runDir: join(folder, `${names[at]}-seed-${seed}`), recipe: { ...recipe, seed } });
  }
  for (const [at, { runDir, recipe }] of runs.entries()) {
    const earlier = (await readRun(runDir).catch(() => undefined))?.record;
    if (earlier?.status === "finished" && earlier.recipeHash === recipeHash(recipe)) continue;
    const resume = earlier !== undefined;
    onNote?.(`${runDir}: run ${at + 1} of ${runs.length}${resume ? ", which goes on" : ""}`);
    const told = { ...(signal === undefined ? {} : { signal }), ...(onNote === undefined ? {} : { onNote }) };
    const { ending } = await runTraining(recipe, { runDir, resume, ...told });
    if (ending !== "finished") return { folders: [], ending: "interrupted" };
  }
  return { folders: runs.map(({ runDir }) => runDir), ending: "finished" };
}

/** What the runs of each recipe are called. Errors with `config/runs` for two of one name, whose runs could not be told apart. */
function namesOf(paths: readonly string[]): string[] {
  const names = paths.map((path) => basename(path, extname(path)));
  const twice = names.findIndex((name, at) => names.indexOf(name) < at);
  if (twice < 0) return names;
  return fail("config/runs", "two recipes have the same name", {
    where: paths[twice]!,
    expected: "files of different names, after which their runs are called",
    got: `${names[twice]}, as ${paths[names.indexOf(names[twice]!)]}`,
    fix: "name one of them otherwise",
  });
}

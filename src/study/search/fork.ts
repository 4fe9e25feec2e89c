// A fork: a new run that begins with the whole state of another one, weights, optimizer and place in the data, under settings
// of its own for the steps to come. It is trained like any run that goes on: `resume`.
import { basename } from "node:path";
import { recipeHash } from "../../api/index.ts";
import { fail } from "../../base/index.ts";
import { loadCheckpoint, lockRun, saveCheckpoint } from "../../checkpoint/index.ts";
import { compareRecipes, forkKeys, type Recipe, recipeJson } from "../../recipe/index.ts";
import { createRun, makeFolders, readRun, updateRun } from "../../track/index.ts";

export interface Fork {
  /** The run, and its checkpoint that the new one begins with. */
  readonly run: string;
  readonly checkpoint: string;
  readonly recipe: Recipe;
}

/**
 * Makes the run in a new folder. What was made by half is no run: its record says `forked` only once the state is there.
 * Errors with `resume/fork` where the recipe differs in what the state depends on, `run/*`, `checkpoint/*`.
 */
export async function forkRun(folder: string, { run, checkpoint, recipe }: Fork): Promise<void> {
  const { record } = await readRun(run);
  const changes = compareRecipes(record.recipe, recipeJson(recipe), forkKeys);
  if (changes.length > 0)
    fail("resume/fork", `these settings are not the ones that ${basename(run)} was trained with`, {
      where: folder,
      expected: "changes of optimizer, loss and dropout alone",
      got: changes.join("\n"),
      fix: "undo these changes, or start from the weights alone: --init-from",
    });
  const { step, state, tensors, files, manifest } = await loadCheckpoint(checkpoint);
  await makeFolders(folder);
  const lock = await lockRun(folder);
  try {
    const own = { recipe: recipeJson(recipe), recipeHash: recipeHash(recipe) };
    const { dataHash, environment } = record;
    await createRun({ folder }, { ...own, dataHash, environment });
    await saveCheckpoint(folder, {
      step,
      state,
      tensors: [...tensors].map(([name, { dtype, shape, data }]) => ({ name, dtype, shape, data: () => data })),
      files: { ...Object.fromEntries(files), "recipe.json": JSON.stringify(own.recipe, null, 1) },
      provenance: { ...manifest.provenance, recipeHash: own.recipeHash },
    });
    await updateRun(folder, { status: "paused", step, starts: [], forked: { from: checkpoint, step } });
  } finally {
    await lock.release();
  }
}

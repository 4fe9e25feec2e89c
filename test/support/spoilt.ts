// Runs to begin from whose weights are not as they should be: trained for no step, changed, and saved again.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { loadLatest, type RecipeInput, train } from "athanor";
import { saveCheckpoint } from "../../src/checkpoint/index.ts";

/** Saves the initial state of a recipe with tensors changed in place, and gives the folder for `initFrom`. */
export async function spoiltRun(
  recipe: RecipeInput,
  folder: string,
  change: (tensors: ReadonlyMap<string, Float32Array>) => void,
): Promise<string> {
  await train({ ...recipe, steps: 0 }, { runDir: join(folder, "sound") }).outcome;
  const { checkpoint } = (await loadLatest(join(folder, "sound")))!;
  const { step, state, tensors, files, manifest } = checkpoint;
  change(new Map([...tensors].map(([name, { data }]) => [name, data as Float32Array])));
  const spoilt = join(folder, "spoilt");
  mkdirSync(spoilt);
  await saveCheckpoint(spoilt, {
    step,
    state,
    tensors: [...tensors].map(([name, { dtype, shape, data }]) => ({ name, dtype, shape, data: () => data })),
    files: Object.fromEntries(files),
    provenance: manifest.provenance,
  });
  return spoilt;
}

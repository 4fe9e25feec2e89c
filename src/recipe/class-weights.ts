// Weights of classes in a loss: as a recipe gives them, or by how often each class is there.
import { didYouMean, fail } from "../base/index.ts";
import type { Batch, Dataset } from "../data/index.ts";
import type { Recipe } from "./schema.ts";

/** Rows that are counted at once. */
const chunk = 1024;

/**
 * One weight per class, for the loss that a recipe names; `undefined` where it gives none. Balanced, a class that `rows` have n times weighs
 * rows / (classes · n), as scikit-learn's. Errors with `config/loss` where a class that has a weight is not in the data.
 */
export async function classWeights(
  { loss }: Pick<Recipe, "loss">,
  classes: readonly string[],
  rows: Dataset<Batch>,
): Promise<readonly number[] | undefined> {
  const [[name, settings] = []] = Object.entries(loss ?? {}).filter(([, given]) => given !== undefined);
  if (settings === undefined || !("weights" in settings) || settings.weights === undefined) return undefined;
  const { weights } = settings;
  if (weights === "balanced") {
    const counts = await countClasses(rows, classes.length);
    return counts.map((count) => rows.length / (classes.length * Math.max(1, count)));
  }
  const unknown = Object.keys(weights).find((given) => !classes.includes(given));
  if (unknown !== undefined) {
    const near = didYouMean(unknown, classes);
    fail("config/loss", "a weight is given to a class that the data do not have", {
      where: `loss.${name}.weights`,
      expected: classes.length > 12 ? `${classes.slice(0, 12).join(", ")}, …` : classes.join(", "),
      got: unknown,
      fix: near === undefined ? "name the classes as the data do" : `did you mean ${near}?`,
    });
  }
  return classes.map((one) => weights[one] ?? 1);
}

async function countClasses(rows: Dataset<Batch>, numClasses: number): Promise<number[]> {
  const counts = new Array<number>(numClasses).fill(0);
  for (let start = 0; start < rows.length; start += chunk) {
    const positions = Array.from({ length: Math.min(chunk, rows.length - start) }, (_, at) => start + at);
    const { targets } = await rows.collate(positions);
    for (const id of targets!.data as Int32Array) counts[id]!++;
  }
  return counts;
}

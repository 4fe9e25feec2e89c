// The pairs of texts that a model is scored on: those that its run held out, or those of a file, read as the run's own were.
import { AthanorError, fail } from "../base/index.ts";
import { readTextPairs, type TextPair } from "../data/index.ts";
import type { TaskRows } from "../eval/index.ts";
import { given, prepare, type Recipe, readingSettings } from "../recipe/index.ts";
import { type EvaluateOptions, recipeOfRun, requireData } from "./again.ts";
import { checkpointAt, textsOf } from "./run-path.ts";

/** What a run held out. Errors as `evaluateRun`, and with `model/task`. */
export async function heldOutPairs(folder: string, { set = [], onNote }: EvaluateOptions = {}): Promise<TaskRows> {
  const recipe = await recipeOfRun(folder, set);
  requireData(recipe, folder);
  const files = textsOf(await checkpointAt(folder));
  const { heldOutPairs: pairs, close } = await prepare(recipe, { files, ...(onNote === undefined ? {} : { onNote }) });
  await close?.();
  if (pairs !== undefined) return bySource(pairs);
  return fail("model/task", "this run held out no pairs of texts", {
    where: folder,
    expected: "a run of a model that makes texts from texts",
    got: `a run of model.${Object.keys(recipe.model)[0]}`,
    fix: "npx athanor eval without --task gives its held-out loss",
  });
}

/** Files that say themselves how they are read. */
const isNamed = /\.(csv|tsv|jsonl|ndjson|json)(\.gz)?$/;

/**
 * The pairs of a file (CSV, TSV, JSON lines; by its ending, else as the run's own were), in columns of the names that the run in `folder` read; of
 * a saved model, `source` and `target`. Errors as `readTextPairs`.
 */
export async function pairsOfFile(
  folder: string,
  path: string,
  { set = [] }: Pick<EvaluateOptions, "set"> = {},
): Promise<TaskRows> {
  const { text, target, invalid, ...data }: Partial<Recipe["data"]> = await recipeOfRun(folder, set).then(
    (recipe) => recipe.data,
    (error) => {
      if (!(error instanceof AthanorError) || error.code !== "run/missing") throw error;
      if (set.length === 0) return {};
      throw error.with({ fix: "leave out --set, and name the file's columns source and target" });
    },
  );
  const { format, ...reading } = given(data as Recipe["data"], readingSettings);
  const isAsked =
    format !== undefined && (!isNamed.test(path) || set.some((change) => change.startsWith("data.format=")));
  const columns = { source: text ?? "source", target: (target as string | undefined) ?? "target" };
  const options = { ...reading, ...columns, ...given({ invalid }, ["invalid"]), ...(isAsked ? { format } : {}) };
  const { pairs } = await readTextPairs({ path }, options).catch((error) => {
    if (!(error instanceof AthanorError) || error.code !== "data/unknown-column") throw error;
    const { source, target } = columns;
    throw error.with({
      fix: `--task reads columns named as the model's pairs were: call them ${source} and ${target}${
        data.path === undefined ? "" : ", or name others with --set data.text=COLUMN --set data.target=COLUMN"
      }`,
    });
  });
  return bySource(pairs);
}

/** Each source once, with all that is right for it. */
function bySource(pairs: readonly TextPair[]): TaskRows {
  const targets = new Map<string, string[]>();
  for (const { source, target } of pairs) targets.set(source, [...(targets.get(source) ?? []), target]);
  return { kind: "pairs", rows: [...targets].map(([source, target]) => ({ source, target })) };
}

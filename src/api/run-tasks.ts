// The rows that a model is scored on: those that its run held out, or those of a file, read as the run's own were.
import { AthanorError, fail, shellWord } from "../base/index.ts";
import { readTextNumbers, readTextPairs, type TextPair } from "../data/index.ts";
import type { TaskRows } from "../eval/index.ts";
import type { TaskName } from "../models/index.ts";
import { given, prepare, type Recipe, readingSettings } from "../recipe/index.ts";
import { type EvaluateOptions, recipeOfRun, requireData } from "./again.ts";
import { type LabelledTask, readLabelledTask } from "./labelled-task.ts";
import { checkpointAt, textsOf } from "./run-path.ts";

/** What a run held out: pairs of texts, texts with numbers, questions with choices. Errors as `evaluateRun`, and with `model/task`. */
export async function heldOutTask(
  folder: string,
  { set = [], onNote }: EvaluateOptions = {},
): Promise<TaskRows | LabelledTask> {
  const recipe = await recipeOfRun(folder, set);
  requireData(recipe, folder);
  const files = textsOf(await checkpointAt(folder));
  const { heldOutPairs, heldOutRows, close } = await prepare(recipe, {
    files,
    ...(onNote === undefined ? {} : { onNote }),
  });
  await close?.();
  if (heldOutPairs !== undefined) return bySource(heldOutPairs);
  if (heldOutRows !== undefined) return heldOutRows;
  return fail("model/task", "this run held out no rows that are scored one by one", {
    where: folder,
    expected: "a run on pairs of texts, texts with numbers, or questions with choices",
    got: `a run of model.${Object.keys(recipe.model)[0]}`,
    fix: `npx athanor eval ${shellWord(folder)}, which gives its held-out loss`,
  });
}

/** Models that are scored on columns of a text and what belongs to it, and the names that these have where none are given. */
const columnsOf = {
  "sequence-to-sequence": ["source", "target"],
  embedding: ["source", "target"],
  regression: ["text", "label"],
} as const;

/** Whether a model for `task` is scored on columns of a file, which settings of its data name. */
export const isOfColumns = (task: TaskName): task is keyof typeof columnsOf => task in columnsOf;

/** Files that say themselves how they are read. */
const isNamed = /\.(csv|tsv|jsonl|ndjson|json)(\.gz)?$/;

/**
 * The rows of a file as a model for `task` is scored on them: pairs, or texts with numbers, in columns of the names that the run in `folder` read (CSV,
 * TSV, JSON lines; by its ending, else as the run's own were), and what else such a model is trained on; undefined for models of other tasks. Errors:
 * those of reading them.
 */
export async function taskOfFile(
  folder: string,
  path: string,
  { task, set = [] }: { readonly task: TaskName } & Pick<EvaluateOptions, "set">,
): Promise<TaskRows | LabelledTask | undefined> {
  if (!isOfColumns(task)) return await readLabelledTask(path, task);
  const { text, target, invalid, ...data }: Partial<Recipe["data"]> = await recipeOfRun(folder, set).then(
    (recipe) => recipe.data,
    (error) => {
      if (!(error instanceof AthanorError) || error.code !== "run/missing") throw error;
      const [from, to] = columnsOf[task];
      if (set.length === 0) return {};
      throw error.with({ fix: `leave out --set, and name the file's columns ${from} and ${to}` });
    },
  );
  const { format, ...reading } = given(data as Recipe["data"], readingSettings);
  const isAsked =
    format !== undefined && (!isNamed.test(path) || set.some((change) => change.startsWith("data.format=")));
  const options = { ...reading, ...given({ invalid }, ["invalid"]), ...(isAsked ? { format } : {}) };
  const [from, to] = [text ?? columnsOf[task][0], (target as string | undefined) ?? columnsOf[task][1]];
  const read = async (): Promise<TaskRows | LabelledTask> =>
    task === "regression"
      ? { kind: "numbers", rows: await readTextNumbers({ path }, { ...options, text: from, label: to }) }
      : bySource((await readTextPairs({ path }, { ...options, source: from, target: to })).pairs);
  return await read().catch((error) => {
    if (!(error instanceof AthanorError) || error.code !== "data/unknown-column") throw error;
    throw error.with({
      fix: `--task reads columns named as those of the model's data were: call them ${from} and ${to}${
        data.path === undefined ? "" : ", or name others with --set data.text=COLUMN --set data.target=COLUMN"
      }`,
    });
  });
}

/** Each source once, with all that is right for it. */
function bySource(pairs: readonly TextPair[]): TaskRows {
  const targets = new Map<string, string[]>();
  for (const { source, target } of pairs) targets.set(source, [...(targets.get(source) ?? []), target]);
  return { kind: "pairs", rows: [...targets].map(([source, target]) => ({ source, target })) };
}

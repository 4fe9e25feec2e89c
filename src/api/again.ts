// What can be done with a run's record alone: evaluate its model again, or run it again and compare the bytes.
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fail, shellWord, toNumbers } from "../base/index.ts";
import type { EncodedRows } from "../data/index.ts";
import { parseRecipe, prepare, type Recipe, type RecipeInput } from "../recipe/index.ts";
import { readRun } from "../track/index.ts";
import { type EvaluationResult, evaluateAll, rowsOf, StepPrograms } from "../train/index.ts";
import { chooseEngine } from "./engine.ts";
import { writeParameters } from "./initial-state.ts";
import { checkpointAt, findRun, runStatus, textsOf } from "./run-path.ts";
import { runTraining } from "./training.ts";
import type { TrainOptions, TrainOutcome } from "./training-run.ts";
import type { WeightsChoice } from "./used-weights.ts";

/** The recipe of a run, with changes such as `data.path=other.txt`. */
export async function recipeOfRun(path: string, set: readonly string[] = []): Promise<Recipe> {
  const folder = await findRun(path);
  const { record } = await readRun(folder);
  return parseRecipe(record.recipe as RecipeInput, { set });
}

export interface RunEvaluation extends EvaluationResult {
  readonly step: number;
}

export interface EvaluateOptions {
  /** Changes of the recipe, such as `data.path=other.txt`. */
  readonly set?: readonly string[];
  /** Of a run whose optimizer keeps averages: those, as its own evaluations take (default), or the weights trained on. */
  readonly weights?: WeightsChoice;
  readonly onNote?: (text: string) => void;
}

/**
 * Evaluates the newest good checkpoint of a run on its recipe's held-out data, through its own tokenizer or table encoder.
 * Errors with `run/*`, `checkpoint/*`, `model/*`, `data/*`.
 */
export async function evaluateRun(folder: string, options: EvaluateOptions = {}): Promise<RunEvaluation> {
  const { set = [], weights = "averaged", onNote } = options;
  await refuseSavedModel(folder);
  const recipe = await recipeOfRun(folder, set);
  requireData(recipe, folder);
  const checkpoint = await checkpointAt(folder);
  const files = textsOf(checkpoint);
  const prepared = await prepare(recipe, { files, ...(onNote === undefined ? {} : { onNote }) });
  const { engine, note } = chooseEngine(recipe);
  if (note !== undefined) onNote?.(note);
  try {
    const programs = new StepPrograms(prepared.description, engine);
    writeParameters(programs, checkpoint, { averages: weights === "averaged" });
    await prepared.begin?.(programs, files);
    return { ...(await evaluateAll(programs, prepared.heldOut())), step: checkpoint.step };
  } finally {
    await prepared.close?.();
  }
}

/** A model without its run has no held-out data. Errors with `run/missing`. */
async function refuseSavedModel(path: string): Promise<void> {
  const folder = await findRun(path);
  const has = (name: string) => existsSync(join(folder, name));
  if (has("run.json") || !(has("model.json") || has("config.json") || has("adapter_config.json"))) return;
  fail("run/missing", "a saved model has no held-out data beside it", {
    where: path,
    expected: "the folder of a run; or a task that says what is asked",
    got: "a model alone",
    fix: `npx athanor eval ${shellWord(path)} --task FILE, with texts, questions or labelled rows as docs/evaluation.md has them`,
  });
}

/** Held-out rows of a run on a table, encoded as its model reads them. Errors as `evaluateRun`, and with `model/task`. */
export async function heldOutRows(
  folder: string,
  { set = [], onNote }: EvaluateOptions = {},
): Promise<Pick<EncodedRows, "features" | "targets">> {
  const recipe = await recipeOfRun(folder, set);
  requireData(recipe, folder);
  const files = textsOf(await checkpointAt(folder));
  if (!files.has("table.json"))
    fail("model/task", "this run read no table", {
      where: folder,
      expected: "a run on a table",
      got: `a run of model.${Object.keys(recipe.model)[0]}`,
      fix: "give the folder of another run",
    });
  const prepared = await prepare(recipe, { files, ...(onNote === undefined ? {} : { onNote }) });
  const features: Float32Array[] = [];
  const targets: number[] = [];
  for await (const batch of prepared.heldOut()) {
    const all = toNumbers(batch.targets!);
    const isRow = prepared.description.task.name === "classification" ? (id: number) => id >= 0 : Number.isFinite;
    const count = all.filter(isRow).length; // what follows is padding
    targets.push(...all.subarray(0, count));
    features.push(Float32Array.from(toNumbers(rowsOf(batch.features!, 0, count))));
  }
  const whole = new Float32Array(features.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const rows of features) {
    whole.set(rows, at);
    at += rows.length;
  }
  return { features: whole, targets: Float32Array.from(targets) };
}

/** Data given from code is in no record. Errors with `run/data`. */
export function requireData(recipe: Recipe, folder: string): void {
  if (recipe.data.path !== undefined) return;
  fail("run/data", "the run was trained on data in memory, which its record does not hold", {
    where: folder,
    expected: "data.path",
    got: "data.rows",
    fix: "give the same data as a file: data.path",
  });
}

export interface Reproduction {
  readonly expected: string;
  readonly outcome: TrainOutcome;
  readonly same: boolean;
}

/** Runs a finished run again from its record, into a new folder, and compares the final hashes. Errors with `reproduce/*`. */
export async function reproduceRun(path: string, options: TrainOptions = {}): Promise<Reproduction> {
  const folder = await findRun(path);
  const run = await readRun(folder);
  const { record } = run;
  if (record.result === undefined) {
    fail("reproduce/unfinished", "only a finished run can be reproduced", {
      where: folder,
      expected: "status finished",
      got: `status ${await runStatus(run)}`,
      fix: "finish it: npx athanor train … --run-dir … --resume",
    });
  }
  if (record.forked !== undefined) {
    fail("reproduce/forked", "a fork has no beginning of its own that it could be run from", {
      where: folder,
      expected: "a run from step 0",
      got: `a run from step ${record.forked.step} of ${record.forked.from}`,
      fix: "reproduce the run that it was forked from",
    });
  }
  if (record.origin !== undefined) {
    options.onNote?.(`the run began with the weights of ${record.origin}`);
  }
  const recorded = parseRecipe(record.recipe as RecipeInput);
  requireData(recorded, folder);
  const recipe = { ...recorded, stop: { ...recorded.stop, minutes: undefined } }; // this machine may be slower
  const outcome = await runTraining(recipe, {
    ...options,
    isa: record.environment.isa,
    expectedDataHash: record.dataHash,
    ...(record.result.reason === "time" ? { until: record.step } : {}),
    ...(record.origin === undefined ? {} : { initFrom: record.origin }),
  });
  return { expected: record.result.hash, outcome, same: outcome.hash === record.result.hash };
}

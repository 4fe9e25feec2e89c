// What can be done with a run's record alone: evaluate its model again, or run it again and compare the bytes.
import { fail } from "../base/index.ts";
import { loadCheckpoint, loadLatest } from "../checkpoint/index.ts";
import { parseRecipe, prepare, type Recipe, type RecipeInput } from "../recipe/index.ts";
import { readRun } from "../track/index.ts";
import { type EvaluationResult, evaluateAll, StepPrograms } from "../train/index.ts";
import { chooseEngine } from "./engine.ts";
import { findRun } from "./run-path.ts";
import { runTraining, type TrainOptions, type TrainOutcome } from "./training.ts";

/** The recipe of a run, with changes such as `data.path=other.txt`. */
export async function recipeOfRun(path: string, set: readonly string[] = []): Promise<Recipe> {
  const folder = await findRun(path);
  const { record } = await readRun(folder);
  return parseRecipe(record.recipe as RecipeInput, { set });
}

export interface RunEvaluation extends EvaluationResult {
  readonly step: number;
}

/** Evaluates the newest good checkpoint of a run on its recipe's held-out data. */
export async function evaluateRun(path: string, set: readonly string[] = []): Promise<RunEvaluation> {
  const folder = await findRun(path);
  const recipe = await recipeOfRun(folder, set);
  const latest = await loadLatest(folder);
  const checkpoint = latest?.checkpoint ?? (await loadCheckpoint(folder));
  const prepared = await prepare(recipe);
  const { engine } = chooseEngine(recipe);
  const programs = new StepPrograms(prepared.description, engine);
  for (const { name } of programs.graphs.parameterTypes) {
    const value = checkpoint.tensors.get(name);
    if (value === undefined) fail("model/tensor", `the checkpoint has no tensor ${name}`, { where: checkpoint.path });
    programs.store.write(name, value);
  }
  return { ...(await evaluateAll(programs, prepared.heldOut())), step: checkpoint.step };
}

export interface Reproduction {
  readonly expected: string;
  readonly outcome: TrainOutcome;
  readonly same: boolean;
}

/** Runs a finished run again from its record, into a new folder, and compares the final hashes. Errors with `reproduce/*`. */
export async function reproduceRun(path: string, options: TrainOptions = {}): Promise<Reproduction> {
  const folder = await findRun(path);
  const { record } = await readRun(folder);
  if (record.result === undefined) {
    fail("reproduce/unfinished", "only a finished run can be reproduced", {
      where: folder,
      got: `status ${record.status}`,
      fix: "finish it: athanor train … --run-dir … --resume",
    });
  }
  if (record.origin !== undefined) {
    options.onNote?.(`the run began with the weights of ${record.origin}`);
  }
  const recipe = parseRecipe(record.recipe as RecipeInput);
  const { isa } = record.environment;
  const chosen = isa === "avx512" || isa === "avx2" || isa === "portable" ? isa : "auto";
  const outcome = await runTraining(
    { ...recipe, engine: { ...recipe.engine, isa: chosen } },
    {
      ...options,
      expectedDataHash: record.dataHash,
      ...(record.origin === undefined ? {} : { initFrom: record.origin }),
    },
  );
  return { expected: record.result.hash, outcome, same: outcome.hash === record.result.hash };
}

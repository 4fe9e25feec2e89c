// A training run from beginning to end: recipe → what can be refused, folder, lock, log. What happens in them is training-run.ts; the loop itself
// is in train.
import { join } from "node:path";
import { fail } from "../base/index.ts";
import { lockRun, type RunLock } from "../checkpoint/index.ts";
import { prepare, type Recipe, recipeJson, requireFrom } from "../recipe/index.ts";
import { MetricsLog, metricsName, restartRun, updateRun } from "../track/index.ts";
import { forecast, requireMemory, StepGraphs, StepPrograms } from "../train/index.ts";
import { chooseEngine, refuseHours } from "./engine.ts";
import { restore, writeStart } from "./initial-state.ts";
import { tellCompiling } from "./plan.ts";
import { lossBefore, StageTimes } from "./report.ts";
import { type EarlierRun, earlierRun, newRun, recipeHash, requirePlace, requireSpace } from "./run-folder.ts";
import { requirePrompt } from "./samples.ts";
import { type Ready, TrainingRun, type TrainOptions, type TrainOutcome } from "./training-run.ts";

/** Runs a validated recipe to its end. Everything that can be refused is refused before a folder is made. */
export async function runTraining(recipe: Recipe, options: TrainOptions = {}): Promise<TrainOutcome> {
  if (!options.resume) {
    const { initFrom = recipe.from } = options;
    if (options.initFrom === undefined) requireFrom(recipe);
    const begun = initFrom === undefined ? options : { ...options, initFrom };
    await requirePlace(begun);
    const ready = await makeReady(recipe, begun);
    const { folder, lock } = await newRun(begun, ready.prepared, ready.programs.engine);
    return await runIn(folder, lock, ready, begun);
  }
  if (options.runDir === undefined)
    fail("config/resume", "resume needs the folder of a run", { where: "--resume", fix: "give --run-dir RUN" });
  if (options.initFrom !== undefined)
    fail("config/resume", "a run that goes on has its own weights", {
      where: "--init-from",
      fix: "leave out --resume or --init-from",
    });
  const earlier = await earlierRun(options.runDir, recipe);
  const lock = await lockRun(earlier.folder);
  try {
    const ready = await makeReady(recipe, options, earlier);
    // The record follows what may change on resume, so that it tells how to repeat the whole.
    await restartRun(earlier.folder, ready.start?.clock.step ?? 0);
    await updateRun(earlier.folder, { recipe: recipeJson(recipe), recipeHash: recipeHash(recipe) });
    return await runIn(earlier.folder, lock, ready, options);
  } finally {
    await lock.release();
  }
}

async function makeReady(recipe: Recipe, options: TrainOptions, earlier?: EarlierRun): Promise<Ready> {
  const { onNote = () => undefined } = options;
  const { engine, note } = chooseEngine(recipe, earlier?.record.environment.isa ?? options.isa);
  if (note !== undefined) onNote(note);
  const times = new StageTimes();
  const time = times.time.bind(times);
  const isFresh = earlier === undefined && options.initFrom === undefined;
  const prepared = await time("preprocess", () => prepare(recipe, { onNote, time, isFresh }));
  try {
    requirePrompt(prepared);
    const { graphs, plans, planned } = time("model", () => {
      const graphs = new StepGraphs(prepared.description);
      tellCompiling(graphs, onNote);
      const plans = graphs.compile(engine);
      return { graphs, plans, planned: forecast(graphs, plans, engine) };
    });
    requireMemory(planned);
    if (earlier === undefined) await requireSpace(options, planned.checkpointBytes);
    refuseHours(engine, planned.flopsPerStep * recipe.steps);
    const expected = earlier?.record.dataHash ?? options.expectedDataHash;
    if (expected !== undefined && expected !== prepared.dataHash) {
      fail("resume/data", "the data is not what this run was trained on", {
        where: recipe.data.path ?? "data",
        expected: `SHA-256 ${expected}`,
        got: prepared.dataHash,
        fix: "restore the data, or start a new run with --init-from",
      });
    }
    const programs = new StepPrograms(prepared.description, engine, { graphs, plans });
    const restored = earlier && (await restore(earlier, programs, prepared, onNote));
    const start = restored?.state;
    // A run that began with other weights and was cut off before its first checkpoint begins with them again.
    const origin = earlier === undefined ? options.initFrom : start === undefined ? earlier.record.origin : undefined;
    if (start === undefined) await time("init", () => writeStart(programs, prepared, origin, onNote));
    const begun = await time("preprocess", async () => prepared.begin?.(programs, restored?.files));
    const startLoss = await time("loss", () => lossBefore(prepared, programs));
    const files = { ...prepared.files, ...begun };
    return { prepared, files, programs, planned, start, isContinued: earlier !== undefined, startLoss, times };
  } catch (error) {
    await prepared.close?.();
    throw error;
  }
}

/** Trains in a folder that is made and locked; gives the lock back. */
async function runIn(folder: string, lock: RunLock, ready: Ready, options: TrainOptions): Promise<TrainOutcome> {
  try {
    const log = await MetricsLog.open(join(folder, metricsName), {
      ...(ready.isContinued ? { keepThrough: ready.start?.clock.step ?? 0 } : {}),
      guard: () => lock.check(),
      onProblem: (problem) => options.onNote?.(problem.message),
    });
    try {
      return await new TrainingRun(folder, lock, log, ready, options).train();
    } finally {
      await log.close();
    }
  } finally {
    await ready.prepared.close?.();
    await lock.release();
  }
}

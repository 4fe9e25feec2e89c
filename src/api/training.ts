// A training run from beginning to end: recipe → folder, lock, log, checkpoints, events, result. The loop itself is in train.
import { createHash } from "node:crypto";
import { totalmem } from "node:os";
import { basename, join, resolve } from "node:path";
import { AthanorError, byteSize, fail, type HostArray, sizeOf } from "../base/index.ts";
import {
  type Checkpoint,
  loadCheckpoint,
  loadLatest,
  lockRun,
  type RunLock,
  saveCheckpoint,
  stateHash,
  type TensorSource,
} from "../checkpoint/index.ts";
import { compareRecipes, type Prepared, prepare, type Recipe, recipeJson } from "../recipe/index.ts";
import {
  createRun,
  describeEnvironment,
  MetricsLog,
  metricsName,
  type RunEvent,
  readRun,
  updateRun,
} from "../track/index.ts";
import {
  type Callback,
  type Forecast,
  forecast,
  requireMemory,
  StepGraphs,
  StepPrograms,
  Trainer,
  type TrainerState,
} from "../train/index.ts";
import { chooseEngine, refuseHours } from "./engine.ts";
import { sampling } from "./samples.ts";
import { version } from "./version.ts";

export interface TrainOptions {
  /** The run's folder; by default a new one under `runsRoot`. */
  readonly runDir?: string;
  /** Default `runs`. */
  readonly runsRoot?: string;
  /** Go on from the newest good checkpoint of `runDir`. */
  readonly resume?: boolean;
  /** Refuse to start on other data than this SHA-256 names. */
  readonly expectedDataHash?: string;
  /** Start from the parameters of another run or checkpoint; optimizer, clock and data start anew. */
  readonly initFrom?: string;
  /** Saves and ends the run after the step under way. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: RunEvent) => void | Promise<void>;
  /** Remarks for people: which engine, what was skipped. */
  readonly onNote?: (text: string) => void;
}

export interface TrainOutcome {
  readonly folder: string;
  readonly ending: "finished" | "interrupted";
  readonly step: number;
  readonly loss: number;
  readonly evalLoss: number | undefined;
  /** SHA-256 of the final state. */
  readonly hash: string;
}

/** Runs a validated recipe to its end. Everything that can be refused is refused before a folder is made. */
export async function runTraining(recipe: Recipe, options: TrainOptions = {}): Promise<TrainOutcome> {
  const run = await TrainingRun.open(recipe, options);
  try {
    return await run.train();
  } finally {
    await run.close();
  }
}

class TrainingRun {
  readonly folder: string;
  private readonly options: TrainOptions;
  private readonly prepared: Prepared;
  private readonly programs: StepPrograms;
  private readonly planned: Forecast;
  private readonly lock: RunLock;
  private readonly log: MetricsLog;
  private readonly start: Checkpoint | undefined;

  private constructor(
    folder: string,
    options: TrainOptions,
    parts: {
      prepared: Prepared;
      programs: StepPrograms;
      planned: Forecast;
      lock: RunLock;
      log: MetricsLog;
      start: Checkpoint | undefined;
    },
  ) {
    this.folder = folder;
    this.options = options;
    this.prepared = parts.prepared;
    this.programs = parts.programs;
    this.planned = parts.planned;
    this.lock = parts.lock;
    this.log = parts.log;
    this.start = parts.start;
  }

  static async open(recipe: Recipe, options: TrainOptions): Promise<TrainingRun> {
    const { resume = false, onNote = () => undefined } = options;
    if (resume && options.runDir === undefined)
      fail("config/resume", "resume needs the folder of a run", { fix: "give --run-dir RUN" });
    const earlier = resume ? await earlierRun(options.runDir!, recipe) : undefined;
    const { engine, note } = chooseEngine(recipe, earlier?.isa);
    if (note !== undefined) onNote(note);
    const prepared = await prepare(recipe, { onNote });
    const { description } = prepared;
    const graphs = new StepGraphs(description);
    const planned = forecast(graphs, graphs.compile(engine), engine);
    requireMemory(planned, totalmem());
    refuseHours(engine, planned.flopsPerStep * recipe.steps);
    const expected = earlier?.dataHash ?? options.expectedDataHash;
    if (expected !== undefined && expected !== prepared.dataHash) {
      fail("resume/data", "the data is not what this run was trained on", {
        where: recipe.data.path ?? "data",
        expected: `SHA-256 ${expected}`,
        got: prepared.dataHash,
        fix: "restore the data, or start a new run with --init-from",
      });
    }
    const programs = new StepPrograms(description, engine);
    const initial = options.initFrom === undefined ? undefined : await loadParametersFrom(options.initFrom);

    const folder = earlier?.folder ?? (await newRun(recipe, options, prepared, engine));
    const lock = await lockRun(folder);
    try {
      const latest = earlier === undefined ? undefined : await loadLatest(folder);
      for (const { path, error } of latest?.skipped ?? [])
        onNote(`passed over a damaged checkpoint: ${path} (${error.what})`);
      const start = latest?.checkpoint;
      if (earlier !== undefined && start === undefined) onNote("no checkpoint yet: the run starts from its beginning");
      programs.initialize();
      const from = start?.tensors ?? initial;
      if (from !== undefined) writeTensors(programs, from, start === undefined);
      const log = await MetricsLog.open(join(folder, metricsName), {
        ...(earlier === undefined ? {} : { keepThrough: start?.step ?? 0 }),
        onProblem: (problem) => onNote(problem.message),
      });
      return new TrainingRun(folder, options, { prepared, programs, planned, lock, log, start });
    } catch (error) {
      await lock.release();
      throw error;
    }
  }

  async train(): Promise<TrainOutcome> {
    const { prepared, programs, options, planned } = this;
    const { recipe } = prepared;
    const trainer = new Trainer({
      programs,
      source: prepared.source,
      learningRate: prepared.learningRate,
      steps: recipe.steps,
      heldOut: prepared.heldOut,
      evaluateEvery: recipe.eval.every,
      checkpointEvery: recipe.checkpoint.every,
      onNonFinite: recipe.onNonFinite,
      callbacks: [this.reporter(), ...sampling(this.prepared, this.programs, (event) => this.emit(event))],
      ...(options.signal ? { signal: options.signal } : {}),
    });
    if (this.start !== undefined) trainer.restore(this.start.state as unknown as TrainerState);
    await this.emit({
      type: "start",
      step: trainer.clock.step,
      parameters: planned.numParameters,
      peakBytes: planned.memory.total,
      flopsPerStep: planned.flopsPerStep,
      engine: `${programs.engine.name} ${programs.engine.isa}, ${programs.engine.threads} threads`,
    });
    try {
      const ending = await trainer.run();
      const evalLoss = trainer.lastEvaluation?.loss;
      const hash = await stateHash(this.tensors());
      const { step } = trainer.clock;
      const result = { loss: trainer.lastLoss, ...(evalLoss === undefined ? {} : { evalLoss }), hash };
      if (ending === "finished") await this.emit({ type: "end", step, ...result });
      await updateRun(this.folder, {
        status: ending === "finished" ? "finished" : "interrupted",
        step,
        ...(ending === "finished" ? { result } : {}),
      });
      return {
        folder: this.folder,
        ending: ending === "finished" ? "finished" : "interrupted",
        step,
        loss: trainer.lastLoss,
        evalLoss,
        hash,
      };
    } catch (cause) {
      const error =
        cause instanceof AthanorError ? cause : new AthanorError("internal/training", String(cause), { cause });
      await this.emit({ type: "error", step: trainer.clock.step, code: error.code, message: error.message });
      await updateRun(this.folder, {
        status: "failed",
        step: trainer.clock.step,
        error: { code: error.code, message: error.message },
      }).catch(() => undefined);
      throw cause;
    }
  }

  async close(): Promise<void> {
    await this.log.close();
    await this.lock.release();
  }

  private async emit(event: RunEvent): Promise<void> {
    this.log.append(event);
    await this.options.onEvent?.(event);
  }

  /** Parameters and slots, each read when it is asked for, all through one buffer: a save takes no copy of the state. */
  private tensors(): TensorSource[] {
    const { store } = this.programs;
    const types = this.programs.stateNames().map((name) => store.typeOf(name));
    const buffer = new ArrayBuffer(Math.max(0, ...types.map(({ dtype, shape }) => sizeOf(shape) * byteSize(dtype))));
    return types.map((type) => ({ ...type, data: () => store.read(type.name, buffer).data }));
  }

  /** Turns the trainer's hooks into events, and saves. */
  private reporter(): Callback {
    const { recipe } = this.prepared;
    return {
      step: (report) =>
        this.emit({
          type: "step",
          step: report.clock.step,
          loss: report.loss,
          lr: report.learningRate,
          gradNorm: report.gradNorm,
          tokens: report.clock.tokens,
          tokensPerSecond: report.items / report.seconds,
        }),
      evaluation: (result, trainer) =>
        this.emit({
          type: "eval",
          step: trainer.clock.step,
          loss: result.loss,
          perplexity: result.perplexity,
          metrics: result.metrics,
        }),
      anomaly: (error, trainer) => {
        if (recipe.onNonFinite === "skip")
          return this.emit({ type: "error", step: trainer.clock.step, code: error.code, message: error.message });
        return undefined;
      },
      checkpoint: (trainer) => this.save(trainer),
    };
  }

  private async save(trainer: Trainer): Promise<void> {
    const { recipe, files } = this.prepared;
    const { engine } = this.programs;
    await this.log.flush();
    const { lastEvaluation } = trainer;
    try {
      const saved = await saveCheckpoint(
        this.folder,
        {
          step: trainer.clock.step,
          tensors: this.tensors(),
          state: trainer.state(),
          files: { ...files, "recipe.json": JSON.stringify(recipeJson(recipe), null, 1) },
          provenance: { codeVersion: version, isa: engine.isa, recipeHash: recipeHash(recipe) },
          metrics: lastEvaluation === undefined ? {} : { evalLoss: lastEvaluation.loss },
        },
        {
          keep: recipe.checkpoint.keep,
          lock: this.lock,
          ...(recipe.checkpoint.best > 0
            ? { best: { metric: "evalLoss", mode: "min", keep: recipe.checkpoint.best } as const }
            : {}),
        },
      );
      for (const problem of saved.problems) this.options.onNote?.(problem.message);
      await this.emit({ type: "checkpoint", step: saved.step, path: saved.path });
      await updateRun(this.folder, { step: saved.step }).catch(() => undefined);
    } catch (error) {
      // A disk that refuses loses no training: the run goes on, the older checkpoint stands, the next save tries again.
      if (!(error instanceof AthanorError) || error.code === "run/lock-lost") throw error;
      this.options.onNote?.(error.message);
      await this.emit({ type: "error", step: trainer.clock.step, code: error.code, message: error.message });
    }
  }
}

export function recipeHash(recipe: Recipe): string {
  return createHash("sha256")
    .update(JSON.stringify(recipeJson(recipe)))
    .digest("hex");
}

async function newRun(
  recipe: Recipe,
  options: TrainOptions,
  prepared: Prepared,
  engine: { isa: string; threads: number },
): Promise<string> {
  const place =
    options.runDir === undefined
      ? { root: options.runsRoot ?? "runs", label: recipe.name ?? prepared.label }
      : { folder: resolve(options.runDir) };
  const environment = await describeEnvironment({
    athanor: version,
    isa: engine.isa,
    threads: engine.threads,
    folder: process.cwd(),
  });
  const { folder } = await createRun(place, {
    recipe: recipeJson(recipe),
    recipeHash: recipeHash(recipe),
    dataHash: prepared.dataHash,
    environment,
    ...(options.initFrom === undefined ? {} : { origin: options.initFrom }),
  });
  return folder;
}

/** The run to go on with. Errors with `resume/recipe` and a diff when the recipe was changed in what the past depends on. */
async function earlierRun(folder: string, recipe: Recipe): Promise<{ folder: string; isa: string; dataHash: string }> {
  const { record } = await readRun(folder);
  const changes = compareRecipes(record.recipe, recipeJson(recipe));
  if (changes.length > 0) {
    fail("resume/recipe", `the recipe is not the one that ${basename(folder)} was started with`, {
      where: folder,
      got: changes.join("\n"),
      fix: "undo these changes, or start a new run from its weights: --init-from",
    });
  }
  return { folder, isa: record.environment.isa, dataHash: record.dataHash };
}

/** A run folder means its newest good checkpoint. */
async function loadParametersFrom(path: string): Promise<ReadonlyMap<string, HostArray>> {
  const latest = await loadLatest(path);
  return (latest?.checkpoint ?? (await loadCheckpoint(path))).tensors;
}

/** Writes saved tensors into the store: all of them on resume, the parameters alone when starting from another run. */
function writeTensors(programs: StepPrograms, tensors: ReadonlyMap<string, HostArray>, parametersOnly: boolean): void {
  const names = parametersOnly ? programs.graphs.parameterTypes.map(({ name }) => name) : programs.stateNames();
  for (const name of names) {
    const value = tensors.get(name);
    if (value === undefined) {
      fail("resume/tensor", `the checkpoint has no tensor ${name}`, {
        expected: `${names.length} tensors of this model`,
        got: `${tensors.size} tensors`,
        fix: "use the recipe that the checkpoint was trained with",
      });
    }
    programs.store.write(name, value);
  }
}

// One training run in its folder: the trainer's hooks become events, records, checkpoints and the result. What must be ready before is training.ts.
import { AthanorError, byteSize, fail, sizeOf } from "../base/index.ts";
import {
  findCheckpoints,
  loadCheckpoint,
  type RunLock,
  saveCheckpoint,
  stateHash,
  type TensorSource,
} from "../checkpoint/index.ts";
import { describeEngine } from "../engine/index.ts";
import { type Prepared, recipeJson } from "../recipe/index.ts";
import { type MetricsLog, type RunEvent, type RunRecord, updateRun } from "../track/index.ts";
import {
  type Callback,
  type Ending,
  type Forecast,
  type StepPrograms,
  type StopReason,
  Trainer,
  type TrainerState,
} from "../train/index.ts";
import { trainerState, writeState } from "./initial-state.ts";
import { type RunReport, reportOf, type StageTimes, writeReport } from "./report.ts";
import { type RunPlace, recipeHash } from "./run-folder.ts";
import { sampling } from "./samples.ts";
import { version } from "./version.ts";

export interface TrainOptions extends RunPlace {
  /** Go on from the newest good checkpoint of `runDir`. */
  readonly resume?: boolean;
  /** Refuse to start on other data than this SHA-256 names. */
  readonly expectedDataHash?: string;
  /** Instruction-set path that the bytes depend on, as a run's record names it: that one or none. */
  readonly isa?: string;
  /** Pauses the run after this step, evaluated and saved; schedules are laid out on all `steps` of the recipe. */
  readonly until?: number;
  /** Saves and ends the run after the step under way. */
  readonly signal?: AbortSignal;
  /** Awaited before the run goes on; an error in it ends the run. */
  readonly onEvent?: (event: RunEvent) => unknown;
  /** Remarks for people: which engine, what was skipped. */
  readonly onNote?: (text: string) => void;
}

export interface TrainOutcome {
  readonly folder: string;
  readonly ending: Ending;
  /** What ended it; `undefined` where it can go on. */
  readonly reason: StopReason | undefined;
  readonly step: number;
  readonly loss: number;
  readonly evalLoss: number | undefined;
  /** SHA-256 of the final state. */
  readonly hash: string;
  /** Share of the time of this run's steps that they waited for data, 0 to 1; NaN where no step was made. */
  readonly stall: number;
  /** Of a run that finished: what each step from data to deployment took, gave and cost. */
  readonly report?: RunReport;
}

/** All that a run needs, before its folder. */
export interface Ready {
  readonly prepared: Prepared;
  /** Small files that every checkpoint carries. */
  readonly files: Prepared["files"];
  readonly programs: StepPrograms;
  readonly planned: Forecast;
  /** What an earlier run is continued from. */
  readonly start: TrainerState | undefined;
  readonly isContinued: boolean;
  readonly startLoss: number | undefined;
  readonly times: StageTimes;
}

export class TrainingRun {
  private readonly folder: string;
  private readonly lock: RunLock;
  private readonly log: MetricsLog;
  private readonly ready: Ready;
  private readonly options: TrainOptions;
  /** Why the newest state is not on disk. */
  private unsaved: AthanorError | undefined;
  /** Seconds of all steps, and those of them that waited for data. */
  private readonly stepTime = { seconds: 0, waited: 0 };
  private firstLoss: number | undefined;

  constructor(folder: string, lock: RunLock, log: MetricsLog, ready: Ready, options: TrainOptions) {
    this.folder = folder;
    this.lock = lock;
    this.log = log;
    this.ready = ready;
    this.options = options;
  }

  async train(): Promise<TrainOutcome> {
    const trainer = this.trainer();
    try {
      await this.begin(trainer);
      const ending = await trainer.run();
      if (this.unsaved !== undefined) throw this.unsaved;
      return await this.conclude(ending, trainer);
    } catch (error) {
      await this.tellFailure(error, trainer.clock.step);
      throw error;
    }
  }

  private trainer(): Trainer {
    const { prepared, programs, start } = this.ready;
    const { recipe } = prepared;
    const { signal, until } = this.options;
    const trainer: Trainer = new Trainer({
      programs,
      source: prepared.source,
      learningRate: prepared.learningRate,
      batchSizes: prepared.batchSizes,
      steps: recipe.steps,
      heldOut: () => this.ready.times.each("evaluation", prepared.heldOut()),
      evaluateEvery: recipe.eval.every,
      patience: recipe.eval.patience,
      tolerance: recipe.stop.tolerance,
      maxSeconds: recipe.stop.minutes === undefined ? undefined : 60 * recipe.stop.minutes,
      restoreStep: (step) => this.restoreStep(step, trainer),
      checkpointEvery: recipe.checkpoint.every,
      ...prepared.watching,
      rollBack: async (step, { code, message }) => {
        const state = await this.goBack(step);
        await this.emit({ type: "rollback", step, from: trainer.clock.step, code, message });
        return state;
      },
      callbacks: [this.reporter(), ...sampling(prepared, programs, (event) => this.emit(event))],
      ...(signal === undefined ? {} : { signal }),
      ...(until === undefined ? {} : { until }),
    });
    if (start !== undefined) trainer.restore(start);
    return trainer;
  }

  /** Writes the state that was saved at a step into the store. */
  private async goBack(step: number): Promise<TrainerState> {
    const found = (await findCheckpoints(this.folder)).findLast((info) => info.step === step);
    if (found === undefined)
      fail("checkpoint/none-good", "the checkpoint to go back to is not there", {
        where: this.folder,
        expected: `a checkpoint of step ${step}`,
        got: "none",
        fix: "resume the run with eval.patience at 0, and without rollback",
      });
    const checkpoint = await loadCheckpoint(found.path);
    writeState(this.ready.programs, checkpoint);
    return trainerState(checkpoint.state, found.path);
  }

  /** Early stopping: what the run ends with is the state of its best evaluation. */
  private async restoreStep(step: number, { clock }: Trainer): Promise<void> {
    await this.goBack(step);
    this.options.onNote?.(
      `step ${clock.step}: the state of step ${step}, whose held-out loss was the lowest, is restored`,
    );
  }

  private async begin({ clock }: Trainer): Promise<void> {
    const { planned, programs, prepared, isContinued } = this.ready;
    await this.emit({
      type: "start",
      step: clock.step,
      parameters: planned.numParameters,
      ...(planned.numTrained < planned.numParameters ? { trained: planned.numTrained } : {}),
      peakBytes: planned.memory.total,
      flopsPerStep: planned.flopsPerStep,
      engine: describeEngine(programs.engine),
    });
    for (const { code, message } of isContinued ? [] : prepared.warnings)
      await this.emit({ type: "warning", step: clock.step, code, message });
  }

  private async conclude(ending: Ending, trainer: Trainer): Promise<TrainOutcome> {
    const { step } = trainer.clock;
    const { lastLoss: loss } = trainer;
    const evalLoss = trainer.lastEvaluation?.loss;
    const reason = ending === "finished" ? trainer.stopReason : undefined;
    const hash = await stateHash(this.tensors());
    const result = {
      loss,
      ...(evalLoss === undefined ? {} : { evalLoss }),
      hash,
      ...(reason === undefined ? {} : { reason }),
    };
    const stall = this.stepTime.waited / this.stepTime.seconds;
    if (ending === "finished") await this.emit({ type: "end", step, ...result, stall });
    await this.record({ status: ending, step, ...(ending === "finished" ? { result } : {}) });
    const report = ending === "finished" ? { report: await this.report(trainer, hash) } : {};
    return { folder: this.folder, ending, reason, step, loss, evalLoss, hash, stall, ...report };
  }

  /** Written for people: a disk that has no room for it ends no run. */
  private async report(trainer: Trainer, hash: string): Promise<RunReport> {
    const { ready, folder, firstLoss = Number.NaN } = this;
    const { clock, lastLoss, lastEvaluation: evaluation } = trainer;
    ready.times.add("iterate", this.stepTime.seconds);
    const steps = { from: ready.start?.clock.step ?? 0, to: clock.step };
    const { samples } = clock;
    const report = reportOf({ ...ready, folder, steps, samples, firstLoss, lastLoss, evaluation, hash });
    await writeReport(report).catch((error: Error) => this.options.onNote?.(`no report was written: ${error.message}`));
    return report;
  }

  /** Records why the run ends; the caller gets the error itself. What goes wrong here must not hide it. */
  private async tellFailure(fault: unknown, step: number): Promise<void> {
    const { code, message } =
      fault instanceof AthanorError
        ? fault
        : { code: "run/failed", message: fault instanceof Error ? fault.message : String(fault) };
    this.log.append({ type: "error", step, code, message });
    await this.record({ status: "failed", step, error: { code, message } }).catch(() => undefined);
  }

  /** Changes the run's record, while it is this run's: whoever took the folder over has it for its own. */
  private async record(change: Partial<RunRecord>): Promise<void> {
    await this.lock.check();
    await updateRun(this.folder, change);
  }

  private async emit(event: RunEvent): Promise<void> {
    this.log.append(event);
    await this.options.onEvent?.(event);
  }

  /** Parameters and slots, each read when it is asked for, all through one buffer: a save takes no copy of the state. */
  private tensors(): TensorSource[] {
    const { programs } = this.ready;
    const { store } = programs;
    const types = programs.stateNames().map((name) => store.typeOf(name));
    const buffer = new ArrayBuffer(Math.max(0, ...types.map(({ dtype, shape }) => sizeOf(shape) * byteSize(dtype))));
    return types.map((type) => ({ ...type, data: () => store.read(type.name, buffer).data }));
  }

  /** Turns the trainer's hooks into events, and saves. */
  private reporter(): Callback {
    const { batchSizes } = this.ready.prepared;
    const isVaried = batchSizes.sizes.length > 1;
    return {
      step: (report) => {
        this.stepTime.seconds += report.seconds;
        this.stepTime.waited += report.waited;
        this.firstLoss ??= report.loss;
        return this.emit({
          type: "step",
          step: report.clock.step,
          loss: report.loss,
          lr: report.learningRate,
          gradNorm: report.gradNorm,
          tokens: report.clock.tokens,
          ...(isVaried ? { rows: report.rows } : {}),
          tokensPerSecond: report.items / report.seconds,
        });
      },
      evaluation: (result, trainer) =>
        this.emit({
          type: "eval",
          step: trainer.clock.step,
          loss: result.loss,
          ...(result.perplexity === undefined ? {} : { perplexity: result.perplexity }),
          metrics: result.metrics,
        }),
      // when it stops the run, the failure is told once, at the end; a rollback has an event of its own
      anomaly: ({ code, message }, trainer, policy) =>
        policy === "skip" ? this.emit({ type: "error", step: trainer.clock.step, code, message }) : undefined,
      warning: ({ code, message }, trainer) => this.emit({ type: "warning", step: trainer.clock.step, code, message }),
      checkpoint: (trainer) => this.ready.times.time("deployment", () => this.save(trainer)),
    };
  }

  private async save(trainer: Trainer): Promise<void> {
    const { prepared, programs, files } = this.ready;
    const { recipe } = prepared;
    const { engine } = programs;
    const { clock, lastEvaluation } = trainer;
    await this.log.flush({ durable: true });
    const saved = await saveCheckpoint(
      this.folder,
      {
        step: clock.step,
        tensors: this.tensors(),
        state: trainer.state(),
        files: { ...files, "recipe.json": JSON.stringify(recipeJson(recipe), null, 1) },
        provenance: { codeVersion: version, isa: engine.isa, recipeHash: recipeHash(recipe) },
        // a figure of earlier weights would make these the best
        metrics: lastEvaluation?.step === clock.step ? { evalLoss: lastEvaluation.loss } : {},
      },
      {
        keep: recipe.checkpoint.keep,
        lock: this.lock,
        steps: [trainer.bestStep, trainer.rollbackStep],
        ...(recipe.checkpoint.best > 0
          ? { best: { metric: "evalLoss", mode: "min", keep: recipe.checkpoint.best } as const }
          : {}),
      },
    ).catch((error: unknown) => {
      // A disk that refuses loses no training: the run goes on, the older checkpoint stands, the next save tries again.
      if (!(error instanceof AthanorError) || error.code === "run/lock-lost") throw error;
      return error;
    });
    this.unsaved = saved instanceof AthanorError ? saved : undefined;
    if (saved instanceof AthanorError) {
      const { code, message } = saved;
      await this.emit({ type: "error", step: clock.step, code, message });
      return;
    }
    for (const problem of saved.problems) this.options.onNote?.(problem.message);
    await this.emit({ type: "checkpoint", step: saved.step, path: saved.path });
    await this.record({ step: saved.step }).catch(() => undefined);
  }
}

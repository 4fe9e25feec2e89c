// The Trainer: a loop. What is optional (evaluation output, checkpoints, samples, logs) is a callback with six hooks.
import { type AthanorError, type Clock, clockStart, fail, type HostArray } from "../base/index.ts";
import type { Feeds } from "../engine/index.ts";
import type { BatchSizes, BatchState, EvaluatedLoss } from "../optim/index.ts";
import { advance } from "./clock.ts";
import { diagnose } from "./diagnose.ts";
import { type EvaluationResult, evaluateAll } from "./evaluate.ts";
import type { StepPrograms, StepResult } from "./programs.ts";
import type { Watch, WatchState } from "./watch.ts";

/** A batch: its feeds, and under `rows` the global sample id of each row. */
export type Batch = { readonly [feed: string]: HostArray };

/** Where batches come from. Its state is plain JSON, and restoring it continues the very same sequence. */
export interface BatchSource {
  /** The next batch of so many rows, and the rows of those after it, as far as they are known. */
  next(rows: number, ahead?: readonly number[]): Promise<Batch>;
  /** Where the data decide the rows of each batch: those of the next one, and what the clock counts of each; `next` is told them then. */
  upcoming?(): { readonly rows: number; readonly itemsPerRow: number };
  state(): unknown;
  restore(state: unknown): void;
  /** Rows of one pass over the data. */
  readonly samplesPerEpoch: number;
}

export interface StepReport extends StepResult {
  readonly clock: Clock;
  readonly learningRate: number;
  /** Rows of the batch. */
  readonly rows: number;
  /** Items (tokens, rows) that the loss counted in this step. */
  readonly items: number;
  /** From asking for the batch to the end of the update. */
  readonly seconds: number;
  /** Those of them until the batch was there. */
  readonly waited: number;
}

/** Why a run ended: all its steps are done, it came to `until`, or the signal fired. */
export type Ending = "finished" | "paused" | "interrupted";

/** What ends a run: all its steps are done, a small gradient, evaluations that no longer improve, or the time it was given. */
export const stopReasons = ["steps", "tolerance", "patience", "time"] as const;
export type StopReason = (typeof stopReasons)[number];

/** Optional behaviour. Hooks are awaited in order; an error in one ends the run. */
export interface Callback {
  start?(trainer: Trainer): void | Promise<void>;
  step?(report: StepReport, trainer: Trainer): void | Promise<void>;
  evaluation?(result: EvaluationResult, trainer: Trainer): void | Promise<void>;
  /** A step was not applied because something was not finite, or leapt up; what is done about it. */
  anomaly?(error: AthanorError, trainer: Trainer, policy: AnomalyPolicy): void | Promise<void>;
  /** The watch found something wrong; the run goes on. */
  warning?(warning: AthanorError, trainer: Trainer): void | Promise<void>;
  /** The state should be saved now: periodically, and once at the end, whichever it is. */
  checkpoint?(trainer: Trainer): void | Promise<void>;
  end?(ending: Ending, trainer: Trainer): void | Promise<void>;
}

/** Stop with an error, leave the update out, or go back to the last checkpoint with a lower learning rate. */
export const anomalyPolicies = ["stop", "skip", "rollback"] as const;
export type AnomalyPolicy = (typeof anomalyPolicies)[number];

export interface TrainerOptions {
  readonly programs: StepPrograms;
  readonly source: BatchSource;
  /** Learning rate at a clock, after the evaluations that were due so far, of a batch of so many rows; never negative. */
  readonly learningRate: (clock: Clock, evaluations: readonly EvaluatedLoss[], rows: number) => number;
  /** Rows of each step; left out, the programs' one size. */
  readonly batchSizes?: BatchSizes | undefined;
  readonly steps: number;
  /** Ends the run after this step, evaluated and saved; `steps` stay what schedules are laid out on. Default: no such step. */
  readonly until?: number;
  /** Held-out batches, anew at each call. */
  readonly heldOut?: () => AsyncIterable<Feeds> | Iterable<Feeds>;
  /** Steps between evaluations; the last step is evaluated too. 0 for none. */
  readonly evaluateEvery?: number;
  /**
   * Early stopping: the run ends when so many evaluations by the interval brought no lower loss than the best before, and what it
   * ends with is the state of the best, as it does when its steps are done. Default 0: never. Needs `restoreStep`.
   */
  readonly patience?: number;
  /** The run ends after a step whose gradient has at most this norm. Default: never. */
  readonly tolerance?: number | undefined;
  /** The run ends after the step under way when it has worked so long, all its pieces together. Default: never. */
  readonly maxSeconds?: number | undefined;
  /** Writes the state that was saved at a step back into the store. */
  readonly restoreStep?: (step: number) => Promise<void>;
  /** Steps between checkpoints; 0 for the one at the end alone. */
  readonly checkpointEvery?: number;
  /** On a step that is not finite. Default: stop. */
  readonly onNonFinite?: AnomalyPolicy;
  readonly watch?: Watch;
  /** On a step above the watch's limits, for programs that are `limited`. Default: it is made and told as a warning. */
  readonly onSpike?: AnomalyPolicy | "tell";
  /** What the watch finds ends the run with it, instead of being told. Default false. */
  readonly stopOnWarning?: boolean;
  /** Writes the state that was saved at a step into the store, and gives what the trainer goes on from. */
  readonly rollBack?: (step: number, cause: AthanorError) => Promise<TrainerState>;
  /** The learning rate times it, from each rollback on. Default 0.5. */
  readonly rateFactor?: number;
  /** One more ends the run. Default 3. */
  readonly maxRollbacks?: number;
  /** So many left out in a row stop the run after all: then the fault is in the state, and no batch will do. Default 10. */
  readonly maxSkips?: number;
  readonly callbacks?: readonly Callback[];
  /** Ends the run after the step or the evaluation batch under way, with a checkpoint. */
  readonly signal?: AbortSignal;
}

/** An evaluation and the step it was made at. */
export interface Evaluation extends EvaluationResult {
  readonly step: number;
}

/** Steps whose update was left out: in all, and since the last that was made. */
export interface Skips {
  readonly total: number;
  readonly running: number;
}

/** What a checkpoint keeps beside tensors: everything that the rest of the run depends on. */
export interface TrainerState {
  readonly clock: Clock;
  readonly source: unknown;
  /** Of the last step; null before the first. */
  readonly lastLoss: number | null;
  readonly lastEvaluation: Evaluation | null;
  /** Not there while there were none. */
  readonly skips?: Skips;
  /** Of the evaluations that were due by their interval, which a learning rate may depend on. Not there while there were none. */
  readonly evaluations?: readonly EvaluatedLoss[];
  /** Norm of the last step's gradient, for a run that a small one ends. */
  readonly gradNorm?: number;
  /** What the run has worked so far, where that is limited. */
  readonly seconds?: number;
  /** What an adaptive batch size has come to. */
  readonly batch?: BatchState;
  /** Early stopping went back to the state of this step: the run is over, there is nothing to train on from. */
  readonly restored?: number;
  /** How often the run went back to a checkpoint. Not there while it did not. */
  readonly rollbacks?: number;
  readonly watch?: WatchState;
}

export class Trainer {
  readonly options: TrainerOptions;
  clock: Clock = clockStart;
  lastLoss = Number.NaN;
  lastEvaluation: Evaluation | undefined;
  private skips: Skips = { total: 0, running: 0 };
  private evaluations: readonly EvaluatedLoss[] = [];
  private batch: BatchState | undefined;
  private restored: number | undefined;
  private gradNorm = Number.POSITIVE_INFINITY;
  /** What the run had worked when it last made a step, and the time of `performance.now` that it is counted from. */
  private seconds = 0;
  private began = performance.now();
  private rollbacks = 0;
  /** The step whose state is on disk already. */
  private savedAt: number | undefined;

  constructor(options: TrainerOptions) {
    if (!(Number.isInteger(options.steps) && options.steps >= 0)) {
      fail("config/steps", "steps is not a whole number", {
        where: "steps",
        expected: "0 or more",
        got: String(options.steps),
      });
    }
    this.options = options;
  }

  get programs(): StepPrograms {
    return this.options.programs;
  }

  /** What ends the run now; `undefined` while it goes on. */
  get stopReason(): StopReason | undefined {
    const { steps, tolerance = -1, maxSeconds = Number.POSITIVE_INFINITY } = this.options;
    if (this.hasStalled()) return "patience";
    if (this.gradNorm <= tolerance) return "tolerance";
    if (this.clock.step >= steps) return "steps";
    return this.seconds >= maxSeconds ? "time" : undefined;
  }

  state(): TrainerState {
    const { tolerance, maxSeconds } = this.options;
    return {
      clock: this.clock,
      source: this.options.source.state(),
      lastLoss: Number.isFinite(this.lastLoss) ? this.lastLoss : null,
      lastEvaluation: this.lastEvaluation ?? null,
      ...(this.skips.total > 0 ? { skips: this.skips } : {}),
      ...(this.evaluations.length > 0 ? { evaluations: this.evaluations } : {}),
      ...(this.batch === undefined ? {} : { batch: this.batch }),
      ...(tolerance === undefined || this.gradNorm === Number.POSITIVE_INFINITY ? {} : { gradNorm: this.gradNorm }),
      ...(maxSeconds === undefined ? {} : { seconds: this.seconds }),
      ...(this.restored === undefined ? {} : { restored: this.restored }),
      ...(this.rollbacks > 0 ? { rollbacks: this.rollbacks } : {}),
      ...(this.options.watch === undefined ? {} : { watch: this.options.watch.state() }),
    };
  }

  /** Continues from a saved state; the tensors are written to the store by the caller. */
  restore(state: TrainerState): void {
    this.clock = state.clock;
    this.lastLoss = state.lastLoss ?? Number.NaN;
    this.lastEvaluation = state.lastEvaluation ?? undefined;
    this.skips = state.skips ?? this.skips;
    this.evaluations = state.evaluations ?? [];
    this.batch = state.batch;
    this.gradNorm = state.gradNorm ?? Number.POSITIVE_INFINITY;
    this.seconds = state.seconds ?? 0;
    this.restored = state.restored;
    this.rollbacks = state.rollbacks ?? 0;
    this.options.watch?.restore(state.watch);
    this.options.source.restore(state.source);
    this.savedAt = state.clock.step;
  }

  /**
   * Trains until there is a `stopReason`, `until` is there, the signal fires, or a step is not finite. An evaluation that the
   * signal cut off is made again when the run goes on.
   */
  async run(): Promise<Ending> {
    const { steps, until = steps, signal } = this.options;
    this.began = performance.now() - 1000 * this.seconds;
    await this.each((callback) => callback.start?.(this));
    for (;;) {
      if (this.evaluationIsDue()) await this.evaluate();
      const isDone = this.stopReason !== undefined;
      if (isDone) await this.restoreBest();
      const isOver = isDone || this.clock.step >= until || signal?.aborted === true;
      if (isOver || this.checkpointIsDue() || this.bestStep === this.clock.step) await this.save();
      if (isOver) break;
      await this.step();
    }
    const isDone = (this.stopReason !== undefined && !this.evaluationIsDue()) || this.hasStalled();
    const cut = signal?.aborted === true ? "interrupted" : "paused";
    const ending = isDone && this.betterBefore() === undefined ? "finished" : cut;
    await this.each((callback) => callback.end?.(ending, this));
    return ending;
  }

  /** Place of the lowest loss among the evaluations by the interval; the first of equal ones; −1 while there is none. */
  private get best(): number {
    const losses = this.evaluations.map(({ loss }) => loss ?? Number.POSITIVE_INFINITY);
    return losses.indexOf(Math.min(...losses));
  }

  /** The step of the best evaluation so far, whose state early stopping needs on disk; `undefined` without early stopping. */
  get bestStep(): number | undefined {
    const { patience = 0 } = this.options;
    return patience > 0 ? this.evaluations[this.best]?.step : undefined;
  }

  private hasStalled(): boolean {
    const { patience = 0 } = this.options;
    return patience > 0 && this.evaluations.length - 1 - this.best >= patience && this.evaluations.length > 0;
  }

  /** The step of the best evaluation, where early stopping must go back to it: what is there now is not as good. */
  private betterBefore(): number | undefined {
    const { bestStep } = this;
    const least = this.evaluations[this.best]?.loss ?? null;
    if (least === null || bestStep === this.clock.step) return undefined;
    const { step, loss } = this.lastEvaluation ?? {};
    return step === this.clock.step && loss! <= least ? undefined : bestStep;
  }

  /** Goes back to the state of the best evaluation and evaluates it again; the signal leaves that to when the run goes on. */
  private async restoreBest(): Promise<void> {
    const { restoreStep, signal } = this.options;
    const step = this.betterBefore();
    if (step === undefined || signal?.aborted === true) return;
    await restoreStep?.(step);
    this.restored = step;
    this.savedAt = undefined;
    await this.evaluate();
  }

  private evaluationIsDue(): boolean {
    const { evaluateEvery = 0, heldOut, until } = this.options;
    const { step } = this.clock;
    if (evaluateEvery === 0 || heldOut === undefined || step === 0 || this.lastEvaluation?.step === step) return false;
    return step % evaluateEvery === 0 || step === until || !["patience", undefined].includes(this.stopReason);
  }

  /**
   * The step of the last checkpoint by the interval, to which a rollback goes; `undefined` where none is asked for. A checkpoint that an
   * interruption left must not decide it.
   */
  get rollbackStep(): number | undefined {
    const { onNonFinite, onSpike, checkpointEvery = 0 } = this.options;
    if (onNonFinite !== "rollback" && onSpike !== "rollback") return undefined;
    return checkpointEvery === 0 ? 0 : this.clock.step - (this.clock.step % checkpointEvery);
  }

  private checkpointIsDue(): boolean {
    const { checkpointEvery = 0 } = this.options;
    const { step } = this.clock;
    if (step === 0) return this.rollbackStep === 0;
    return checkpointEvery > 0 && step % checkpointEvery === 0;
  }

  private async save(): Promise<void> {
    if (this.savedAt === this.clock.step) return;
    await this.each((callback) => callback.checkpoint?.(this));
    this.savedAt = this.clock.step;
  }

  private async step(): Promise<void> {
    const { programs, source, learningRate, watch, rateFactor = 0.5 } = this.options;
    const { task } = programs.graphs.description;
    const unit = task.units?.loss ?? 1;
    const started = performance.now();
    const { rows, itemsPerRow } = source.upcoming?.() ?? { ...task, rows: this.rowsAt(this.clock) };
    const after = advance(this.clock, rows, itemsPerRow, source.samplesPerEpoch);
    const { rows: ids, ...batch } = await source.next(rows, [after, this.clockAfter(after)].map(this.rowsAt));
    const waited = (performance.now() - started) / 1000;
    const lr = learningRate(this.clock, this.evaluations, rows) * rateFactor ** this.rollbacks;
    const { total: skipped } = this.skips;
    const { clock } = this;
    const { loss: limit = Number.POSITIVE_INFINITY, gradNorm = Number.POSITIVE_INFINITY } = watch?.limits() ?? {};
    const inputs = {
      step: clock.step,
      clock,
      skipped,
      learningRate: lr,
      batch,
      sampleIds: ids!.data as Int32Array,
      limits: { loss: limit / unit, gradNorm },
    };
    watch?.before(programs, clock.step + 1);
    const result = await programs.step(inputs);
    const loss = result.loss * unit;
    const seconds = (performance.now() - started) / 1000;
    const watched = { ...result, loss, learningRate: lr, step: this.clock.step + 1 };
    if (result.committed) this.skips = { total: skipped, running: 0 };
    else if (await this.refused(watch?.spike(watched) ?? (await diagnose(programs, inputs)))) return;
    this.clock = after;
    if (result.committed) this.measure(result, rows);
    if (result.committed) [this.lastLoss, this.gradNorm] = [loss, result.gradNorm];
    this.seconds = (performance.now() - this.began) / 1000;
    const report = { ...result, loss, clock: this.clock, learningRate: lr, rows, items: result.count, seconds, waited };
    await this.each((callback) => callback.step?.(report, this));
    if (result.committed) await this.warn(watch?.after(programs, watched));
  }

  private readonly rowsAt = (clock: Clock): number => {
    const { batchSizes, programs } = this.options;
    return batchSizes?.at(clock, this.batch) ?? programs.graphs.description.batchSize;
  };

  private clockAfter(clock: Clock): Clock {
    const { programs, source } = this.options;
    return advance(clock, this.rowsAt(clock), programs.graphs.description.task.itemsPerRow, source.samplesPerEpoch);
  }

  /** What the step that was just made tells an adaptive batch size. */
  private measure({ noise }: StepResult, rows: number): void {
    const { batchSizes, programs } = this.options;
    if (batchSizes?.measure === undefined || noise === undefined) return;
    const step = { norms: noise, rows, microbatch: programs.graphs.microbatch };
    this.batch = batchSizes.measure(this.batch, step, this.clock);
  }

  /** What is done about an update that was not made; true where the run is back at a checkpoint, and the step is no more. */
  private async refused(error: AthanorError): Promise<boolean> {
    const { onNonFinite = "stop", onSpike = "tell", maxSkips = 10 } = this.options;
    const isSpike = error.code.endsWith("-spike") && onSpike !== "tell";
    const policy = isSpike ? onSpike : onNonFinite;
    await this.each((callback) => callback.anomaly?.(error, this, policy));
    if (policy === "stop") throw error;
    if (policy === "rollback") {
      await this.rollBack(error);
      return true;
    }
    const { total, running } = this.skips;
    this.skips = { total: total + 1, running: running + 1 };
    if (running + 1 < maxSkips) return false;
    return fail(error.code, `${maxSkips} steps in a row were left out: no update is possible any more`, {
      where: isSpike ? "watch.onSpike: skip" : "onNonFinite: skip",
      expected: "a step that is finite",
      got: error.message,
      fix: "go on from a checkpoint before the first of them, after mending what they name",
      cause: error,
    });
  }

  /**
   * Back to the state of the last checkpoint by the interval, with a lower learning rate; the data go on behind the batch at which
   * it happened. A run that is cut off here comes by the same way again.
   */
  private async rollBack(error: AthanorError): Promise<void> {
    const { rollBack, source, watch, maxRollbacks = 3 } = this.options;
    const rollbacks = this.rollbacks + 1;
    if (rollbacks > maxRollbacks || rollBack === undefined)
      fail("train/rollbacks", `the run went back ${maxRollbacks} times, and a step fails again`, {
        where: `step ${this.clock.step + 1}`,
        expected: "steps that are finite and do not leap up, with the lowered learning rate",
        got: error.message,
        fix: "lower the learning rate, clip the gradients, or look at the data; watch.rollbacks allows more",
        cause: error,
      });
    const [passed, told] = [source.state(), watch?.state().told];
    this.restore(await rollBack(this.rollbackStep!, error));
    source.restore(passed);
    watch?.alsoTold(told!);
    this.rollbacks = rollbacks;
  }

  private async warn(warnings: readonly AthanorError[] = []): Promise<void> {
    for (const warning of warnings) {
      if (this.options.stopOnWarning) throw warning;
      await this.each((callback) => callback.warning?.(warning, this));
    }
  }

  /** Evaluates on the held-out data now. `undefined` without such data, or when the signal fired meanwhile. */
  async evaluate(): Promise<Evaluation | undefined> {
    const { heldOut, programs, signal } = this.options;
    const result = heldOut && (await evaluateAll(programs, heldOut(), signal));
    if (result === undefined) return undefined;
    const evaluation = { ...result, step: this.clock.step };
    this.lastEvaluation = evaluation;
    this.remember(evaluation);
    await this.each((callback) => callback.evaluation?.(evaluation, this));
    await this.warn(this.options.watch?.evaluated(evaluation.step, evaluation.loss));
    return evaluation;
  }

  /** Records what a longer run would have evaluated here too: neither the last step's alone, nor one asked for in between. */
  private remember({ step, loss }: Evaluation): void {
    const isDue = step > 0 && step % (this.options.evaluateEvery || Number.POSITIVE_INFINITY) === 0;
    if (!isDue || this.evaluations.at(-1)?.step === step) return;
    this.evaluations = [...this.evaluations, { step, loss: Number.isFinite(loss) ? loss : null }];
  }

  private async each(hook: (callback: Callback) => void | Promise<void>): Promise<void> {
    for (const callback of this.options.callbacks ?? []) await hook(callback);
  }
}

// The Trainer: a loop. What is optional (evaluation output, checkpoints, samples, logs) is a callback with six hooks.
import { type AthanorError, fail, type HostArray } from "../base/index.ts";
import type { Feeds } from "../engine/index.ts";
import { advance, type Clock, clockStart } from "./clock.ts";
import { diagnose } from "./diagnose.ts";
import { type EvaluationResult, evaluateAll } from "./evaluate.ts";
import type { StepPrograms, StepResult } from "./programs.ts";

/** A batch: its feeds, and under `rows` the global sample id of each row. */
export type Batch = { readonly [feed: string]: HostArray };

/** Where batches come from. Its state is plain JSON, and restoring it continues the very same sequence. */
export interface BatchSource {
  next(): Promise<Batch>;
  state(): unknown;
  restore(state: unknown): void;
  /** Rows of one batch. */
  readonly batchSize: number;
  /** Rows of one pass over the data. */
  readonly samplesPerEpoch: number;
}

export interface StepReport extends StepResult {
  readonly clock: Clock;
  readonly learningRate: number;
  /** Items (tokens, rows) of this step, and per second since the last report. */
  readonly items: number;
  readonly seconds: number;
}

/** Why a run ended. */
export type Ending = "finished" | "interrupted" | "stopped";

/** Optional behaviour. Hooks are awaited in order; an error in one ends the run. */
export interface Callback {
  start?(trainer: Trainer): void | Promise<void>;
  step?(report: StepReport, trainer: Trainer): void | Promise<void>;
  evaluation?(result: EvaluationResult, trainer: Trainer): void | Promise<void>;
  /** A step was not applied because something was not finite. */
  anomaly?(error: AthanorError, trainer: Trainer): void | Promise<void>;
  /** The state should be saved now: periodically, and before an early end. */
  checkpoint?(trainer: Trainer): void | Promise<void>;
  end?(ending: Ending, trainer: Trainer): void | Promise<void>;
}

export interface TrainerOptions {
  readonly programs: StepPrograms;
  readonly source: BatchSource;
  /** Learning rate at a clock; never negative. */
  readonly learningRate: (clock: Clock) => number;
  readonly steps: number;
  /** Held-out batches, anew at each call. */
  readonly heldOut?: () => AsyncIterable<Feeds> | Iterable<Feeds>;
  readonly evaluateEvery?: number;
  readonly checkpointEvery?: number;
  /** On a step that is not finite: stop with an error (default), or leave the update out and go on. */
  readonly onNonFinite?: "stop" | "skip";
  readonly callbacks?: readonly Callback[];
  /** Ends the run after the step under way, with a checkpoint. */
  readonly signal?: AbortSignal;
}

/** What a checkpoint keeps beside tensors: everything that the rest of the run depends on. */
export interface TrainerState {
  readonly clock: Clock;
  readonly source: unknown;
  /** Of the last step; null before the first. */
  readonly lastLoss: number | null;
  readonly lastEvaluation: EvaluationResult | null;
}

export class Trainer {
  readonly options: TrainerOptions;
  clock: Clock = clockStart;
  lastLoss = Number.NaN;
  lastEvaluation: EvaluationResult | undefined;

  constructor(options: TrainerOptions) {
    if (!(Number.isInteger(options.steps) && options.steps >= 0)) {
      fail("config/steps", "steps is not a whole number", { where: "steps", got: String(options.steps) });
    }
    this.options = options;
  }

  get programs(): StepPrograms {
    return this.options.programs;
  }

  state(): TrainerState {
    return {
      clock: this.clock,
      source: this.options.source.state(),
      lastLoss: Number.isFinite(this.lastLoss) ? this.lastLoss : null,
      lastEvaluation: this.lastEvaluation ?? null,
    };
  }

  /** Continues from a saved state; the tensors are written to the store by the caller. */
  restore(state: TrainerState): void {
    this.clock = state.clock;
    this.lastLoss = state.lastLoss ?? Number.NaN;
    this.lastEvaluation = state.lastEvaluation ?? undefined;
    this.options.source.restore(state.source);
  }

  /** Trains until `steps` updates are done, the signal fires, or a step is not finite. */
  async run(): Promise<Ending> {
    const { steps, signal, evaluateEvery = 0, checkpointEvery = 0 } = this.options;
    await this.each((callback) => callback.start?.(this));
    let savedAt = -1;
    const save = async () => {
      if (savedAt === this.clock.step) return;
      await this.each((callback) => callback.checkpoint?.(this));
      savedAt = this.clock.step;
    };
    while (this.clock.step < steps && !signal?.aborted) {
      await this.step();
      const { step } = this.clock;
      if (evaluateEvery > 0 && (step % evaluateEvery === 0 || step === steps)) await this.evaluate();
      if (checkpointEvery > 0 && step % checkpointEvery === 0) await save();
    }
    const ending = this.clock.step >= steps ? "finished" : "interrupted";
    if (checkpointEvery > 0) await save();
    await this.each((callback) => callback.end?.(ending, this));
    return ending;
  }

  private async step(): Promise<void> {
    const { programs, source, learningRate, onNonFinite = "stop" } = this.options;
    const { task, batchSize } = programs.graphs.description;
    const started = performance.now();
    const { rows, ...batch } = await source.next();
    const lr = learningRate(this.clock);
    const inputs = { step: this.clock.step, learningRate: lr, batch, sampleIds: rows!.data as Int32Array };
    const result = await programs.step(inputs);
    if (!result.committed) {
      const error = await diagnose(programs, inputs);
      await this.each((callback) => callback.anomaly?.(error, this));
      if (onNonFinite === "stop") throw error;
    }
    this.clock = advance(this.clock, batchSize, task.itemsPerRow, source.samplesPerEpoch);
    if (result.committed) this.lastLoss = result.loss;
    const seconds = (performance.now() - started) / 1000;
    const report = { ...result, clock: this.clock, learningRate: lr, items: result.count, seconds };
    await this.each((callback) => callback.step?.(report, this));
  }

  /** Evaluates on the held-out data now. */
  async evaluate(): Promise<EvaluationResult | undefined> {
    const { heldOut, programs } = this.options;
    if (heldOut === undefined) return undefined;
    const result = await evaluateAll(programs, heldOut());
    this.lastEvaluation = result;
    await this.each((callback) => callback.evaluation?.(result, this));
    return result;
  }

  private async each(hook: (callback: Callback) => void | Promise<void>): Promise<void> {
    for (const callback of this.options.callbacks ?? []) await hook(callback);
  }
}

// The watch: looks at a run's figures as they come and names what is wrong with them. It reads and never writes: a watched run
// has the bytes of one that is not. What it has seen is part of a checkpoint, so that a resumed run is told the same.
import { AthanorError } from "../base/index.ts";
import { lookAtParameters, type ParameterLook, type ParameterSample, sampleParameters } from "./parameter-look.ts";
import type { StepLimits, StepPrograms } from "./programs.ts";

export interface WatchOptions {
  /** Steps of the run. */
  readonly steps: number;
  /** Steps between looks at gradients and updates; the first are after steps 1, 2, 4, … too. 0 for none. */
  readonly every: number;
  /** Mean loss of the best answer that is the same for every row; left out, not known. */
  readonly baseline?: number | undefined;
  /** Whether training and evaluation measure the same loss. Default true. */
  readonly isSameLoss?: boolean | undefined;
}

export interface WatchedStep {
  /** Counted from 1. */
  readonly step: number;
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
  readonly committed: boolean;
}

export interface WatchState {
  /** Of the last steps, oldest first. */
  readonly losses: readonly number[];
  readonly gradNorms: readonly number[];
  /** Of the first steps: how many, their mean loss, the largest loss and gradient norm. */
  readonly start: { readonly count: number; readonly mean: number; readonly loss: number; readonly gradNorm: number };
  readonly highestRate: number;
  /** Lowest held-out loss; null while there is none. */
  readonly heldOut: number | null;
  /** Parameters that were 0 at the first look, whose updates are larger than they are; null before it. */
  readonly blank: readonly string[] | null;
  /** In how many looks in a row something was so. */
  readonly streaks: Readonly<Record<string, number>>;
  /** What was told, which is told once. */
  readonly told: readonly string[];
}

const window = 50;
const firstSteps = 10;
const looks = 3;
/** A few weights may well be near 0 by chance. */
const fewestElements = 64;

const beginning: WatchState = {
  losses: [],
  gradNorms: [],
  start: { count: 0, mean: 0, loss: 0, gradNorm: 0 },
  highestRate: 0,
  heldOut: null,
  blank: null,
  streaks: {},
  told: [],
};

export class Watch {
  private readonly options: WatchOptions;
  private seen = beginning;
  private sample: ParameterSample | undefined;

  constructor(options: WatchOptions) {
    this.options = options;
  }

  state(): WatchState {
    return this.seen;
  }

  restore(state: WatchState | undefined): void {
    this.seen = state ?? beginning;
  }

  /** What a run had told before it went back, it does not tell again. */
  alsoTold(told: readonly string[]): void {
    this.seen = { ...this.seen, told: [...new Set([...this.seen.told, ...told])] };
  }

  /**
   * What the next step's figures may be: a loss of twice the largest of the last 50 steps and no more than the first steps had, ten times
   * the largest gradient norm, and a hundred times that of the first steps. No limit before ten steps are done.
   */
  limits(): StepLimits {
    const { losses, gradNorms, start } = this.seen;
    if (start.count < firstSteps) return { loss: Number.POSITIVE_INFINITY, gradNorm: Number.POSITIVE_INFINITY };
    return {
      loss: Math.max(2 * Math.max(...losses), start.loss),
      gradNorm: Math.max(10 * Math.max(...gradNorms), 100 * start.gradNorm),
    };
  }

  /** The error of a step above its limits; `undefined` for one within them, or whose figures are not finite. */
  spike({ step, loss, gradNorm, committed }: Omit<WatchedStep, "learningRate">): AthanorError | undefined {
    if (!Number.isFinite(loss) || !Number.isFinite(gradNorm)) return undefined;
    const limits = this.limits();
    const slack = committed ? 1 : 1 - 1e-6; // the guard compared in f32
    const of = (code: string, what: string, limit: number, got: number) =>
      new AthanorError(code, `step ${step}: ${what}`, {
        where: `step ${step}`,
        expected: `at most ${figure(limit)}, by the last ${window} steps and the first ones`,
        got: figure(got),
        fix: "lower the learning rate, clip the gradients (optimizer clip), or look at this batch; watch.onSpike: skip or rollback goes on without it",
      });
    if (loss > slack * limits.loss) return of("train/loss-spike", "the loss leapt up", limits.loss, loss);
    if (gradNorm > slack * limits.gradNorm)
      return of("train/gradient-spike", "the gradient leapt up", limits.gradNorm, gradNorm);
    return undefined;
  }

  /** To be called before a step, counted from 1. */
  before(programs: StepPrograms, step: number): void {
    const { every } = this.options;
    const isEarly = step < every && Number.isInteger(Math.log2(step));
    this.sample = every > 0 && (isEarly || step % every === 0) ? sampleParameters(programs) : undefined;
  }

  /** To be called after a step that was made; what is wrong with it. */
  after(programs: StepPrograms, step: WatchedStep): AthanorError[] {
    const looked = this.sample && lookAtParameters(programs, this.sample);
    const spike = this.spike(step);
    this.remember(step);
    return [
      ...(spike === undefined ? [] : [spike]),
      ...this.once(this.progress(step)),
      ...this.once(looked === undefined ? [] : this.parameters(looked, step)),
    ];
  }

  private remember({ loss, gradNorm, learningRate }: WatchedStep): void {
    const { losses, gradNorms, start, highestRate } = this.seen;
    const count = start.count + 1;
    const first = {
      count,
      mean: start.mean + (loss - start.mean) / count,
      loss: Math.max(start.loss, loss),
      gradNorm: Math.max(start.gradNorm, gradNorm),
    };
    this.seen = {
      ...this.seen,
      losses: [...losses, loss].slice(-window),
      gradNorms: [...gradNorms, gradNorm].slice(-window),
      start: start.count < firstSteps ? first : start,
      highestRate: Math.max(highestRate, learningRate),
    };
  }

  private progress({ step }: WatchedStep): AthanorError[] {
    const { steps, baseline } = this.options;
    const { losses, start } = this.seen;
    const found: AthanorError[] = [];
    if (baseline === undefined) return found;
    if (step === 3 && losses.length === 3 && Math.min(...losses) > 5 * baseline)
      found.push(
        new AthanorError("train/bad-start", "the first losses are far above that of a constant answer", {
          where: "step 3",
          expected: `about ${figure(baseline)}, the loss of the best answer that is the same for every row`,
          got: `${figure(Math.min(...losses))} and more`,
          fix: "look at the initial weights (too large, or of another task) and at the scale of features and targets",
        }),
      );
    const last = mean(losses);
    const isStuck = last >= 0.99 * start.mean && last >= 0.9 * baseline;
    if ((step % 200 === 0 || step === steps) && step > window + firstSteps && isStuck)
      found.push(
        new AthanorError("train/no-progress", `after ${step} steps the loss has not fallen`, {
          where: `step ${step}`,
          expected: `less than ${figure(start.mean)}, the mean of the first steps`,
          got: `${figure(last)}, the mean of the last ${losses.length}`,
          fix: "find a learning rate (npx athanor tune lr); if none trains, look at the labels and the features",
        }),
      );
    return found;
  }

  private parameters(looked: readonly ParameterLook[], { step, loss, learningRate }: WatchedStep): AthanorError[] {
    const { highestRate, start } = this.seen;
    const blank = this.seen.blank ?? looked.filter(({ size }) => size === 0).map(({ name }) => name);
    const where = `step ${step}`;
    const streaks: Record<string, number> = {};
    const lasts = (key: string, isSo: boolean): boolean => {
      streaks[key] = isSo ? (this.seen.streaks[key] ?? 0) + 1 : 0;
      return streaks[key] >= looks;
    };
    // a loss of 0 has no gradient, and needs none
    const dead = looked.filter(({ name, dead: share }) => lasts(`dead ${name}`, share >= 0.9 && loss > 0));
    const [none, few] = [dead.filter((one) => one.dead === 1), dead.filter((one) => one.dead < 1)];
    const far = looked.filter(
      ({ name, isMatrix, elements, size, change }) =>
        isMatrix && elements >= fewestElements && change > size && !blank.includes(name),
    );
    const ratios = looked.filter(({ isMatrix, size }) => isMatrix && size > 0).map(({ size, change }) => change / size);
    const most = Math.max(0, ...ratios);
    // late in a decay, and where all is learnt, small updates are in order
    const isStill = most < 1e-6 && learningRate >= 0.1 * highestRate && loss >= 0.5 * start.mean;
    const still = lasts("still", isStill && none.length < looked.length);
    this.seen = { ...this.seen, streaks, blank };
    const found: AthanorError[] = [];
    const tell = (code: string, what: string, expected: string, got: string, fix: string) =>
      found.push(new AthanorError(code, what, { where, expected, got, fix }));
    const lookAgain = `in ${looks} looks in a row`;
    if (none.length > 0)
      tell(
        "train/zero-gradient",
        "parameters get no gradient: they learn nothing",
        "a gradient for every parameter",
        `exactly 0 ${lookAgain} for ${listed(none)}`,
        "start anew with a lower learning rate, other initial weights, or an activation that does not die (gelu, silu)",
      );
    if (few.length > 0)
      tell(
        "train/dead-units",
        "nearly all units of a layer are dead",
        "a gradient for most units",
        `none ${lookAgain} for ${few.map(({ name, dead: share }) => `${Math.floor(100 * share)} % of ${name}`).join(", ")}`,
        "start anew with a lower learning rate, other initial weights, or an activation that does not die (gelu, silu)",
      );
    if (far.length > 0)
      tell(
        "train/update-too-large",
        "one step moved weights further than they are long",
        "updates of about a thousandth of the weights",
        `${figure(Math.max(...far.map(({ size, change }) => change / size)))} times their size for ${listed(far)}`,
        "lower the learning rate: npx athanor tune lr",
      );
    if (still)
      tell(
        most === 0 ? "train/no-change" : "train/update-too-small",
        most === 0 ? "no weight changes" : "the weights hardly move",
        "updates of about a thousandth of the weights",
        `at most ${figure(most)} of their size ${lookAgain}, at a learning rate of ${figure(learningRate)}`,
        "raise the learning rate: npx athanor tune lr",
      );
    return found;
  }

  /** To be called after an evaluation; its loss in the same units as the steps'. */
  evaluated(step: number, loss: number): AthanorError[] {
    const { steps, baseline, isSameLoss = true } = this.options;
    const { losses, start } = this.seen;
    const where = `evaluation after step ${step}`;
    if (!Number.isFinite(loss))
      return this.once([
        new AthanorError("train/held-out-not-finite", "the held-out loss is not finite", {
          where,
          expected: "a finite loss",
          got: String(loss),
          fix: "look at the held-out rows (npx athanor eval), and lower the learning rate",
        }),
      ]);
    const best = Math.min(loss, this.seen.heldOut ?? loss);
    this.seen = { ...this.seen, heldOut: best };
    const least = Math.min(...losses);
    const found: AthanorError[] = [];
    if (isSameLoss && losses.length === window && loss < 0.5 * least && least > 0.1 * (baseline ?? start.mean))
      found.push(
        new AthanorError("train/held-out-too-easy", "the held-out loss is impossibly better than that of training", {
          where,
          expected: `about ${figure(mean(losses))}, the mean of the last ${window} steps, or more`,
          got: figure(loss),
          fix: "look at the held-out part: is it of the same kind as the rest (a file sorted by something?), does it hold the answers?",
        }),
      );
    if (step === steps && step >= 200 && baseline !== undefined && best >= 0.98 * baseline)
      found.push(
        new AthanorError("train/at-chance", "on held-out data the model is no better than a constant answer", {
          where,
          expected: `less than ${figure(baseline)}, the loss of the best answer that is the same for every row`,
          got: `${figure(best)} at best`,
          fix: "look whether labels and rows belong together (shuffled labels?), whether the features say anything, and at the learning rate",
        }),
      );
    return this.once(found);
  }

  /** Those of a code that was not told before. */
  private once(found: readonly AthanorError[]): AthanorError[] {
    const fresh = found.filter(({ code }) => !this.seen.told.includes(code));
    this.seen = { ...this.seen, told: [...this.seen.told, ...fresh.map(({ code }) => code)] };
    return fresh;
  }
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;
const figure = (value: number): string => String(Number(value.toPrecision(3)));

function listed(parameters: readonly ParameterLook[]): string {
  const names = parameters.map(({ name }) => name);
  return `${names.slice(0, 5).join(", ")}${names.length > 5 ? ` and ${names.length - 5} more` : ""}`;
}

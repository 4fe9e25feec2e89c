// The learning-rate range test (Smith 2017): one sweep of rising rates, and the edge above which a constant rate does not train.
// Each loss is held against the loss of the same batch at rate 0: batches differ by more than a small rate changes in a few steps.
// Prints nothing.
import { fail } from "../base/index.ts";

/** Training that can be begun anew: the same start and the same batches each time. */
export interface Trial {
  restart(): void;
  /** One update at this rate; its loss, NaN where it was not finite and nothing was written. */
  step(lr: number): Promise<number>;
}

export interface RangeTestOptions {
  /** Lowest and highest rate. Default 1e-6 and 10. */
  readonly from?: number;
  readonly to?: number;
  /** Steps of the sweep; default 100. */
  readonly steps?: number;
  /** Steps of each trial at a constant rate; default 50. */
  readonly trialSteps?: number;
}

export interface RangePoint {
  readonly lr: number;
  readonly loss: number;
  /** Running mean of the losses so far, the last ones weighing most, without what the batches differ by at rate 0. */
  readonly smoothed: number;
}

export interface RangeTest {
  /** The sweep, up to where it diverged. */
  readonly points: readonly RangePoint[];
  /** The largest constant rate that trained, and the least that did not, apart by less than a sixth; `undefined` where all did. */
  readonly stable: number;
  readonly unstable: number | undefined;
  /** Where the smoothed loss falls fastest per factor of the rate. */
  readonly steepest: number;
  /** The steepest rate, or half the stable one where that is less. */
  readonly suggestion: number;
}

const smoothing = 0.8;
const divergedAt = 4; // times the least smoothed loss
const precision = 1.15; // of the edge, as a factor

/** Sweeps the rates and then closes in on the edge by halves. Errors with `config/range`, `tune/untrainable`. */
export async function rangeTest(trial: Trial, options: RangeTestOptions = {}): Promise<RangeTest> {
  const { from, to, steps, trialSteps } = requireRange(options);
  const still = await lossesAt(trial, Array(Math.max(steps, trialSteps)).fill(0));
  const points = await sweep(
    trial,
    Array.from({ length: steps }, (_, at) => from * (to / from) ** (at / (steps - 1))),
    still,
  );
  const trains = (lr: number) => isStable(trial, lr, still.slice(0, trialSteps));
  if (still.length < Math.max(steps, trialSteps) || !(await trains(from)))
    fail("tune/untrainable", "the loss does not fall even at the lowest rate", {
      where: `learning rate ${from}`,
      expected: `within ${trialSteps} steps, a mean loss below that of the same batches untrained`,
      got: still.length === 0 ? "a loss that is not finite" : `losses from ${points[0]!.loss} on`,
      fix: "give a lower from or more trial steps; look at the data and the loss",
    });
  let [stable, unstable] = [from, to];
  if (await trains(to)) return result(points, to, undefined);
  while (unstable / stable > precision) {
    const middle = Math.sqrt(stable * unstable);
    if (await trains(middle)) stable = middle;
    else unstable = middle;
  }
  return result(points, stable, unstable);
}

/** The options with their defaults. Errors with `config/range`. */
export function requireRange(options: RangeTestOptions): Required<RangeTestOptions> {
  const { from = 1e-6, to = 10, steps = 100, trialSteps = 50 } = options;
  if (!(from > 0 && to > from && Number.isFinite(to) && steps >= 10 && trialSteps >= 4))
    fail("config/range", "these rates cannot be swept", {
      where: "from, to, steps, trialSteps",
      expected: "0 < from < to, 10 steps or more, trials of 4 steps or more",
      got: `from ${from}, to ${to}, ${steps} steps, trials of ${trialSteps}`,
      fix: "give a wider range or more steps",
    });
  return { from, to, steps, trialSteps };
}

function result(points: readonly RangePoint[], stable: number, unstable: number | undefined): RangeTest {
  const steepest = steepestOf(points) ?? stable;
  return {
    points,
    stable,
    unstable,
    steepest,
    suggestion: unstable === undefined ? steepest : Math.min(steepest, stable / 2),
  };
}

/** Losses of a training begun anew, one rate per step, up to the first that is not finite. */
async function lossesAt(trial: Trial, rates: readonly number[], goesOn = (_: number) => true): Promise<number[]> {
  trial.restart();
  const losses: number[] = [];
  for (const lr of rates) {
    const loss = await trial.step(lr);
    if (!Number.isFinite(loss)) break;
    losses.push(loss);
    if (!goesOn(loss)) break;
  }
  return losses;
}

async function sweep(trial: Trial, rates: readonly number[], still: readonly number[]): Promise<RangePoint[]> {
  const level = mean(still.slice(0, rates.length));
  const points: RangePoint[] = [];
  let [sum, weight, least] = [0, 0, Number.POSITIVE_INFINITY];
  await lossesAt(trial, rates, (loss) => {
    const at = points.length;
    [sum, weight] = [smoothing * sum + loss - still[at]!, smoothing * weight + 1];
    const smoothed = level + sum / weight;
    points.push({ lr: rates[at]!, loss, smoothed });
    least = Math.min(least, smoothed);
    return !(smoothed > divergedAt * least && smoothed > divergedAt * level);
  });
  return points;
}

/** True when all losses are finite and those of the last quarter are, on average, below those of the same batches untrained. */
async function isStable(trial: Trial, lr: number, still: readonly number[]): Promise<boolean> {
  const limit = 1e6 * Math.max(1, Math.abs(still[0] ?? 1));
  const losses = await lossesAt(trial, Array(still.length).fill(lr), (loss) => loss <= limit);
  const quarter = -Math.ceil(still.length / 4);
  return losses.length === still.length && mean(losses.slice(quarter)) < mean(still.slice(quarter));
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** The rate before the least smoothed loss at which it falls fastest over the logarithm of the rate, over five steps. */
function steepestOf(points: readonly RangePoint[]): number | undefined {
  const end = points.reduce((best, { smoothed }, at) => (smoothed < points[best]!.smoothed ? at : best), 0);
  let [found, slope]: [number | undefined, number] = [undefined, 0];
  for (let at = 2; at + 2 <= end; at++) {
    const fall = points[at + 2]!.smoothed - points[at - 2]!.smoothed;
    if (fall < slope) [found, slope] = [points[at]!.lr, fall];
  }
  return found;
}

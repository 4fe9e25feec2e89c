// The learning-rate range test (Smith 2017): one sweep of rising rates, and the edge above which a constant rate does not train.
// Trials are told apart by their losses alone. Prints nothing.
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
  /** Running mean of the losses so far, the last ones weighing most. */
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
  const { from = 1e-6, to = 10, steps = 100, trialSteps = 50 } = options;
  if (!(from > 0 && to > from && Number.isFinite(to) && steps >= 10 && trialSteps >= 4))
    fail("config/range", "these rates cannot be swept", {
      where: "from, to, steps, trialSteps",
      expected: "0 < from < to, 10 steps or more, trials of 4 steps or more",
      got: `from ${from}, to ${to}, ${steps} steps, trials of ${trialSteps}`,
      fix: "give a wider range or more steps",
    });
  const points = await sweep(
    trial,
    Array.from({ length: steps }, (_, at) => from * (to / from) ** (at / (steps - 1))),
  );
  const trains = (lr: number) => isStable(trial, lr, trialSteps);
  if (!(await trains(from)))
    fail("tune/untrainable", "the loss does not fall even at the lowest rate", {
      where: `learning rate ${from}`,
      expected: `a mean loss below that of the first step within ${trialSteps} steps`,
      got: points.length === 0 ? "a loss that is not finite" : `losses from ${points[0]!.loss} on`,
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

async function sweep(trial: Trial, rates: readonly number[]): Promise<RangePoint[]> {
  trial.restart();
  const points: RangePoint[] = [];
  let [sum, weight, least] = [0, 0, Number.POSITIVE_INFINITY];
  for (const lr of rates) {
    const loss = await trial.step(lr);
    if (!Number.isFinite(loss)) break;
    [sum, weight] = [smoothing * sum + loss, smoothing * weight + 1];
    const smoothed = sum / weight;
    points.push({ lr, loss, smoothed });
    least = Math.min(least, smoothed);
    if (smoothed > divergedAt * least && smoothed > divergedAt * points[0]!.loss) break;
  }
  return points;
}

/** True when the last quarter of the trial's losses is, on average, below its first loss, and all are finite. */
async function isStable(trial: Trial, lr: number, steps: number): Promise<boolean> {
  trial.restart();
  const losses: number[] = [];
  for (let step = 0; step < steps; step++) {
    const loss = await trial.step(lr);
    if (!Number.isFinite(loss) || loss > 1e6 * Math.max(1, Math.abs(losses[0] ?? loss))) return false;
    losses.push(loss);
  }
  const last = losses.slice(-Math.ceil(steps / 4));
  return last.reduce((sum, loss) => sum + loss, 0) / last.length < losses[0]!;
}

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

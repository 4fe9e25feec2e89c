// What all metrics share: the interface, pairing predictions with targets, and sums that lose no digits. No metric itself.
// Rows are added one by one in order, so a result has the same bits however the rows are cut into batches.
import { fail, formatType, type HostArray, sameShape, toNumbers } from "../base/index.ts";

/** A figure over all rows seen so far. */
export interface Metric {
  readonly name: string;
  /** Rows (elements, for regression) counted so far; ignored targets are not. */
  readonly count: number;
  /**
   * Adds a batch. `weights` are what each target counts, finite and not negative; left out, 1; a row of weight 0 is not there.
   * Errors with `shape/metric`, `metric/not-finite`, `metric/weights`, `data/label-range`.
   */
  update(prediction: HostArray, target: HostArray, weights?: HostArray): void;
  /** The figure. Errors with `metric/empty` before the first row, and `metric/undefined` where these rows have none. */
  value(): number;
}

/** A sum with the rounding errors carried along (Neumaier 1974): right to one rounding for any number of rows. */
export class Sum {
  private sum = 0;
  private lost = 0;

  add(value: number): void {
    const sum = this.sum + value;
    this.lost += Math.abs(this.sum) >= Math.abs(value) ? this.sum - sum + value : value - sum + this.sum;
    this.sum = sum;
  }

  total(): number {
    return Number.isFinite(this.sum) ? this.sum + this.lost : this.sum;
  }
}

/** A batch as `update` takes it. */
export type MetricBatch = readonly [prediction: HostArray, target: HostArray, weights?: HostArray | undefined];
type Add = (value: number, weight: number) => void;

/** A weighted mean over rows, and what is made of it. `visit` reads a batch and hands the value of each row to `add`. */
export function meanOfRows(
  name: string,
  visit: (batch: MetricBatch, add: Add) => void,
  finish = (mean: number) => mean,
): Metric {
  const [sum, divisor] = [new Sum(), new Sum()];
  const add: Add = (value, weight) => {
    sum.add(value * weight);
    divisor.add(weight);
    metric.count++;
  };
  const metric = {
    name,
    count: 0,
    update: (...batch: MetricBatch) => visit(batch, add),
    value: () => (metric.count === 0 ? failEmpty(name) : finish(sum.total() / divisor.total())),
  };
  return metric;
}

/** How targets are read. */
export interface TargetOptions {
  /** Rows with this target are left out. Default -1, as the cross-entropy of `core`. */
  readonly ignoreIndex?: number;
}

/** One row of class scores inside a batch: `scores[start]` to `scores[start + numClasses - 1]`. */
export interface ScoreRow {
  readonly scores: ArrayLike<number>;
  readonly start: number;
  readonly numClasses: number;
  readonly target: number;
  readonly weight: number;
}

/** Visits rows of scores (..., C) with targets (...). NaN and +Infinity are refused; -Infinity is an impossible class. */
export function eachScoreRow(
  metric: string,
  [prediction, target, weights]: MetricBatch,
  { ignoreIndex = -1 }: TargetOptions,
  visit: (row: ScoreRow) => void,
): void {
  const numClasses = prediction.shape.at(-1) ?? 0;
  if (prediction.shape.length === 0 || !sameShape(prediction.shape.slice(0, -1), target.shape)) {
    failShape(metric, "scores (..., classes) and targets (...)", prediction, target);
  }
  const [scores, targets] = [readNumbers(prediction), readNumbers(target)];
  const weightOf = readWeights(metric, weights, target);
  for (let row = 0; row < targets.length; row++) {
    const weight = weightOf(row);
    if (targets[row] === ignoreIndex || weight === 0) continue;
    const start = row * numClasses;
    for (let i = start; i < start + numClasses; i++) {
      if (!(scores[i]! < Number.POSITIVE_INFINITY)) failNotFinite(metric, "score", scores[i]!, row);
    }
    visit({ scores, start, numClasses, target: checkClass(metric, targets[row]!, numClasses, row), weight });
  }
}

/** Visits pairs of equal shapes: nothing is broadcast, since (n, 1) against (n) would become n x n. */
export function eachPair(
  metric: string,
  [prediction, target, weights]: MetricBatch,
  visit: (predicted: number, wanted: number, weight: number, row: number) => void,
): void {
  if (!sameShape(prediction.shape, target.shape)) failShape(metric, "equal shapes", prediction, target);
  const [predicted, wanted] = [readNumbers(prediction), readNumbers(target)];
  const weightOf = readWeights(metric, weights, target);
  for (let i = 0; i < wanted.length; i++) {
    const weight = weightOf(i);
    if (weight === 0) continue;
    if (!Number.isFinite(predicted[i]!)) failNotFinite(metric, "prediction", predicted[i]!, i);
    if (!Number.isFinite(wanted[i]!)) failNotFinite(metric, "target", wanted[i]!, i);
    visit(predicted[i]!, wanted[i]!, weight, i);
  }
}

/** The weight of each target. Errors with `metric/weights`. */
export function readWeights(
  metric: string,
  weights: HostArray | undefined,
  target: HostArray,
): (row: number) => number {
  if (weights === undefined) return () => 1;
  if (!sameShape(weights.shape, target.shape)) failShape(metric, "one weight per target", weights, target, "weights");
  const values = readNumbers(weights);
  return (row) => {
    const weight = values[row]!;
    if (weight >= 0 && weight < Number.POSITIVE_INFINITY) return weight;
    return fail("metric/weights", "a weight is no weight", {
      where: `${metric}, row ${row} of the batch`,
      expected: "a finite number, 0 or more",
      got: String(weight),
      fix: "give 0 to leave a row out",
    });
  };
}

/** Probabilities (…) of class 1, where the targets have their shape, as rows of both classes (…, 2). */
export function asDistributions([prediction, target, weights]: MetricBatch): MetricBatch {
  if (!sameShape(prediction.shape, target.shape)) return [prediction, target, weights];
  const values = readNumbers(prediction);
  const data = new Float64Array(2 * values.length);
  for (let i = 0; i < values.length; i++) data.set([1 - values[i]!, values[i]!], 2 * i);
  return [{ dtype: "f64", shape: [...prediction.shape, 2], data }, target, weights];
}

/** Errors with `metric/probabilities` unless a row is a distribution. */
export function checkDistribution({ scores, start, numClasses }: ScoreRow, metric: string): void {
  let [sum, lowest] = [0, 0];
  for (let c = 0; c < numClasses; c++) {
    sum += scores[start + c]!;
    lowest = Math.min(lowest, scores[start + c]!);
  }
  // an f32 softmax over 50,000 classes is off by 1e-4 at worst; logits given by mistake are off by far more
  if (lowest >= 0 && Math.abs(sum - 1) <= 1e-3) return;
  fail("metric/probabilities", "a row of scores is not a distribution", {
    where: `${metric}, row ${start / numClasses} of the batch`,
    expected: "probabilities that sum to 1",
    got: `a sum of ${sum}, lowest ${lowest}`,
    fix: 'give probabilities; where the metric takes logits, leave out from: "probabilities"',
  });
}

/** The class of the highest score; of equal ones the first. */
export function highestClass({ scores, start, numClasses }: ScoreRow): number {
  let best = 0;
  for (let c = 1; c < numClasses; c++) if (scores[start + c]! > scores[start + best]!) best = c;
  return best;
}

/** The elements as numbers, without a copy where JavaScript has an array of that dtype. */
export function readNumbers(array: HostArray): ArrayLike<number> {
  const { data, dtype } = array;
  return dtype === "bf16" || dtype === "f16" || data instanceof BigInt64Array ? toNumbers(array) : data;
}

/** `label` when it is a class id. Errors with `data/label-range`. */
export function checkClass(metric: string, label: number, numClasses: number, row: number): number {
  if (Number.isInteger(label) && label >= 0 && label < numClasses) return label;
  return fail("data/label-range", "a target is not among the classes", {
    where: `${metric}, row ${row} of the batch`,
    expected: `an integer from 0 to ${numClasses - 1}`,
    got: String(label),
    fix: "encode labels as class ids, or set ignoreIndex for rows without one",
  });
}

export function failEmpty(metric: string): never {
  fail("metric/empty", "too few rows were counted", {
    where: metric,
    fix: "evaluate on data that holds labelled rows",
  });
}

export function failNotFinite(metric: string, kind: string, value: number, row: number): never {
  fail("metric/not-finite", `a ${kind} is not finite`, {
    where: `${metric}, row ${row} of the batch`,
    got: String(value),
    fix: "look for the first step whose loss or gradients are not finite",
  });
}

/** These rows have no such figure, however many more like them come. */
export function failUndefined(metric: string, why: string, fix: string): never {
  fail("metric/undefined", `${metric} is not defined on these rows`, { where: metric, got: why, fix });
}

export function failShape(
  metric: string,
  expected: string,
  prediction: HostArray,
  target: HostArray,
  what = "predictions",
): never {
  const typeOf = ({ dtype, shape }: HostArray) => formatType(dtype, shape);
  fail("shape/metric", `${what} and targets do not go together`, {
    where: metric,
    expected,
    got: `${what} ${typeOf(prediction)}, targets ${typeOf(target)}`,
    fix: "reshape one of them; nothing is broadcast here",
  });
}

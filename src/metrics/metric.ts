// What all metrics share: the interface, pairing predictions with targets, and sums that lose no digits. No metric itself.
// Rows are added one by one in order, so a result has the same bits however the rows are cut into batches.
import { fail, formatType, type HostArray, sameShape, toNumbers } from "../base/index.ts";

/** A figure over all rows seen so far. */
export interface Metric {
  readonly name: string;
  /** Rows (elements, for regression) counted so far; ignored targets are not. */
  readonly count: number;
  /** Adds a batch. Errors with `shape/metric`, `metric/not-finite`, `data/label-range`. */
  update(prediction: HostArray, target: HostArray): void;
  /** The figure. Errors with `metric/empty` before the first row. */
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

type Visit = (prediction: HostArray, target: HostArray, add: (value: number) => void) => void;

/** A mean over rows, and what is made of it. `visit` reads a batch and hands the value of each row to `add`. */
export function meanOfRows(name: string, visit: Visit, finish = (mean: number) => mean): Metric {
  const sum = new Sum();
  const add = (value: number) => {
    sum.add(value);
    metric.count++;
  };
  const metric = {
    name,
    count: 0,
    update: (prediction: HostArray, target: HostArray) => visit(prediction, target, add),
    value: () => (metric.count === 0 ? failEmpty(name) : finish(sum.total() / metric.count)),
  };
  return metric;
}

/** How targets are read. */
export interface TargetOptions {
  /** Rows with this target are left out. Default -1, as the cross-entropy of `core`. */
  readonly ignoreIndex?: number;
}

/** One row of class scores inside a batch: `scores[start]` to `scores[start + numClasses - 1]`. */
export type ScoreRow = Readonly<{ scores: ArrayLike<number>; start: number; numClasses: number; target: number }>;

/** Visits rows of scores (..., C) with targets (...). NaN and +Infinity are refused; -Infinity is an impossible class. */
export function eachScoreRow(
  metric: string,
  prediction: HostArray,
  target: HostArray,
  { ignoreIndex = -1 }: TargetOptions,
  visit: (row: ScoreRow) => void,
): void {
  const numClasses = prediction.shape.at(-1) ?? 0;
  if (prediction.shape.length === 0 || !sameShape(prediction.shape.slice(0, -1), target.shape)) {
    failShape(metric, "scores (..., classes) and targets (...)", prediction, target);
  }
  const [scores, targets] = [readNumbers(prediction), readNumbers(target)];
  for (let row = 0; row < targets.length; row++) {
    if (targets[row] === ignoreIndex) continue;
    const start = row * numClasses;
    for (let i = start; i < start + numClasses; i++) {
      if (!(scores[i]! < Number.POSITIVE_INFINITY)) failNotFinite(metric, "score", scores[i]!, row);
    }
    visit({ scores, start, numClasses, target: checkClass(metric, targets[row]!, numClasses, row) });
  }
}

/** Visits pairs of equal shapes: nothing is broadcast, since (n, 1) against (n) would become n x n. */
export function eachPair(
  metric: string,
  prediction: HostArray,
  target: HostArray,
  visit: (predicted: number, wanted: number) => void,
): void {
  if (!sameShape(prediction.shape, target.shape)) failShape(metric, "equal shapes", prediction, target);
  const [predicted, wanted] = [readNumbers(prediction), readNumbers(target)];
  for (let i = 0; i < wanted.length; i++) {
    if (!Number.isFinite(predicted[i]!)) failNotFinite(metric, "prediction", predicted[i]!, i);
    if (!Number.isFinite(wanted[i]!)) failNotFinite(metric, "target", wanted[i]!, i);
    visit(predicted[i]!, wanted[i]!);
  }
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

export function failShape(metric: string, expected: string, prediction: HostArray, target: HostArray): never {
  const typeOf = ({ dtype, shape }: HostArray) => formatType(dtype, shape);
  fail("shape/metric", "predictions and targets do not go together", {
    where: metric,
    expected,
    got: `predictions ${typeOf(prediction)}, targets ${typeOf(target)}`,
    fix: "reshape one of them; nothing is broadcast here",
  });
}

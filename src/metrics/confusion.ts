// Counts of target class against predicted class. The figures made of them are in class-counts.ts.
import { fail, sameShape } from "../base/index.ts";
import {
  checkClass,
  eachScoreRow,
  failShape,
  highestClass,
  type MetricBatch,
  readNumbers,
  readWeights,
  type TargetOptions,
} from "./metric.ts";

/**
 * The confusion matrix: `counts[target * numClasses + predicted]`, each row by its weight.
 *
 * @example
 * ```ts
 * const confusion = new Confusion(2);
 * confusion.update(fromNumbers("i32", [3], [0, 1, 0]), fromNumbers("i32", [3], [0, 1, 1]));
 * confusion.counts; // [1, 0, 1, 1]: of class 1, one was predicted as 0 and one as 1
 * ```
 */
export class Confusion {
  readonly numClasses: number;
  readonly counts: Float64Array;
  /** Rows so far. */
  count = 0;
  private readonly options: TargetOptions;

  /** Errors with `config/metric` when `numClasses` is no positive integer. */
  constructor(numClasses: number, options: TargetOptions = {}) {
    if (!Number.isInteger(numClasses) || numClasses < 1)
      fail("config/metric", "a confusion matrix has classes", { expected: "at least 1", got: String(numClasses) });
    this.numClasses = numClasses;
    this.counts = new Float64Array(numClasses * numClasses);
    this.options = options;
  }

  /**
   * Adds a batch: predicted class ids (...), or scores (..., C) of which the first highest counts; targets (...).
   * Errors with `shape/metric`, `metric/not-finite`, `data/label-range`.
   */
  update(...batch: MetricBatch): void {
    const { numClasses, options } = this;
    const [prediction, target, weights] = batch;
    const add = (wanted: number, predicted: number, weight: number) => {
      this.counts[wanted * numClasses + predicted]! += weight;
      this.count++;
    };
    if (!sameShape(prediction.shape, target.shape)) {
      if (prediction.shape.at(-1) !== numClasses)
        failShape("confusion", `scores (..., ${numClasses}), or class ids of the targets' shape`, prediction, target);
      eachScoreRow("confusion", batch, options, (row) => add(row.target, highestClass(row), row.weight));
      return;
    }
    const [predicted, wanted] = [readNumbers(prediction), readNumbers(target)];
    const weightOf = readWeights("confusion", weights, target);
    for (let row = 0; row < wanted.length; row++) {
      if (wanted[row] === (options.ignoreIndex ?? -1) || weightOf(row) === 0) continue;
      const from = checkClass("confusion", wanted[row]!, numClasses, row);
      const to = checkClass("confusion, predicted class", predicted[row]!, numClasses, row);
      add(from, to, weightOf(row));
    }
  }
}

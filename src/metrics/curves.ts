// Figures of a ranking by score: ROC and precision-recall curves of one class against the rest, and the areas below them. Needs
// all scores at the end, 24 bytes a row.
import { sameShape } from "../base/index.ts";
import {
  checkClass,
  eachPair,
  eachScoreRow,
  failEmpty,
  failUndefined,
  type Metric,
  type MetricBatch,
} from "./metric.ts";

/** Points of a curve, from the strictest threshold to the mildest. */
export interface RocCurve {
  readonly falsePositiveRate: Float64Array;
  readonly truePositiveRate: Float64Array;
  /** A row is positive when its score is at least this; the first is infinite, so that none is. */
  readonly thresholds: Float64Array;
}

export interface PrecisionRecallCurve {
  readonly precision: Float64Array;
  readonly recall: Float64Array;
  readonly thresholds: Float64Array;
}

/**
 * Collects scores of class 1, higher for more likely, and targets 0 or 1, both (...). Equal scores are one threshold.
 *
 * @example
 * ```ts
 * const curves = new Curves();
 * curves.update(fromNumbers("f64", [4], [0.9, 0.8, 0.3, 0.1]), fromNumbers("i32", [4], [1, 0, 1, 0]));
 * curves.roc().truePositiveRate; // [0, 0.5, 0.5, 1, 1]
 * ```
 */
export class Curves {
  private readonly rows: { readonly score: number; readonly isPositive: boolean; readonly weight: number }[] = [];

  /** Rows so far. */
  get count(): number {
    return this.rows.length;
  }

  /** Errors with `shape/metric`, `metric/not-finite`, `metric/weights`, `data/label-range`. */
  update(...batch: MetricBatch): void {
    eachPair("curves", batch, (score, target, weight, row) =>
      this.add(score, checkClass("curves", target, 2, row) === 1, weight),
    );
  }

  add(score: number, isPositive: boolean, weight: number): void {
    this.rows.push({ score, isPositive, weight });
  }

  /** Weighted counts of rows at or above each different score. */
  private steps(): { thresholds: number[]; positives: number[]; negatives: number[] } {
    if (this.rows.length === 0) failEmpty("curves");
    const [thresholds, positives, negatives]: [number[], number[], number[]] = [[], [], []];
    let [positive, negative] = [0, 0];
    for (const { score, isPositive, weight } of this.rows.toSorted((a, b) => b.score - a.score)) {
      if (isPositive) positive += weight;
      else negative += weight;
      const at = thresholds.at(-1) === score ? thresholds.length - 1 : thresholds.length;
      [thresholds[at], positives[at], negatives[at]] = [score, positive, negative];
    }
    return { thresholds, positives, negatives };
  }

  /** True against false positive rates. Errors with `metric/undefined` unless both classes are there. */
  roc(): RocCurve {
    const { thresholds, positives, negatives } = this.steps();
    const [all, none] = [positives.at(-1)!, negatives.at(-1)!];
    if (all === 0 || none === 0) failOneClass("the ROC curve", all === 0 ? "positive" : "negative");
    return {
      falsePositiveRate: Float64Array.from([0, ...negatives.map((count) => count / none)]),
      truePositiveRate: Float64Array.from([0, ...positives.map((count) => count / all)]),
      thresholds: Float64Array.from([Number.POSITIVE_INFINITY, ...thresholds]),
    };
  }

  /** Precision against recall, without the point at recall 0. Errors with `metric/undefined` without a positive row. */
  precisionRecall(): PrecisionRecallCurve {
    const { thresholds, positives, negatives } = this.steps();
    const all = positives.at(-1)!;
    if (all === 0) failOneClass("the precision-recall curve", "positive");
    return {
      precision: Float64Array.from(positives, (count, at) => count / (count + negatives[at]!)),
      recall: Float64Array.from(positives, (count) => count / all),
      thresholds: Float64Array.from(thresholds),
    };
  }
}

function failOneClass(what: string, missing: string): never {
  failUndefined(what, `no ${missing} row`, "evaluate on data that holds both classes");
}

/** Area below the line through points, by trapezoids. */
function areaBelow(x: Float64Array, y: Float64Array, [x0, y0]: readonly [number, number]): number {
  return y.reduce((sum, height, at) => {
    const [left, before] = at === 0 ? [x0, y0] : [x[at - 1]!, y[at - 1]!];
    return sum + ((x[at]! - left) * (height + before)) / 2;
  }, 0);
}

const areas = {
  rocArea: (curves: Curves) => {
    const { falsePositiveRate, truePositiveRate } = curves.roc();
    return areaBelow(falsePositiveRate, truePositiveRate, [0, 0]);
  },
  precisionRecallArea: (curves: Curves) => {
    const { precision, recall } = curves.precisionRecall();
    return areaBelow(recall, precision, [0, 1]);
  },
  averagePrecision: (curves: Curves) => {
    const { precision, recall } = curves.precisionRecall();
    return precision.reduce((sum, p, at) => sum + (recall[at]! - (recall[at - 1] ?? 0)) * p, 0);
  },
};

/**
 * Area below the ROC curve: the chance that a positive row scores above a negative one (ties count half). Scores (...) of class 1, or
 * (..., C), for which it is the mean of each class against the rest. Errors with `metric/undefined` when a class is missing.
 * @see https://scikit-learn.org/stable/modules/generated/sklearn.metrics.roc_auc_score.html
 */
export function rocArea(): Metric {
  return areaOf("rocArea");
}

/** Area below the precision-recall curve by trapezoids, from recall 0 at precision 1; scores as `rocArea`. */
export function precisionRecallArea(): Metric {
  return areaOf("precisionRecallArea");
}

/** Σ (recall gained)·precision over thresholds, which interpolates nothing; scores as `rocArea`. */
export function averagePrecision(): Metric {
  return areaOf("averagePrecision");
}

function areaOf(name: keyof typeof areas): Metric {
  const curves: Curves[] = [];
  const metric = {
    name,
    count: 0,
    update(...batch: MetricBatch): void {
      if (sameShape(batch[0].shape, batch[1].shape)) {
        curves[0] ??= new Curves();
        curves[0].update(...batch);
        metric.count = curves[0].count;
        return;
      }
      eachScoreRow(name, batch, {}, ({ scores, start, numClasses, target, weight }) => {
        metric.count++;
        for (let c = 0; c < numClasses; c++) {
          curves[c] ??= new Curves();
          curves[c]!.add(scores[start + c]!, c === target, weight);
        }
      });
    },
    value(): number {
      if (metric.count === 0) failEmpty(name);
      return curves.reduce((sum, one) => sum + areas[name](one), 0) / curves.length;
    },
  };
  return metric;
}

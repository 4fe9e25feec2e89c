// How far probabilities can be believed: the Brier score and the calibration error.
import { fail } from "../base/index.ts";
import {
  asDistributions,
  checkDistribution,
  eachScoreRow,
  failEmpty,
  highestClass,
  type Metric,
  type MetricBatch,
  meanOfRows,
  Sum,
  type TargetOptions,
} from "./metric.ts";

/**
 * Mean squared error of probabilities: (p − y)² of class 1 for two classes, given as (...) or (..., 2); Σ over classes for more (Brier 1950).
 * @see https://scikit-learn.org/stable/modules/generated/sklearn.metrics.brier_score_loss.html
 */
export function brierScore(options: TargetOptions = {}): Metric {
  return meanOfRows("brierScore", (batch, add) =>
    eachScoreRow("brierScore", asDistributions(batch), options, (row) => {
      checkDistribution(row, "brierScore");
      const { scores, start, numClasses, target, weight } = row;
      let cost = 0;
      for (let c = 0; c < numClasses; c++) cost += (scores[start + c]! - Number(c === target)) ** 2;
      add(numClasses === 2 ? cost / 2 : cost, weight);
    }),
  );
}

export interface CalibrationOptions extends TargetOptions {
  /** Equal parts of (0, 1] by confidence; default 15, as the paper. */
  readonly bins?: number;
  /** The worst bin's gap instead of the mean (MCE). Default false. */
  readonly worst?: boolean;
}

/**
 * Expected calibration error: the mean over bins, by their weight, of |share that is right − mean confidence|, confidence being the highest
 * probability (Guo et al. 2017). Probabilities (..., C), or (...) of class 1. Errors with `config/metric`.
 */
export function calibrationError(options: CalibrationOptions = {}): Metric {
  const { bins = 15, worst = false } = options;
  if (!Number.isInteger(bins) || bins < 1)
    fail("config/metric", "confidence is cut into bins", {
      where: "calibrationError",
      expected: "at least 1",
      got: String(bins),
      fix: "leave bins out for 15",
    });
  const sums = Array.from({ length: bins }, () => ({ weight: new Sum(), gap: new Sum() }));
  const metric = {
    name: "calibrationError",
    count: 0,
    update(...batch: MetricBatch): void {
      eachScoreRow(metric.name, asDistributions(batch), options, (row) => {
        checkDistribution(row, metric.name);
        const best = highestClass(row);
        const confidence = row.scores[row.start + best]!;
        const { weight, gap } = sums[Math.min(Math.max(Math.ceil(confidence * bins) - 1, 0), bins - 1)]!;
        weight.add(row.weight);
        gap.add(row.weight * (Number(best === row.target) - confidence));
        metric.count++;
      });
    },
    value(): number {
      if (metric.count === 0) failEmpty(metric.name);
      const filled = sums.filter(({ weight }) => weight.total() > 0);
      if (worst) return Math.max(...filled.map(({ weight, gap }) => Math.abs(gap.total()) / weight.total()));
      const [gaps, weights] = [new Sum(), new Sum()];
      for (const { weight, gap } of filled) {
        gaps.add(Math.abs(gap.total()));
        weights.add(weight.total());
      }
      return gaps.total() / weights.total();
    },
  };
  return metric;
}

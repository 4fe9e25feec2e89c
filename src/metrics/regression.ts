// Errors of regression: mean absolute, mean squared and its root, and R². Elements count alike, whatever the shape.
import { eachPair, failEmpty, failShape, type Metric, type MetricBatch, meanOfRows, Sum } from "./metric.ts";

/** Mean of |prediction - target|. */
export function meanAbsoluteError(): Metric {
  return meanOfPairs("meanAbsoluteError", Math.abs);
}

/**
 * Mean of (prediction - target)².
 *
 * @example
 * ```ts
 * const metric = meanSquaredError();
 * metric.update(fromNumbers("f64", [4], [1, 2, 3, 4]), fromNumbers("f64", [4], [2, 4, 6, 8]));
 * metric.value(); // 7.5
 * ```
 */
export function meanSquaredError(): Metric {
  return meanOfPairs("meanSquaredError", (error) => error ** 2);
}

/** Square root of the mean squared error, in the target's own unit. */
export function rootMeanSquaredError(): Metric {
  return meanOfPairs("rootMeanSquaredError", (error) => error ** 2, Math.sqrt);
}

function meanOfPairs(name: string, cost: (error: number) => number, finish?: (mean: number) => number): Metric {
  return meanOfRows(name, (batch, add) => eachPair(name, batch, (p, y, weight) => add(cost(p - y), weight)), finish);
}

/**
 * The coefficient of determination, 1 - Σ(y - ŷ)² / Σ(y - ȳ)², each term by its weight: 1 is perfect, 0 is as good as the mean of the targets.
 * Targets that are all equal give 1 when every prediction is right and 0 otherwise, as scikit-learn.
 * One column only: (n) or (n, 1). Errors with `metric/empty` for fewer than two rows.
 * @see https://scikit-learn.org/stable/modules/generated/sklearn.metrics.r2_score.html
 */
export function rSquared(): Metric {
  const [residual, spread] = [new Sum(), new Sum()];
  let [shift, mean, weights] = [0, 0, 0];
  const metric = {
    name: "rSquared",
    count: 0,
    update(...batch: MetricBatch): void {
      const [prediction, target] = batch;
      if (target.shape.slice(1).some((dim) => dim !== 1))
        failShape(metric.name, "one column: (n) or (n, 1)", prediction, target);
      eachPair(metric.name, batch, (p, y, weight) => {
        residual.add(weight * (p - y) ** 2);
        // Welford 1962 with weights (West 1979), on differences from the first target: targets far from zero keep their digits
        if (metric.count++ === 0) shift = y;
        weights += weight;
        const before = y - shift - mean;
        mean += (before * weight) / weights;
        spread.add(weight * before * (y - shift - mean));
      });
    },
    value(): number {
      if (metric.count < 2) failEmpty(metric.name);
      if (spread.total() === 0) return residual.total() === 0 ? 1 : 0;
      return 1 - residual.total() / spread.total();
    },
  };
  return metric;
}

// Accuracy and top-k accuracy from class scores. Counts per class are in confusion.ts.
import { fail } from "../base/index.ts";
import { eachScoreRow, type Metric, meanOfRows, type ScoreRow, type TargetOptions } from "./metric.ts";

/**
 * Share of rows whose highest score is the target's; of equal scores the first class counts, as arg-max takes it.
 * Scores are (..., C): logits or probabilities alike; targets are class ids (...).
 *
 * @example
 * ```ts
 * const metric = accuracy();
 * metric.update(fromNumbers("f32", [2, 2], [0.9, 0.1, 0.4, 0.6]), fromNumbers("i32", [2], [0, 0]));
 * metric.value(); // 0.5
 * ```
 */
export function accuracy(options: TargetOptions = {}): Metric {
  return rankedWithin("accuracy", 1, options);
}

/**
 * Share of rows whose target is among the `k` highest scores; of equal scores the first class ranks higher.
 * Errors with `config/metric` when `k` is no positive integer.
 */
export function topKAccuracy(k: number, options: TargetOptions = {}): Metric {
  if (!Number.isInteger(k) || k < 1)
    fail("config/metric", "top-k counts classes", { expected: "an integer of at least 1", got: String(k) });
  return rankedWithin(`top${k}`, k, options);
}

function rankedWithin(name: string, k: number, options: TargetOptions): Metric {
  return meanOfRows(name, (batch, add) =>
    eachScoreRow(name, batch, options, (row) => add(rankOfTarget(row) < k ? 1 : 0, row.weight)),
  );
}

/** How many classes stand before the target when the row is sorted by score. */
function rankOfTarget({ scores, start, numClasses, target }: ScoreRow): number {
  const own = scores[start + target]!;
  let rank = 0;
  for (let c = 0; c < numClasses; c++) {
    const other = scores[start + c]!;
    if (other > own || (other === own && c < target)) rank++;
  }
  return rank;
}

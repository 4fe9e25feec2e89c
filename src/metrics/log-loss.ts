// Log loss and perplexity, from logits or probabilities. Losses a model has computed already are in mean-loss.ts.
import { fail } from "../base/index.ts";
import { eachScoreRow, failNotFinite, type Metric, meanOfRows, type ScoreRow, type TargetOptions } from "./metric.ts";

export interface LogLossOptions extends TargetOptions {
  /** What the scores are. Default `"logits"`. */
  readonly from?: "logits" | "probabilities";
}

/** Where probabilities are clipped, as scikit-learn does for f64: a certain and wrong answer costs 36.04 nats. */
const smallestProbability = 2 ** -52;

/**
 * Mean of -log p(target), in nats. From logits by log-sum-exp, finite for logits of any finite size; from probabilities
 * clipped at 2^-52. Errors besides the usual: `metric/probabilities` when a row is not a distribution.
 * @see https://scikit-learn.org/stable/modules/generated/sklearn.metrics.log_loss.html
 */
export function logLoss(options: LogLossOptions = {}): Metric {
  return meanLogLoss("logLoss", options);
}

/** exp of the mean log loss: among how many equally likely classes the choice would be as hard. */
export function perplexity(options: LogLossOptions = {}): Metric {
  return meanLogLoss("perplexity", options, Math.exp);
}

function meanLogLoss(name: string, options: LogLossOptions, finish?: (mean: number) => number): Metric {
  const lossOf = options.from === "probabilities" ? lossOfProbabilities : lossOfLogits;
  return meanOfRows(
    name,
    (prediction, target, add) => eachScoreRow(name, prediction, target, options, (row) => add(lossOf(row, name))),
    finish,
  );
}

function lossOfLogits({ scores, start, numClasses, target }: ScoreRow, metric: string): number {
  let highest = Number.NEGATIVE_INFINITY;
  for (let c = 0; c < numClasses; c++) highest = Math.max(highest, scores[start + c]!);
  if (highest === Number.NEGATIVE_INFINITY)
    failNotFinite(metric, "row of logits (every class impossible)", highest, start / numClasses);
  let sum = 0;
  for (let c = 0; c < numClasses; c++) sum += Math.exp(scores[start + c]! - highest);
  return Math.log(sum) - (scores[start + target]! - highest);
}

function lossOfProbabilities({ scores, start, numClasses, target }: ScoreRow, metric: string): number {
  let [sum, lowest] = [0, 0];
  for (let c = 0; c < numClasses; c++) {
    sum += scores[start + c]!;
    lowest = Math.min(lowest, scores[start + c]!);
  }
  // an f32 softmax over 50,000 classes is off by 1e-4 at worst; logits given by mistake are off by far more
  if (lowest < 0 || Math.abs(sum - 1) > 1e-3) {
    fail("metric/probabilities", "a row of scores is not a distribution", {
      where: `${metric}, row ${start / numClasses} of the batch`,
      expected: "probabilities that sum to 1",
      got: `a sum of ${sum}, lowest ${lowest}`,
      fix: 'if these are logits, leave out from: "probabilities"',
    });
  }
  return -Math.log(Math.min(Math.max(scores[start + target]!, smallestProbability), 1 - smallestProbability));
}

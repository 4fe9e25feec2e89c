// Log loss and perplexity, from logits or probabilities. Losses a model has computed already are in mean-loss.ts.
import { fail } from "../base/index.ts";
import {
  asDistributions,
  checkDistribution,
  eachScoreRow,
  failEmpty,
  failNotFinite,
  type Metric,
  type MetricBatch,
  meanOfRows,
  type ScoreRow,
  Sum,
  type TargetOptions,
} from "./metric.ts";

export interface LogLossOptions extends TargetOptions {
  /** What the scores are. Default `"logits"`. */
  readonly from?: "logits" | "probabilities";
}

/** Where probabilities are clipped, as scikit-learn does for f64: a certain and wrong answer costs 36.04 nats. */
const smallestProbability = 2 ** -52;

/**
 * Mean of -log p(target), in nats. From logits by log-sum-exp, finite for logits of any finite size; from probabilities
 * clipped at 2^-52, (..., C) or (...) of class 1. Errors besides the usual: `metric/probabilities` when a row is not a distribution.
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
  const isProbability = options.from === "probabilities";
  const lossOf = isProbability ? lossOfProbabilities : lossOfLogits;
  return meanOfRows(
    name,
    (batch, add) =>
      eachScoreRow(name, isProbability ? asDistributions(batch) : batch, options, (row) =>
        add(lossOf(row, name), row.weight),
      ),
    finish,
  );
}

/**
 * What a language model of any vocabulary needs per byte of text: Σ -log₂ p(token) / Σ bytes, from logits (..., V) and token ids (...).
 * `byteLengths[id]` is the number of bytes that a token stands for.
 */
export function bitsPerByte(byteLengths: ArrayLike<number>, options: TargetOptions = {}): Metric {
  const [nats, bytes] = [new Sum(), new Sum()];
  const metric = {
    name: "bitsPerByte",
    count: 0,
    update(...batch: MetricBatch): void {
      eachScoreRow(metric.name, batch, options, (row) => {
        const length = byteLengths[row.target];
        if (length === undefined || !(length >= 0)) {
          fail("metric/byte-lengths", "a token's number of bytes is not known", {
            where: metric.name,
            expected: `one length for each of ${row.numClasses} tokens`,
            got: `${length} for token ${row.target} of ${byteLengths.length}`,
            fix: "take the lengths from the tokenizer that made the tokens",
          });
        }
        nats.add(lossOfLogits(row, metric.name) * row.weight);
        bytes.add(length * row.weight);
        metric.count++;
      });
    },
    value: () => (bytes.total() === 0 ? failEmpty(metric.name) : nats.total() / Math.LN2 / bytes.total()),
  };
  return metric;
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

function lossOfProbabilities(row: ScoreRow, metric: string): number {
  checkDistribution(row, metric);
  const { scores, start, target } = row;
  return -Math.log(Math.min(Math.max(scores[start + target]!, smallestProbability), 1 - smallestProbability));
}

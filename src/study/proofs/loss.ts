// Losses at points whose value is published, at their extremes, and against numeric gradients.
import { fromNumbers } from "../../base/index.ts";
import { grad, type Tensor } from "../../core/index.ts";
import { evaluate } from "../../engine/index.ts";
import { logLoss } from "../../metrics/index.ts";
import { binaryCrossEntropy, crossEntropy, meanSquaredError } from "../../nn/index.ts";
import { atMost, type Figure, holds, largestDifference, type Proof, refused, within } from "../proof.ts";

/** Central differences of a scalar function of a list. */
function numericGradient(fn: (x: readonly number[]) => number, at: readonly number[], h = 1e-5): number[] {
  return at.map((value, i) => (fn(at.with(i, value + h)) - fn(at.with(i, value - h))) / (2 * h));
}

const squared = (prediction: Tensor, target: Tensor) => meanSquaredError(prediction, target);

async function squaredError(): Promise<Figure[]> {
  const [prediction, target] = [
    [1, 2, 3, 4],
    [2, 4, 6, 8],
  ];
  const loss = (x: readonly number[]) => evaluate(squared, { x, target }).value;
  const analytic = evaluate(grad(squared), { prediction, target }).data;
  return [
    within("mean squared error of [1,2,3,4] against [2,4,6,8]", loss(prediction), 7.5, 0),
    atMost(
      "error of its gradient against central differences",
      largestDifference(analytic, numericGradient(loss, prediction)),
      1e-7,
    ),
    refused("a target (4) against a prediction (4,1)", "shape/loss", () =>
      evaluate(squared, { prediction: prediction.map((value) => [value]), target }),
    ),
  ];
}

/** Cross-entropy of rows of logits against class ids. */
function lossOfLogits(logits: readonly (readonly number[])[], classes: readonly number[]) {
  const target = fromNumbers("i32", [classes.length], classes);
  const mean = (scores: Tensor, ids: Tensor) => crossEntropy(scores, ids);
  return {
    loss: evaluate(mean, { logits, target }).value,
    gradient: evaluate(grad(mean), { logits, target }).data,
  };
}

/** The metric, from probabilities. */
function lossOfProbabilities(rows: readonly (readonly number[])[], classes: readonly number[]): number {
  const metric = logLoss({ from: "probabilities" });
  metric.update(
    fromNumbers("f64", [rows.length, rows[0]!.length], rows.flat()),
    fromNumbers("i32", [classes.length], classes),
  );
  return metric.value();
}

/** `sklearn.metrics.log_loss` (1.9.1, f64), as made by test/golden/metrics.py. */
const sklearn = {
  published: 0.9587654910730045,
  certainAndRight: 2.220446049250313e-16,
  oneRightOneWrong: 18.021826694558577,
  /** From logits, by torch.nn.functional.cross_entropy in f64. */
  hugeLogits: 0.3662040962227033,
};

async function crossEntropyLoss(): Promise<Figure[]> {
  const published = [
    [0.9, 0.1],
    [0.8, 0.2],
    [0.7, 0.3],
    [0.6, 0.4],
  ];
  const classes = [0, 1, 1, 1];
  const logits = published.map((row) => row.map(Math.log));
  const { loss, gradient } = lossOfLogits(logits, classes);
  const pairs = (flat: readonly number[]) => published.map((_, row) => flat.slice(2 * row, 2 * row + 2));
  const numeric = numericGradient((flat) => lossOfLogits(pairs(flat), classes).loss, logits.flat());
  const huge = lossOfLogits(
    [
      [1e4, -1e4, 0],
      [1e4, 0, -1e4],
      [0, 0, 0],
    ],
    [0, 0, 2],
  );
  const wrong = lossOfLogits([[1e4, -1e4]], [1]);
  const certain = [
    [1, 0],
    [0, 1],
  ];
  return [
    within("published block, from logits", loss, sklearn.published, 1e-12),
    within("published block, from probabilities", lossOfProbabilities(published, classes), sklearn.published, 1e-12),
    atMost("error of the gradient against central differences", largestDifference(gradient, numeric), 1e-7),
    within("certain and right, p of 0 and 1", lossOfProbabilities(certain, [0, 1]), sklearn.certainAndRight, 1e-12),
    within(
      "one certain answer right, one wrong",
      lossOfProbabilities(certain, [0, 0]),
      sklearn.oneRightOneWrong,
      1e-12,
    ),
    within("logits of ±1e4", huge.loss, sklearn.hugeLogits, 1e-12),
    within("logits of ±1e4, certain and wrong", wrong.loss, 2e4, 1e-12),
    holds("gradients at ±1e4 are finite", [...huge.gradient, ...wrong.gradient].every(Number.isFinite)),
    refused("logits and target exchanged", "shape/cross-entropy", () =>
      evaluate((scores, ids) => crossEntropy(ids, scores), {
        scores: logits,
        ids: fromNumbers("i32", [4], classes),
      }),
    ),
  ];
}

async function binaryLogLoss(): Promise<Figure[]> {
  const [p, t] = [
    [0.1, 0.2, 0.3, 0.4],
    [0, 1, 1, 1],
  ];
  const ofProbabilities = (x: Tensor, target: Tensor) => binaryCrossEntropy(x, target, { from: "probabilities" });
  const ofLogits = (x: Tensor, target: Tensor) => binaryCrossEntropy(x, target);
  const logits = p.map((value) => Math.log(value / (1 - value)));
  const loss = (x: readonly number[]) => evaluate(ofLogits, { x, t }).value;
  const certain = (probabilities: number[], t: number[]) => evaluate(ofProbabilities, { probabilities, t }).value;
  const ends = { x: [1e4, -1e4, 1e4, -1e4], t: [1, 0, 0, 1] };
  return [
    within("published block, from probabilities", certain(p, t), sklearn.published, 1e-12),
    within("published block, from logits", loss(logits), sklearn.published, 1e-12),
    atMost(
      "error of the gradient against central differences",
      largestDifference(evaluate(grad(ofLogits), { logits, t }).data, numericGradient(loss, logits)),
      1e-7,
    ),
    within("certain and right, p of 0 and 1", certain([1, 0], [1, 0]), sklearn.certainAndRight, 1e-12),
    within("one certain answer right, one wrong", certain([1, 0], [1, 1]), sklearn.oneRightOneWrong, 1e-12),
    within("logits of ±1e4, two right, two wrong", evaluate(ofLogits, ends).value, 5e3, 1e-12),
    holds("gradients at ±1e4 are finite", evaluate(grad(ofLogits), ends).data.every(Number.isFinite)),
  ];
}

export const lossProofs: readonly Proof[] = [
  {
    id: "loss.mse",
    doc: "mean squared error: its value, its gradient, and shapes that must be equal",
    run: squaredError,
  },
  { id: "loss.ce", doc: "cross-entropy: published values, extremes, and its gradient", run: crossEntropyLoss },
  { id: "loss.log", doc: "log loss of two classes: published values, extremes, and its gradient", run: binaryLogLoss },
];

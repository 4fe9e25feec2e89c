// The losses of tutorials on their own numbers: squared error, cross-entropy of probabilities, log loss, and certain answers.
import { binaryCrossEntropy, categoricalCrossEntropy, classIds, evaluate, meanSquaredError } from "athanor";

const squared = evaluate((prediction, target) => meanSquaredError(prediction, target), {
  prediction: [1, 2, 3, 4],
  target: [2, 4, 6, 8],
});
console.log("mean squared error", squared.value); // 7.5

const probabilities = [
  [0.9, 0.1],
  [0.8, 0.2],
  [0.7, 0.3],
  [0.6, 0.4],
];
const crossEntropy = evaluate((p, target) => categoricalCrossEntropy(p, target), {
  probabilities,
  target: classIds([0, 1, 1, 1]),
});
console.log("cross-entropy", crossEntropy.value); // 0.9587654910730045

const logLoss = (p: number[], target: number[]) =>
  evaluate((p, target) => binaryCrossEntropy(p, target, { from: "probabilities" }), { p, target }).value;
console.log(
  "log loss",
  logLoss(
    probabilities.map(([, p]) => p!),
    [0, 1, 1, 1],
  ),
); // the same
console.log("certain and right", logLoss([1, 0], [1, 0])); // 0, not NaN
console.log("certain, one of two wrong", logLoss([1, 1], [1, 0])); // 18.02

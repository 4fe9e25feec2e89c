// Losses from predictions and targets. Shapes must be equal, never broadcast: a target (4) against a prediction (4,1) would
// silently compare all pairs. The reduction is part of the loss, and its gradient follows from it.
import { fail, formatType, isFloat, sameShape } from "../base/index.ts";
import { crossEntropy as crossEntropyPerRow, currentScope, type Tensor, where } from "../core/index.ts";

export const reductions = ["mean", "sum", "none"] as const;
/** How the losses of single elements or rows become the result. */
export type Reduction = (typeof reductions)[number];

export interface LossOptions {
  /** Default `mean`. */
  readonly reduction?: Reduction;
}

function reduce(losses: Tensor, reduction: Reduction = "mean"): Tensor {
  switch (reduction) {
    case "mean":
      return losses.mean();
    case "sum":
      return losses.sum();
    case "none":
      return losses;
    default:
      return fail("nn/reduction", "no such reduction", { expected: reductions.join(", "), got: String(reduction) });
  }
}

function requireEqualShapes(loss: string, prediction: Tensor, target: Tensor, name = "prediction"): void {
  if (sameShape(prediction.shape, target.shape) && prediction.dtype === target.dtype && isFloat(target.dtype)) return;
  fail("shape/loss", `${loss} compares tensors of one shape and dtype`, {
    where: currentScope() || loss,
    expected: `${name} and target of equal shape; nothing is broadcast`,
    got: `${name} ${formatType(prediction.dtype, prediction.shape)}, target ${formatType(target.dtype, target.shape)}`,
    fix: sameShape(prediction.shape, target.shape) ? "cast the target" : `reshape the target to (${prediction.shape})`,
  });
}

/** Squared error, (prediction − target)². */
export function meanSquaredError(prediction: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  requireEqualShapes("meanSquaredError", prediction, target);
  return reduce(prediction.sub(target).square(), options.reduction);
}

/** Absolute error, |prediction − target|. */
export function meanAbsoluteError(prediction: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  requireEqualShapes("meanAbsoluteError", prediction, target);
  return reduce(prediction.sub(target).abs(), options.reduction);
}

/** Squared near zero, linear beyond `delta` (Huber 1964): ½d² for |d| ≤ δ, else δ(|d| − ½δ). */
export function huberLoss(prediction: Tensor, target: Tensor, options: LossOptions & { delta?: number } = {}): Tensor {
  requireEqualShapes("huberLoss", prediction, target);
  const { delta = 1, reduction } = options;
  const distance = prediction.sub(target).abs();
  const near = distance.square().mul(0.5);
  return reduce(where(distance.lessEqual(delta), near, distance.sub(delta / 2).mul(delta)), reduction);
}

export interface CrossEntropyOptions extends LossOptions {
  /** Rows with this target count for nothing; default −1. */
  readonly ignoreIndex?: number;
}

/**
 * Cross-entropy of class ids against unnormalized scores: logits float (…, V), target i32 (…). With `none` the result has
 * the target's shape; the mean is over the rows that are not ignored, and not a number when there is none.
 * Errors with `shape/cross-entropy`.
 */
export function crossEntropy(logits: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const { ignoreIndex = -1, reduction = "mean" } = options;
  if (
    !isFloat(logits.dtype) ||
    target.dtype !== "i32" ||
    !sameShape(logits.shape.slice(0, -1), target.shape) ||
    logits.rank === 0
  ) {
    fail("shape/cross-entropy", "cross-entropy needs scores per class and one class id per row", {
      where: currentScope() || "crossEntropy",
      expected: "logits float (…, classes), target i32 (…)",
      got: `logits ${formatType(logits.dtype, logits.shape)}, target ${formatType(target.dtype, target.shape)}`,
      fix: "the order is (logits, target): do not exchange them",
    });
  }
  const ids = target.reshape(-1);
  const losses = crossEntropyPerRow(logits.reshape(-1, logits.shape.at(-1)!), ids, ignoreIndex);
  if (reduction !== "mean") return reduction === "none" ? losses.reshape(...target.shape) : reduce(losses, reduction);
  return losses.sum().div(ids.notEqual(ignoreIndex).cast(losses.dtype).sum());
}

/** Cross-entropy of probabilities in [0, 1] against logits of two classes: finite for any logit. */
export function binaryCrossEntropy(logits: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  requireEqualShapes("binaryCrossEntropy", logits, target, "logits");
  // max(z, 0) − z·t + log(1 + e^−|z|); written with `where`, whose gradient at z = 0 is ½ − t as it must be
  const positive = logits.greater(0);
  const folded = where(positive, logits.neg(), logits);
  return reduce(where(positive, logits, 0).sub(logits.mul(target)).add(folded.exp().log1p()), options.reduction);
}

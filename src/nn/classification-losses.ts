// Losses of classes: of scores against class ids, distributions, or one yes or no per element.
import { fail, isFloat, sameShape, type Varying, valuesOf } from "../base/index.ts";
import {
  complement,
  crossEntropyAndLogSum,
  currentScope,
  iota,
  logSoftmax,
  Tensor,
  take,
  takeAlong,
  varying,
  where,
} from "../core/index.ts";
import {
  elementLoss,
  failShapes,
  type LossOptions,
  reduceLosses,
  replaceMasked,
  requireSetting,
  softplus,
} from "./loss.ts";

export interface ClassOptions extends LossOptions {
  /** Rows with this target count for nothing; default −1. */
  readonly ignoreIndex?: number;
}

export interface CrossEntropyOptions extends ClassOptions {
  /** The share of the target that is spread evenly over all classes (Szegedy et al. 2016); default 0. */
  readonly labelSmoothing?: Varying;
  /** Float (classes): what each class counts, in the sum and in the mean's divisor (as PyTorch). */
  readonly classWeights?: Tensor;
  /** Adds so much times (log Σ e^logits)², which keeps logits from drifting (Chowdhery et al. 2022: 1e-4); default 0. */
  readonly zLoss?: number;
}

/**
 * Cross-entropy of unnormalized scores, logits float (…, V): against class ids i32 (…), or against probabilities, float
 * (…, V). With `none` the result has the shape (…); the mean of class ids is over the rows that are not ignored, and not a
 * number when there is none. Errors with `shape/cross-entropy`.
 *
 * @example
 * ```ts run
 * import { crossEntropy, evaluate, fromNumbers } from "athanor";
 * const target = fromNumbers("i32", [2], [0, 1]);
 * const options = { labelSmoothing: 0.1 };
 * console.log(evaluate((x, t) => crossEntropy(x, t, options), { logits: [[2, 0], [1, 1]], target }).value);
 * ```
 */
export function crossEntropy(logits: Tensor, target: Tensor, options: CrossEntropyOptions = {}): Tensor {
  const { ignoreIndex = -1, labelSmoothing = 0, classWeights, zLoss = 0 } = options;
  const name = "crossEntropy";
  for (const share of valuesOf(labelSmoothing))
    requireSetting(name, "labelSmoothing", share, share >= 0 && share < 1, "from 0 to below 1");
  requireSetting(name, "zLoss", zLoss, zLoss >= 0, "≥ 0");
  const isSoft = isFloat(target.dtype) && target.dtype === logits.dtype && sameShape(target.shape, logits.shape);
  requireClasses(name, logits, target, isSoft, "shape/cross-entropy");
  if (softmaxed(logits) !== undefined) {
    fail("nn/probabilities", "crossEntropy takes unnormalized scores and was given what a softmax made", {
      where: currentScope() || name,
      expected: "logits: any numbers",
      got: "probabilities",
      fix: "leave the softmax out, or use categoricalCrossEntropy, which takes probabilities",
    });
  }
  const [rowShape, classes] = [logits.shape.slice(0, -1), logits.shape.at(-1)!];
  if (classWeights !== undefined && !sameShape(classWeights.shape, [classes]))
    failShapes(name, `classWeights (${classes})`, { classWeights }, "give one weight per class");
  const weigh = (x: Tensor) => (classWeights === undefined ? x : x.mul(classWeights));
  return reduceLosses(name, rowShape, [logits, target], options, (scores, given) => {
    const flat = scores.reshape(-1, classes);
    const smoothing = varying(labelSmoothing, flat.dtype);
    const perClass = typeof smoothing === "number" ? smoothing / classes : smoothing.div(classes);
    if (isSoft) {
      const wanted = given.reshape(-1, classes).mul(complement(smoothing)).add(perClass);
      const logProbabilities = logSoftmax(flat);
      const losses = weigh(wanted.mul(logProbabilities)).sum({ axis: -1 }).neg();
      const logSum = flat.sub(logProbabilities).slice(-1, 0, 1).reshape(-1);
      return { losses: (zLoss === 0 ? losses : losses.add(logSum.square().mul(zLoss))).reshape(...rowShape) };
    }
    const ids = given.reshape(-1);
    const kept = ids.notEqual(ignoreIndex);
    const [own, logSum] = crossEntropyAndLogSum(flat, ids, ignoreIndex);
    const counts =
      classWeights === undefined ? kept.cast(flat.dtype) : where(kept, take(classWeights, where(kept, ids, 0)), 0);
    const parts = [classWeights === undefined ? own : own.mul(counts)];
    if (labelSmoothing !== 0) {
      parts[0] = parts[0]!.mul(complement(smoothing));
      const spread = weigh(logSoftmax(flat)).sum({ axis: -1 }).mul(perClass).neg();
      parts.push(where(kept, spread, 0));
    }
    if (zLoss > 0) parts.push(logSum.square().mul(zLoss));
    const losses = parts.reduce((sum, part) => sum.add(part));
    return { losses: losses.reshape(...rowShape), counts: counts.reshape(...rowShape) };
  });
}

/** What a softmax made of `x`, if that is where it comes from. */
function softmaxed(x: Tensor): Tensor | undefined {
  const { op, inputs } = x.graph.producer(x.id);
  return op.name === "softmax" ? new Tensor(x.graph, inputs[0]!) : undefined;
}

/**
 * Cross-entropy of probabilities, such as a layer with a softmax gives, against class ids or probabilities. Straight from a softmax it
 * is computed from the scores before it, exact for any size; others are kept 2⁻⁵² (f64) or 2⁻²³ from 0 and made to add up to 1.
 */
export function categoricalCrossEntropy(
  probabilities: Tensor,
  target: Tensor,
  options: CrossEntropyOptions = {},
): Tensor {
  const ulp = probabilities.dtype === "f64" ? 2 ** -52 : 2 ** -23;
  const scores = softmaxed(probabilities) ?? replaceMasked(probabilities, options.mask).maximum(ulp).log();
  return crossEntropy(scores, target, options);
}

function requireClasses(loss: string, logits: Tensor, target: Tensor, isSoft: boolean, code?: string): void {
  const areIds = target.dtype === "i32" && sameShape(logits.shape.slice(0, -1), target.shape);
  if (isFloat(logits.dtype) && logits.rank > 0 && (areIds || isSoft)) return;
  const expected = "logits float (…, classes), target i32 (…), or float like the logits";
  failShapes(loss, expected, { logits, target }, "the order is (logits, target): do not exchange them", code);
}

export interface BinaryOptions extends LossOptions {
  /** What is predicted. Default `logits`, which are exact for any size; probabilities are clipped at one ulp from 0 and 1, with slope 0 beyond (scikit-learn). */
  readonly from?: "logits" | "probabilities";
  /** What the losses of targets 1 are multiplied by; default 1. */
  readonly positiveWeight?: number;
}

/** Log loss of two classes, one yes or no per element: targets in [0, 1], −t·log p − (1 − t)·log(1 − p). */
export function binaryCrossEntropy(logits: Tensor, target: Tensor, options: BinaryOptions = {}): Tensor {
  const { from = "logits", positiveWeight = 1 } = options;
  requireSetting("binaryCrossEntropy", "positiveWeight", positiveWeight, positiveWeight > 0, "> 0");
  return elementLoss("binaryCrossEntropy", { [from]: logits, target }, options, (x, t) => {
    const isOne = t.mul(positiveWeight);
    if (from === "probabilities") {
      const ulp = x.dtype === "f64" ? 2 ** -52 : 2 ** -23;
      const p = x.maximum(ulp).minimum(1 - ulp);
      return isOne.mul(p.log()).add(t.neg().add(1).mul(p.neg().log1p())).neg();
    }
    if (positiveWeight === 1) return softplus(x).sub(x.mul(t));
    return softplus(x).mul(t.neg().add(1)).add(softplus(x.neg()).mul(isOne));
  });
}

export interface FocalOptions extends ClassOptions {
  /** How strongly rows that are right already are played down; 0 is cross-entropy, default 2. */
  readonly gamma?: number;
  /** Binary: the weight of targets 1, 1 − alpha of targets 0; left out, 1 for both (the paper's best is 0.25). */
  readonly alpha?: number;
}

/**
 * (1 − p)^γ · (−log p) for p the probability of what is true (Lin et al. 2017). Of logits (…, V) against class ids i32 (…), by
 * softmax; or of logits against targets 0 or 1 of their shape, by sigmoid (a target between is the mixture of both).
 */
export function focalLoss(logits: Tensor, target: Tensor, options: FocalOptions = {}): Tensor {
  const { gamma = 2, alpha, ignoreIndex = -1 } = options;
  requireSetting("focalLoss", "gamma", gamma, gamma >= 0, "≥ 0");
  if (target.dtype !== "i32") {
    const [ofOne, ofZero] = alpha === undefined ? [1, 1] : [alpha, 1 - alpha];
    // (1 − σ(x))^γ = e^−γ·softplus(x): no power of a rounded difference
    const focal = (x: Tensor) => softplus(x).mul(-gamma).exp().mul(softplus(x.neg()));
    return elementLoss("focalLoss", { logits, target }, options, (x, t) =>
      focal(x)
        .mul(t)
        .mul(ofOne)
        .add(focal(x.neg()).mul(t.neg().add(1)).mul(ofZero)),
    );
  }
  return classLoss("focalLoss", logits, target, options, (flat, ids) => {
    const [own] = crossEntropyAndLogSum(flat, ids, ignoreIndex);
    const missing = own.neg().expm1().neg(); // 1 − p
    return where(missing.greater(0), missing, 1).pow(gamma).mul(own);
  });
}

/** Losses of rows of scores against class ids, ignored rows left out. `compute` sees scores (N, V) and valid ids (N). */
function classLoss(
  loss: string,
  logits: Tensor,
  target: Tensor,
  options: ClassOptions,
  compute: (flat: Tensor, ids: Tensor) => Tensor,
): Tensor {
  requireClasses(loss, logits, target, false);
  const [shape, classes] = [target.shape, logits.shape.at(-1)!];
  return reduceLosses(loss, shape, [logits, target], options, (scores, given) => {
    const ids = given.reshape(-1);
    const kept = ids.notEqual(options.ignoreIndex ?? -1);
    const losses = compute(scores.reshape(-1, classes), where(kept, ids, 0));
    return { losses: where(kept, losses, 0).reshape(...shape), counts: kept.cast(logits.dtype).reshape(...shape) };
  });
}

export interface HingeOptions extends ClassOptions {
  /** By how much the right score must lead; default 1. */
  readonly margin?: number;
}

/**
 * max(0, margin − score·target) for targets −1 or 1 of the scores' shape; for class ids i32 (…) of scores (…, V) the sum of
 * max(0, margin − score of the class + other score) over the other classes, divided by V (Weston & Watkins 1999, as PyTorch).
 */
export function hingeLoss(scores: Tensor, target: Tensor, options: HingeOptions = {}): Tensor {
  return hinge("hingeLoss", scores, target, options, (violation) => violation);
}

/** The same with squared violations: smooth where the margin begins. */
export function squaredHingeLoss(scores: Tensor, target: Tensor, options: HingeOptions = {}): Tensor {
  return hinge("squaredHingeLoss", scores, target, options, (violation) => violation.square());
}

function hinge(
  loss: string,
  scores: Tensor,
  target: Tensor,
  options: HingeOptions,
  cost: (violation: Tensor) => Tensor,
): Tensor {
  const { margin = 1 } = options;
  requireSetting(loss, "margin", margin, margin > 0, "> 0");
  if (target.dtype !== "i32")
    return elementLoss(loss, { scores, target }, options, (s, t) => cost(s.mul(t).neg().add(margin).relu()));
  return classLoss(loss, scores, target, options, (flat, ids) => {
    const [rows, classes] = flat.shape as [number, number];
    const own = takeAlong(flat, ids).reshape(rows, 1);
    const costs = cost(flat.sub(own).add(margin).relu());
    const isOwn = iota([rows, classes], 1).equal(ids.reshape(rows, 1));
    return where(isOwn, 0, costs)
      .sum({ axis: -1 })
      .mul(1 / classes);
  });
}

// Losses between distributions over classes: divergences, what a student learns from a teacher, two passes that should agree.
import { logSoftmax, softmax, stopGradient, type Tensor, where } from "../core/index.ts";
import { type CrossEntropyOptions, crossEntropy } from "./classification-losses.ts";
import { type LossOptions, requireSetting, rowLoss, softplus } from "./loss.ts";

const lastAxis = { axis: -1 } as const;

/** Kullback & Leibler 1951: Σ t·(log t − log p) per row, p = softmax(logits); target probabilities of the logits' shape, 0·log 0 = 0. */
export function klDivergence(logits: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  return rowLoss("klDivergence", { logits, target }, options, (x, t) =>
    t.mul(where(t.greater(0), t, 1).log().sub(logSoftmax(x))).sum(lastAxis),
  );
}

/** Σ p·(log p − log q) per row of log-probabilities. */
const divergence = (p: Tensor, q: Tensor): Tensor => p.exp().mul(p.sub(q)).sum(lastAxis);

/** Jensen & Shannon, between the softmax of two rows of logits: the mean divergence from their mean; at most log 2 (Lin 1991). */
export function jensenShannonDivergence(logits: Tensor, otherLogits: Tensor, options: LossOptions = {}): Tensor {
  return rowLoss("jensenShannonDivergence", { logits, otherLogits }, options, (x, y) => {
    const [p, q] = [logSoftmax(x), logSoftmax(y)];
    const middle = q.add(softplus(p.sub(q))).sub(Math.LN2); // log ½(eᵖ + e^q)
    return divergence(p, middle).add(divergence(q, middle)).mul(0.5);
  });
}

export interface DistillationOptions extends CrossEntropyOptions {
  /** Divides both rows of logits; default 2. */
  readonly temperature?: number;
  /** Share of the teacher against that of the target; default ½. */
  readonly alpha?: number;
}

/**
 * α·T²·KL(teacher ‖ student) at temperature T + (1 − α)·cross-entropy of the target (Hinton et al. 2015). Logits float (…, V),
 * target as cross-entropy takes it, its ignored rows too; no gradient flows to the teacher.
 */
export function distillationLoss(
  student: Tensor,
  teacher: Tensor,
  target: Tensor,
  options: DistillationOptions = {},
): Tensor {
  const { temperature = 2, alpha = 0.5, ...rest } = options;
  requireSetting("distillationLoss", "temperature", temperature, temperature > 0, "> 0");
  requireSetting("distillationLoss", "alpha", alpha, alpha >= 0 && alpha <= 1, "from 0 to 1");
  const { ignoreIndex = -1, mask: given } = rest;
  const kept = target.dtype === "i32" ? target.notEqual(ignoreIndex) : undefined;
  const mask = kept !== undefined && given !== undefined ? kept.and(given) : (kept ?? given);
  const soft = softmax(stopGradient(teacher).mul(1 / temperature));
  const follow = klDivergence(student.mul(1 / temperature), soft, { ...rest, ...(mask && { mask }) }).mul(
    alpha * temperature ** 2,
  );
  return follow.add(crossEntropy(student, target, rest).mul(1 - alpha));
}

/**
 * What two passes of one input through dropout disagree in, ½(KL(p ‖ q) + KL(q ‖ p)) per row of logits: add `alpha` times it to
 * the mean of both losses (R-drop, Liang et al. 2021).
 */
export function rDropLoss(logits: Tensor, otherLogits: Tensor, options: LossOptions = {}): Tensor {
  return rowLoss("rDropLoss", { logits, otherLogits }, options, (x, y) => {
    const [p, q] = [logSoftmax(x), logSoftmax(y)];
    return divergence(p, q).add(divergence(q, p)).mul(0.5);
  });
}

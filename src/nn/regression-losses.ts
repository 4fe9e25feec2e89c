// Losses of numbers: one per element, of predictions and targets of equal shape.
import { stopGradient, type Tensor, where } from "../core/index.ts";
import { elementLoss, type LossOptions, requireSetting } from "./loss.ts";

/**
 * Squared error, (prediction − target)².
 *
 * @example
 * ```ts run
 * import { evaluate, meanSquaredError } from "athanor";
 * const loss = evaluate((p, t) => meanSquaredError(p, t), { p: [1, 2, 3, 4], t: [2, 4, 6, 8] });
 * console.log(loss.value); // 7.5
 * ```
 */
export function meanSquaredError(prediction: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  return elementLoss("meanSquaredError", { prediction, target }, options, (p, t) => p.sub(t).square());
}

/** Absolute error, |prediction − target|. */
export function meanAbsoluteError(prediction: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  return elementLoss("meanAbsoluteError", { prediction, target }, options, (p, t) => p.sub(t).abs());
}

/** Squared near zero, linear beyond `delta` (default 1): ½d² for |d| ≤ δ, else δ(|d| − ½δ) (Huber 1964). */
export function huberLoss(prediction: Tensor, target: Tensor, options: LossOptions & { delta?: number } = {}): Tensor {
  const { delta = 1 } = options;
  requireSetting("huberLoss", "delta", delta, delta > 0, "> 0");
  return elementLoss("huberLoss", { prediction, target }, options, (p, t) => {
    const distance = p.sub(t).abs();
    return where(distance.lessEqual(delta), distance.square().mul(0.5), distance.sub(delta / 2).mul(delta));
  });
}

/** Huber's loss over `beta` (default 1), with slope 1 far out: ½d²/β for |d| < β, else |d| − ½β (Girshick 2015). */
export function smoothL1Loss(
  prediction: Tensor,
  target: Tensor,
  options: LossOptions & { beta?: number } = {},
): Tensor {
  const { beta = 1 } = options;
  requireSetting("smoothL1Loss", "beta", beta, beta > 0, "> 0");
  return elementLoss("smoothL1Loss", { prediction, target }, options, (p, t) => {
    const distance = p.sub(t).abs();
    return where(distance.less(beta), distance.square().mul(0.5 / beta), distance.sub(beta / 2));
  });
}

/** log cosh(prediction − target): ½d² near zero, |d| − log 2 far out; twice differentiable everywhere. */
export function logCoshLoss(prediction: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  return elementLoss("logCoshLoss", { prediction, target }, options, (p, t) => {
    const distance = p.sub(t).abs();
    const near = distance.less(1);
    // cosh d = 1 + q²/2(1 + q) for q = e⁻ᵈ − 1: no digit of a small d is lost
    const q = where(near, distance, 0).neg().expm1();
    const small = q.square().div(q.add(1).mul(2)).log1p();
    return where(near, small, distance.add(distance.mul(-2).exp().log1p()).sub(Math.LN2));
  });
}

/** |prediction − target| / max(|target|, eps): a share, not per cent, as scikit-learn; `eps` defaults to 2⁻⁵². */
export function meanAbsolutePercentageError(
  prediction: Tensor,
  target: Tensor,
  options: LossOptions & { eps?: number } = {},
): Tensor {
  const { eps = 2 ** -52 } = options;
  requireSetting("meanAbsolutePercentageError", "eps", eps, eps > 0, "> 0");
  return elementLoss("meanAbsolutePercentageError", { prediction, target }, options, (p, t) =>
    p.sub(t).abs().div(t.abs().maximum(eps)),
  );
}

/** (log(1 + prediction) − log(1 + target))², for numbers above −1: errors count by their ratio. */
export function meanSquaredLogError(prediction: Tensor, target: Tensor, options: LossOptions = {}): Tensor {
  return elementLoss("meanSquaredLogError", { prediction, target }, options, (p, t) =>
    p.log1p().sub(t.log1p()).square(),
  );
}

/** The pinball loss, whose best constant is the quantile `q` (default ½): q·d for d = target − prediction ≥ 0, else (q − 1)·d (Koenker & Bassett 1978). */
export function quantileLoss(prediction: Tensor, target: Tensor, options: LossOptions & { q?: number } = {}): Tensor {
  const { q = 0.5 } = options;
  requireSetting("quantileLoss", "q", q, q > 0 && q < 1, "between 0 and 1");
  return elementLoss("quantileLoss", { prediction, target }, options, (p, t) => {
    const d = t.sub(p);
    return where(d.greaterEqual(0), d.mul(q), d.mul(q - 1));
  });
}

export interface PoissonOptions extends LossOptions {
  /** What is predicted: the logarithm of the rate (default), any number, or the rate itself, above 0. */
  readonly from?: "logRate" | "rate";
  /** Adds Stirling's approximation of log target! for targets above 1, a constant of the prediction. Default false. */
  readonly full?: boolean;
}

/** Negative log likelihood of counts under a Poisson rate λ, λ − target·log λ (as PyTorch, 1e-8 inside of the rate's log). */
export function poissonLoss(prediction: Tensor, target: Tensor, options: PoissonOptions = {}): Tensor {
  const { from = "logRate", full = false } = options;
  return elementLoss("poissonLoss", { prediction, target }, options, (p, t) => {
    const loss = from === "rate" ? p.sub(t.mul(p.add(1e-8).log())) : p.exp().sub(t.mul(p));
    if (!full) return loss;
    const large = t.greater(1);
    const n = where(large, t, 1);
    const stirling = n
      .mul(n.log())
      .sub(n)
      .add(
        n
          .mul(2 * Math.PI)
          .log()
          .mul(0.5),
      );
    return loss.add(where(large, stirling, 0));
  });
}

export interface GaussianOptions extends LossOptions {
  /** Least variance, 1e-6 by default: below it the slope is as at it, so that a variance can grow again (as PyTorch). */
  readonly eps?: number;
  /** Adds ½ log 2π. Default false. */
  readonly full?: boolean;
}

/** Negative log likelihood under a normal distribution of predicted mean and variance: ½(log v + (prediction − target)²/v) (Nix & Weigend 1994). */
export function gaussianLoss(
  prediction: Tensor,
  target: Tensor,
  variance: Tensor,
  options: GaussianOptions = {},
): Tensor {
  const { eps = 1e-6, full = false } = options;
  requireSetting("gaussianLoss", "eps", eps, eps > 0, "> 0");
  return elementLoss("gaussianLoss", { prediction, target, variance }, options, (p, t, given) => {
    const v = given.add(stopGradient(given.maximum(eps).sub(given)));
    const loss = v.log().add(p.sub(t).square().div(v)).mul(0.5);
    return full ? loss.add(0.5 * Math.log(2 * Math.PI)) : loss;
  });
}

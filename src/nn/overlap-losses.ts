// Losses of how much two regions overlap, for segmentation: one per row of a batch, over all of its elements.
import type { Tensor } from "../core/index.ts";
import { where } from "../core/index.ts";
import {
  failShapes,
  type LossOptions,
  reduceLosses,
  replaceMasked,
  requireEqualShapes,
  requireSetting,
} from "./loss.ts";

export interface OverlapOptions extends Omit<LossOptions, "mask"> {
  /** What is predicted; default `logits`. */
  readonly from?: "logits" | "probabilities";
  /** Added above and below the fraction bar: an empty region predicted empty costs nothing. Default 1. */
  readonly smooth?: number;
  /** Bool, of the prediction's shape: which elements there are. Default all. */
  readonly mask?: Tensor;
}

export interface TverskyOptions extends OverlapOptions {
  /** What false positives count; default 0.3 (the paper's best). */
  readonly alpha?: number;
  /** What false negatives count; default 0.7. */
  readonly beta?: number;
}

/** 1 − (TP + s)/(TP + α·FP + β·FN + s) per row of (B, …), from probabilities and targets in [0, 1] (Salehi et al. 2017). */
export function tverskyLoss(prediction: Tensor, target: Tensor, options: TverskyOptions = {}): Tensor {
  return overlapLoss("tverskyLoss", prediction, target, { alpha: 0.3, beta: 0.7, smooth: 1, ...options });
}

/** 1 − (2·Σpt + s)/(Σp + Σt + s) per row of (B, …), from probabilities and targets in [0, 1] (Milletari et al. 2016, without squares). */
export function diceLoss(prediction: Tensor, target: Tensor, options: OverlapOptions = {}): Tensor {
  const { smooth = 1 } = options;
  return overlapLoss("diceLoss", prediction, target, { ...options, alpha: 0.5, beta: 0.5, smooth: smooth / 2 });
}

function overlapLoss(
  loss: string,
  prediction: Tensor,
  target: Tensor,
  options: OverlapOptions & Required<Pick<TverskyOptions, "alpha" | "beta" | "smooth">>,
): Tensor {
  const { from = "logits", mask, alpha, beta, smooth, ...rest } = options;
  requireSetting(loss, "smooth", smooth, smooth > 0, "> 0");
  requireSetting(loss, "alpha", alpha, alpha >= 0, "≥ 0");
  requireSetting(loss, "beta", beta, beta >= 0, "≥ 0");
  requireEqualShapes(loss, { prediction, target });
  const [rows] = prediction.shape;
  if (rows === undefined) failShapes(loss, "a batch (B, …)", { prediction, target }, "give it a first axis");
  if (mask !== undefined) requireEqualShapes(loss, { prediction, mask: mask.cast(prediction.dtype) });
  const inside = (x: Tensor) => (mask === undefined ? x : where(mask, x, 0)).reshape(rows, -1).sum({ axis: -1 });
  return reduceLosses(loss, [rows], [prediction, target], rest, (given, wanted) => {
    const [x, t] = [replaceMasked(given, mask), replaceMasked(wanted, mask)];
    const p = from === "logits" ? x.sigmoid() : x;
    const both = inside(p.mul(t));
    const falsePositives = inside(p.mul(t.neg().add(1)));
    const falseNegatives = inside(p.neg().add(1).mul(t));
    const whole = both.add(falsePositives.mul(alpha)).add(falseNegatives.mul(beta)).add(smooth);
    return { losses: both.add(smooth).div(whole).neg().add(1) };
  });
}

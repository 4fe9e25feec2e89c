// Losses of embeddings: what belongs together should be near, what does not, far. Rows are the vectors along the last axis.
import { crossEntropyAndLogSum, iota, matmulOf, type Tensor, where } from "../core/index.ts";
import { failShapes, type LossOptions, reduceLosses, requireEqualShapes, requireSetting, rowLoss } from "./loss.ts";

const lastAxis = { axis: -1 } as const;
const dot = (a: Tensor, b: Tensor): Tensor => a.mul(b).sum(lastAxis);

/** 1 − cos of the angle between two rows: 0 for one direction, 2 for opposite ones (1e-12 added to squared lengths, as PyTorch). */
export function cosineLoss(a: Tensor, b: Tensor, options: LossOptions = {}): Tensor {
  return rowLoss("cosineLoss", { a, b }, options, (x, y) => {
    const lengths = dot(x, x).add(1e-12).mul(dot(y, y).add(1e-12));
    return dot(x, y).div(lengths.sqrt()).neg().add(1);
  });
}

/** Euclidean distance of rows, with 1e-6 added to each difference (as PyTorch): its slope is finite at 0. */
const distance = (a: Tensor, b: Tensor): Tensor => a.sub(b).add(1e-6).square().sum(lastAxis).sqrt();

export interface TripletOptions extends LossOptions {
  /** Default 1. */
  readonly margin?: number;
  /** The negative is as far as from the nearer of anchor and positive (Balntas et al. 2016). Default false. */
  readonly swap?: boolean;
}

/** max(0, |anchor − positive| − |anchor − negative| + margin) per row (Schroff et al. 2015). */
export function tripletLoss(anchor: Tensor, positive: Tensor, negative: Tensor, options: TripletOptions = {}): Tensor {
  const { margin = 1, swap = false } = options;
  requireSetting("tripletLoss", "margin", margin, margin > 0, "> 0");
  return rowLoss("tripletLoss", { anchor, positive, negative }, options, (a, p, n) => {
    const far = swap ? distance(a, n).minimum(distance(p, n)) : distance(a, n);
    return distance(a, p).sub(far).add(margin).relu();
  });
}

/** ½(y·d² + (1 − y)·max(0, margin − d)²) per pair of rows at distance d, y float (…): 1 where they belong together (Hadsell et al. 2006). */
export function contrastiveLoss(
  a: Tensor,
  b: Tensor,
  together: Tensor,
  options: LossOptions & { margin?: number } = {},
): Tensor {
  const { margin = 1 } = options;
  requireSetting("contrastiveLoss", "margin", margin, margin > 0, "> 0");
  requireEqualShapes("contrastiveLoss", { a, b });
  const shape = a.shape.slice(0, -1);
  requireEqualShapes("contrastiveLoss", { "one number per row": a.sum(lastAxis), together });
  return reduceLosses("contrastiveLoss", shape, [a, b, together], options, (x, y, same) => {
    const d = distance(x, y);
    const apart = d.neg().add(margin).relu().square();
    return { losses: same.mul(d.square()).add(same.neg().add(1).mul(apart)).mul(0.5) };
  });
}

export interface InfoNceOptions extends LossOptions {
  /** Divides cosines; default 0.07. A scalar tensor can be learned. */
  readonly temperature?: number | Tensor;
  /** Also picks the query of each key, and takes the mean: the loss of CLIP (Radford et al. 2021). Default false. */
  readonly symmetric?: boolean;
}

/**
 * Cross-entropy of picking each query's own key among all keys of the batch by cosine: queries and keys (N, D), row i of one belonging
 * to row i of the other (InfoNCE, van den Oord et al. 2018). Masked pairs are no one's negatives either.
 */
export function infoNceLoss(queries: Tensor, keys: Tensor, options: InfoNceOptions = {}): Tensor {
  const { temperature = 0.07, symmetric = false, mask } = options;
  if (typeof temperature === "number")
    requireSetting("infoNceLoss", "temperature", temperature, temperature > 0, "> 0");
  requireEqualShapes("infoNceLoss", { queries, keys });
  if (queries.rank !== 2) failShapes("infoNceLoss", "rows (N, D)", { queries, keys }, "reshape them to (N, D)");
  const pairs = queries.shape[0]!;
  return reduceLosses("infoNceLoss", [pairs], [queries, keys], options, (q, k) => {
    const own = iota([pairs], 0);
    const pick = (from: Tensor, among: Tensor): Tensor => {
      const cosines = matmulOf(unit(from), unit(among), false, true).div(temperature);
      const seen = mask === undefined ? cosines : where(mask.reshape(1, pairs), cosines, -1e30);
      return crossEntropyAndLogSum(seen, mask === undefined ? own : where(mask, own, -1))[0];
    };
    return { losses: symmetric ? pick(q, k).add(pick(k, q)).mul(0.5) : pick(q, k) };
  });
}

/** Rows of Euclidean length one; a zero row stays zero. */
const unit = (x: Tensor): Tensor => x.div(x.square().sum({ axis: -1, keepDim: true }).add(1e-24).sqrt());

// What keeps a model from fitting its data too well, beside dropout: penalties on weights, bounds on their norms, mixed rows. Label
// smoothing is an option of cross-entropy, R-drop a loss between two passes.
import type { Shape } from "../base/index.ts";
import { concat, currentScope, type Tensor, uniform } from "../core/index.ts";
import { randomInputs } from "./dropout.ts";
import { requireSetting } from "./loss.ts";
import type { Module } from "./module.ts";

export interface PenaltyOptions {
  /** Times the sum of absolute values: drives weights to 0 (Tibshirani 1996). Default 0. */
  readonly l1?: number;
  /** Times half the sum of squares, whose gradient is l2 · w, that of an optimizer's `l2`. Default 0. */
  readonly l2?: number;
  /** Which parameters; default all of two or more dimensions. */
  readonly select?: (name: string, shape: Shape) => boolean;
}

/**
 * l1·Σ|w| + ½·l2·Σw² over a model's parameters, to be added to its loss; both at once are the elastic net (Zou & Hastie 2005). Only
 * inside of `functionalCall`, as a forward pass is. Errors with `nn/loss`.
 */
export function weightPenalty(model: Module, options: PenaltyOptions): Tensor {
  const { l1 = 0, l2 = 0, select = (_, shape) => shape.length >= 2 } = options;
  requireSetting("weightPenalty", "l1", l1, l1 >= 0, "≥ 0");
  requireSetting("weightPenalty", "l2", l2, l2 >= 0, "≥ 0");
  const parameters = [...model.parameters()].filter(([name, { shape }]) => select(name, shape));
  requireSetting("weightPenalty", "the number of selected parameters", parameters.length, parameters.length > 0, "> 0");
  const total = (cost: (w: Tensor) => Tensor) =>
    parameters.map(([, { tensor }]) => cost(tensor).sum()).reduce((sum, one) => sum.add(one));
  if (l2 === 0) return total((w) => w.abs()).mul(l1);
  const squares = total((w) => w.square()).mul(l2 / 2);
  return l1 === 0 ? squares : squares.add(total((w) => w.abs()).mul(l1));
}

/** The weight [in, out] with each output's vector of inputs shortened to length `max` where it is longer (Srebro & Shraibman 2005). */
export function limitNorms(weight: Tensor, max: number): Tensor {
  requireSetting("limitNorms", "max", max, max > 0, "> 0");
  const squares = weight.square().sum({ axis: -2, keepDim: true });
  return weight.mul(
    squares
      .maximum(max ** 2)
      .rsqrt()
      .mul(max),
  );
}

/**
 * Mixes each row with the next, x and targets alike: λ·row + (1 − λ)·next, λ drawn per row from Beta(α, α) (Zhang et al. 2018; of
 * embeddings Guo et al. 2019). x float (B, …), targets float (B, …), such as one-hot rows; as they were in eval mode. The next row is that
 * of the lane. `alpha` is 1 (λ uniform, default) or ½ (near 0 and 1 more often).
 */
export function mixup(x: Tensor, targets: Tensor, options: { alpha?: 1 | 0.5 } = {}): { x: Tensor; targets: Tensor } {
  const { alpha = 1 } = options;
  requireSetting("mixup", "alpha", alpha, alpha === 1 || alpha === 0.5, "1 or 0.5");
  const [count] = x.shape;
  requireSetting(
    "mixup",
    "the number of rows",
    count ?? 0,
    count !== undefined && count === targets.shape[0],
    "of x and targets alike",
  );
  const random = randomInputs(alpha);
  if (random === undefined) return { x, targets };
  const drawn = uniform(random.key, random.rows, [count!], `${currentScope()}.mixup`).cast(x.dtype);
  const share =
    alpha === 1
      ? drawn
      : drawn
          .mul(Math.PI / 2)
          .sin()
          .square();
  const mix = (rows: Tensor): Tensor => {
    const own = share.reshape(count!, ...new Array<number>(rows.rank - 1).fill(1));
    const next = concat([rows.slice(0, 1, count!), rows.slice(0, 0, 1)]);
    return next.add(rows.sub(next).mul(own));
  };
  return { x: mix(x), targets: mix(targets) };
}

// What all losses share: equal shapes, masks, weights, the reduction. No loss itself. Shapes are never broadcast: a target (4)
// against a prediction (4,1) would silently compare all pairs. The reduction is part of the loss, and its gradient follows from it.
import { fail, formatType, isFloat, type Shape, sameShape } from "../base/index.ts";
import { currentScope, type Tensor, where } from "../core/index.ts";

export const reductions = ["mean", "sum", "none"] as const;
/** How the losses of single elements or rows become the result. */
export type Reduction = (typeof reductions)[number];

export interface LossOptions {
  /** Default `mean`. With weights or a mask it is the weighted mean over what is counted; over nothing it is not a number. */
  readonly reduction?: Reduction;
  /** Float, of the losses' shape: each loss times its weight. */
  readonly weights?: Tensor;
  /** Bool, of the losses' shape: where it is false, inputs count for nothing, whatever they are, and get gradient 0. */
  readonly mask?: Tensor;
}

/** Losses, and how much each counts in the mean; left out, 1 each. */
export interface Losses {
  readonly losses: Tensor;
  readonly counts?: Tensor;
}

/**
 * The losses of `shape` that `compute` makes of `inputs`, masked, weighted and reduced. Masked inputs are replaced before, not
 * after: 0 · NaN is NaN, forward and back. Errors with `shape/loss` and `nn/reduction`.
 */
export function reduceLosses(
  loss: string,
  shape: Shape,
  inputs: readonly Tensor[],
  options: LossOptions,
  compute: (...inputs: Tensor[]) => Losses,
): Tensor {
  const { reduction = "mean", weights, mask } = options;
  for (const [name, given, wanted] of [
    ["weights", weights, inputs[0]!.dtype],
    ["mask", mask, "bool"],
  ] as const) {
    if (given !== undefined && !(sameShape(given.shape, shape) && given.dtype === wanted))
      failShapes(loss, `${name} ${formatType(wanted, shape)}`, { [name]: given }, `one value per loss of ${loss}`);
  }
  const { losses, counts } = compute(...inputs.map((input) => replaceMasked(input, mask)));
  const count = (x: Tensor): Tensor => {
    const weighted = weights === undefined ? x : x.mul(weights);
    return mask === undefined ? weighted : where(mask, weighted, 0);
  };
  const counted = count(losses);
  switch (reduction) {
    case "mean":
      if (counts !== undefined) return counted.sum().div(count(counts).sum());
      if (weights === undefined && mask === undefined) return losses.mean();
      return counted.sum().div((mask === undefined ? weights! : count(mask.cast(losses.dtype))).sum());
    case "sum":
      return counted.sum();
    case "none":
      return counted;
    default:
      return fail("nn/reduction", "no such reduction", {
        where: currentScope() || loss,
        expected: reductions.join(", "),
        got: String(reduction),
        fix: "leave reduction out for the mean",
      });
  }
}

/** Where the mask is false, ½ (0 for ids): inside the domain of every loss, with finite slopes. */
export function replaceMasked(x: Tensor, mask: Tensor | undefined): Tensor {
  if (mask === undefined) return x;
  const seen = mask.reshape(...mask.shape, ...new Array<number>(x.rank - mask.rank).fill(1));
  return where(seen, x, isFloat(x.dtype) ? 0.5 : 0);
}

type Named = { readonly [name: string]: Tensor };

const lossPer =
  (unit: "element" | "row") =>
  (loss: string, tensors: Named, options: LossOptions, compute: (...inputs: Tensor[]) => Tensor): Tensor => {
    requireEqualShapes(loss, tensors);
    const inputs = Object.values(tensors);
    const { shape } = inputs[0]!;
    if (unit === "row" && shape.length === 0) failShapes(loss, "rows along a last axis", tensors, "reshape them");
    const lossShape = unit === "row" ? shape.slice(0, -1) : shape;
    return reduceLosses(loss, lossShape, inputs, options, (...given) => ({ losses: compute(...given) }));
  };

/** Losses of single elements: `compute` of tensors of one shape and dtype. */
export const elementLoss = lossPer("element");
/** Losses of rows, the vectors along the last axis, of tensors of one shape and dtype. */
export const rowLoss = lossPer("row");

/** Errors with `shape/loss` unless all tensors are floats of one shape and dtype. */
export function requireEqualShapes(loss: string, tensors: Named): void {
  const names = Object.keys(tensors);
  const [first, ...others] = Object.values(tensors) as [Tensor, ...Tensor[]];
  const odd = others.findIndex((other) => !sameShape(first.shape, other.shape));
  if (odd < 0 && isFloat(first.dtype) && others.every(({ dtype }) => dtype === first.dtype)) return;
  const expected = `${names.slice(0, -1).join(", ")} and ${names.at(-1)} of equal shape; nothing is broadcast`;
  const fix = odd < 0 ? `cast the ${names[1]}` : `reshape the ${names[odd + 1]} to (${first.shape})`;
  failShapes(loss, expected, tensors, fix);
}

export function failShapes(loss: string, expected: string, tensors: Named, fix: string, code = "shape/loss"): never {
  const got = Object.entries(tensors).map(([name, { dtype, shape }]) => `${name} ${formatType(dtype, shape)}`);
  fail(code, `${loss} was given tensors that do not go together`, {
    where: currentScope() || loss,
    expected,
    got: got.join(", "),
    fix,
  });
}

/** `value` when it lies in its range. Errors with `nn/loss`. */
export function requireSetting(loss: string, name: string, value: number, ok: boolean, expected: string): number {
  if (ok) return value;
  return fail("nn/loss", `${name} is out of its range`, {
    where: currentScope() || loss,
    expected: `${name} ${expected}`,
    got: String(value),
    fix: `change ${name}, or leave it out`,
  });
}

/** log(1 + eˣ), finite for any finite x; its slope at 0 is ½. */
export function softplus(x: Tensor): Tensor {
  const positive = x.greater(0);
  return where(positive, x, 0).add(where(positive, x.neg(), x).exp().log1p());
}

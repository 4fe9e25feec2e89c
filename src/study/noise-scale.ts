// The gradient noise scale (McCandlish et al. 2018): the batch size at which the noise of a batch's gradient is as large as the
// gradient itself. Larger batches buy little, smaller ones cost little. Knows no recipe; prints nothing.
import { fail, RandomStream } from "../base/index.ts";
import { type GradientNoise, gradientNoise, type NormPair, type NormSizes, scaleOf } from "../optim/index.ts";

export interface NoiseScale extends GradientNoise {
  /** Rows; infinite where no gradient can be told from the noise. */
  readonly scale: number;
  /** 95 % of the estimates from as many pairs drawn with replacement lie between these. */
  readonly low: number;
  readonly high: number;
  readonly pairs: number;
}

/**
 * From E|G_b|² = |G|² + tr(Σ)/b at two batch sizes, in rows; both parts are unbiased, their quotient is nearly so over many
 * pairs. Errors with `tune/noise`.
 */
export function noiseScale(pairs: readonly NormPair[], sizes: NormSizes): NoiseScale {
  requireTwoSizes(sizes, pairs.length);
  const random = new RandomStream(1, "noise-scale");
  const draws = Array.from(
    { length: 1000 },
    (_, draw) =>
      quotient(
        pairs.map((_, at) => pairs[random.below(pairs.length, at, draw)]!),
        sizes,
      ).scale,
  ).sort((a, b) => a - b);
  return { ...quotient(pairs, sizes), low: draws[24]!, high: draws[974]!, pairs: pairs.length };
}

/** Errors with `tune/noise`: noise shows in the difference of two batch sizes, more than once. */
export function requireTwoSizes({ small, large }: NormSizes, pairs: number): void {
  if (small >= 1 && large > small && pairs >= 2) return;
  fail("tune/noise", "the noise of a gradient shows in two batch sizes, more than once", {
    where: "batch.size",
    expected: "1 <= small < large, and two pairs or more",
    got: `small ${small}, large ${large}, ${pairs} pairs`,
    fix: "measure at a batch.size of 2 or more, twice or more often",
  });
}

function quotient(pairs: readonly NormPair[], sizes: NormSizes): GradientNoise & { readonly scale: number } {
  const mean = (key: keyof NormPair) => pairs.reduce((sum, pair) => sum + pair[key], 0) / pairs.length;
  const noise = gradientNoise({ small: mean("small"), large: mean("large") }, sizes);
  return { ...noise, scale: scaleOf(noise) };
}

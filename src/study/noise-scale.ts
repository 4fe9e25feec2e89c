// The gradient noise scale (McCandlish et al. 2018): the batch size at which the noise of a batch's gradient is as large as the
// gradient itself. Larger batches buy little, smaller ones cost little. Knows no recipe; prints nothing.
import { fail, RandomStream } from "../base/index.ts";

/** Squared norms of the mean gradient over one large batch, and on average over the small ones that it was cut into. */
export interface NormPair {
  readonly large: number;
  readonly small: number;
}

export interface NoiseScale {
  /** Rows; infinite where no gradient can be told from the noise. */
  readonly scale: number;
  /** 95 % of the estimates from as many pairs drawn with replacement lie between these. */
  readonly low: number;
  readonly high: number;
  /** |G|² and tr(Σ) of the gradient of one row. */
  readonly squaredNorm: number;
  readonly variance: number;
  readonly pairs: number;
}

/**
 * From E|G_b|² = |G|² + tr(Σ)/b at two batch sizes, in rows; both parts are unbiased, their quotient is nearly so over many
 * pairs. Errors with `tune/noise`.
 */
export function noiseScale(
  pairs: readonly NormPair[],
  sizes: { readonly small: number; readonly large: number },
): NoiseScale {
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
export function requireTwoSizes(
  { small, large }: { readonly small: number; readonly large: number },
  pairs: number,
): void {
  if (small >= 1 && large > small && pairs >= 2) return;
  fail("tune/noise", "the noise of a gradient shows in two batch sizes, more than once", {
    where: "batch.size",
    expected: "1 <= small < large, and two pairs or more",
    got: `small ${small}, large ${large}, ${pairs} pairs`,
    fix: "measure at a batch.size of 2 or more, twice or more often",
  });
}

function quotient(pairs: readonly NormPair[], { small, large }: { readonly small: number; readonly large: number }) {
  const mean = (key: keyof NormPair) => pairs.reduce((sum, pair) => sum + pair[key], 0) / pairs.length;
  const [ofSmall, ofLarge] = [mean("small"), mean("large")];
  const squaredNorm = (large * ofLarge - small * ofSmall) / (large - small);
  const variance = (ofSmall - ofLarge) / (1 / small - 1 / large);
  return {
    scale: squaredNorm > 0 ? Math.max(0, variance) / squaredNorm : Number.POSITIVE_INFINITY,
    squaredNorm,
    variance,
  };
}

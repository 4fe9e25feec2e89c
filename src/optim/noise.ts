// The noise of a gradient, from its squared norms at two batch sizes (McCandlish et al. 2018, appendix A.1). Measures nothing itself.

/** Squared norms of the mean gradient over one large batch, and on average over the small ones that it was cut into. */
export interface NormPair {
  readonly large: number;
  readonly small: number;
}

/** Rows that the two norms of a pair were taken over. */
export interface NormSizes {
  readonly small: number;
  readonly large: number;
}

/** |G|² and tr(Σ) of the gradient of one row, both without bias: E|G_b|² = |G|² + tr(Σ)/b. */
export interface GradientNoise {
  readonly squaredNorm: number;
  readonly variance: number;
}

export function gradientNoise(norms: NormPair, { small, large }: NormSizes): GradientNoise {
  return {
    squaredNorm: (large * norms.large - small * norms.small) / (large - small),
    variance: (norms.small - norms.large) / (1 / small - 1 / large),
  };
}

/** tr(Σ) / |G|² in rows; infinite where no gradient can be told from the noise. */
export function scaleOf({ squaredNorm, variance }: GradientNoise): number {
  return squaredNorm > 0 ? Math.max(0, variance) / squaredNorm : Number.POSITIVE_INFINITY;
}

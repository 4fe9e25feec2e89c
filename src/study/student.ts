// Student's t: the interval of a mean over few independent values, such as the seeds of a study.

export interface MeanInterval {
  readonly mean: number;
  /** Half the width of the 95 % interval; a single value has none. */
  readonly half?: number;
  readonly count: number;
}

/** Mean ± t·s/√n over independent values, of which there is at least one. */
export function meanInterval(values: readonly number[]): MeanInterval {
  const count = values.length;
  const mean = values.reduce((sum, value) => sum + value, 0) / count;
  if (count === 1) return { mean, count };
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / (count - 1);
  return { mean, half: studentT(count - 1) * Math.sqrt(variance / count), count };
}

/** The t that |T| stays below with chance `level`, for a whole number of degrees of freedom: bisection on the angle atan(t/√ν). */
export function studentT(freedom: number, level = 0.95): number {
  let [low, high] = [0, Math.PI / 2];
  for (let round = 0; round < 60; round++) {
    const middle = (low + high) / 2;
    if (chanceWithin(middle, freedom) < level) low = middle;
    else high = middle;
  }
  return Math.sqrt(freedom) * Math.tan(low);
}

/** P(|T| < √ν·tan θ), a finite series (Abramowitz & Stegun 1964, 26.7.3 and 26.7.4). */
function chanceWithin(angle: number, freedom: number): number {
  const odd = freedom % 2 === 1;
  const [sine, cosine] = [Math.sin(angle), Math.cos(angle)];
  let term = odd ? cosine : 1;
  let sum = freedom === 1 ? 0 : term;
  for (let power = odd ? 3 : 2; power <= freedom - 2; power += 2) {
    term *= (cosine * cosine * (power - 1)) / power;
    sum += term;
  }
  return odd ? (2 / Math.PI) * (angle + sine * sum) : sine * sum;
}

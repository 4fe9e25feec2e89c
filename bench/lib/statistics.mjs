// Medians, spreads and fits of power laws. Pure functions of numbers.

/** The middle value; of an even number of values, the mean of the two. */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** How far the values lie apart: (greatest − least) / median. */
export const spread = (values) => (Math.max(...values) - Math.min(...values)) / median(values);

/**
 * Least squares of relative errors for y = a·x^b + c, c ≥ 0. The constant is kept only where it is needed: where a pure power is
 * off by more than 1 % (root mean square) and the constant halves that.
 *
 * @param points pairs [x, y] of positive numbers, at least two of different x
 * @returns `a`, `b`, `c`, and `error`, the root mean square of relative errors
 */
export function fitPowerLaw(points) {
  const least = Math.min(...points.map(([, y]) => y));
  const pure = fitAbove(points, 0);
  if (points.length < 4 || pure.error <= 0.01) return pure;
  let best = pure;
  let [from, to] = [0, 0.999];
  for (let zoom = 0; zoom < 4; zoom++) {
    const width = (to - from) / 40;
    for (let at = 0; at <= 40; at++) {
      const fit = fitAbove(points, (from + at * width) * least);
      if (fit.b > 0 && fit.error < best.error) best = fit;
    }
    const middle = best.c / least;
    [from, to] = [Math.max(0, middle - width), Math.min(0.9999, middle + width)];
  }
  return best.error <= pure.error / 2 ? best : pure;
}

/** A line through log(y − c) over log x. A relative error of y weighs (y / (y − c)) times as much there: hence the weights. */
function fitAbove(points, c) {
  const rows = points.map(([x, y]) => ({ u: Math.log(x), v: Math.log(y - c), weight: ((y - c) / y) ** 2 }));
  const mean = (of) => rows.reduce((sum, row) => sum + row.weight * of(row), 0) / total;
  const total = rows.reduce((sum, { weight }) => sum + weight, 0);
  const [u0, v0] = [mean(({ u }) => u), mean(({ v }) => v)];
  const b = mean(({ u, v }) => (u - u0) * (v - v0)) / mean(({ u }) => (u - u0) ** 2);
  const a = Math.exp(v0 - b * u0);
  const squares = points.map(([x, y]) => (Math.log(a * x ** b + c) - Math.log(y)) ** 2);
  return { a, b, c, error: Math.sqrt(squares.reduce((sum, one) => sum + one, 0) / points.length) };
}

// The noise scale from pairs that are made up: exact where they are, honest where they tell nothing.
import { expect, test } from "vitest";
import { noiseScale } from "./noise-scale.ts";

const sizes = { small: 4, large: 32 };
/** What E|G_b|² = |G|² + tr(Σ)/b gives. */
const exact = (norm: number, variance: number) => ({ large: norm + variance / 32, small: norm + variance / 4 });

test("pairs without noise give both parts and their quotient", () => {
  const found = noiseScale([exact(2, 50), exact(2, 50)], sizes);
  expect(found.squaredNorm).toBeCloseTo(2, 12);
  expect(found.variance).toBeCloseTo(50, 12);
  for (const value of [found.scale, found.low, found.high]) expect(value).toBeCloseTo(25, 12);
  expect(found.pairs).toBe(2);
});

test("the interval holds what the pairs disagree about", () => {
  const { scale, low, high } = noiseScale([exact(2, 40), exact(2, 60), exact(2, 50), exact(2, 50)], sizes);
  expect(scale).toBeCloseTo(25, 12);
  expect(low).toBeGreaterThanOrEqual(20);
  expect(low).toBeLessThan(25);
  expect(high).toBeGreaterThan(25);
  expect(high).toBeLessThanOrEqual(30);
});

test("a gradient that cannot be told from its noise has no scale, one without noise a scale of 0", () => {
  expect(
    noiseScale(
      [exact(0, 50), exact(0, 50)].map(({ large, small }) => ({ large: large - 1e-9, small })),
      sizes,
    ).scale,
  ).toBe(Number.POSITIVE_INFINITY);
  expect(noiseScale([exact(1, 0), exact(1, 0)], sizes).scale).toBe(0);
});

test.each([
  [[exact(1, 1)], sizes],
  [[exact(1, 1), exact(1, 1)], { small: 4, large: 4 }],
  [[exact(1, 1), exact(1, 1)], { small: 0, large: 4 }],
])("what tells nothing is refused", (pairs, sizes) => {
  expect(() => noiseScale(pairs, sizes)).toThrow("[tune/noise]");
});

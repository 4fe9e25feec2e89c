// The quantiles of Student's t against scipy.stats.t.ppf, and an interval by hand.
import { expect, test } from "vitest";
import { meanInterval, studentT } from "./student.ts";

test.each([
  [1, 12.706204736174694],
  [2, 4.302652729749462],
  [3, 3.1824463052837078],
  [4, 2.7764451051977934],
  [5, 2.5705818356363146],
  [9, 2.262157162798205],
  [10, 2.228138851986274],
  [30, 2.0422724563012378],
  [101, 1.983731002955606],
])("%i degrees of freedom", (freedom, expected) => expect(studentT(freedom) / expected).toBeCloseTo(1, 10));

test("another level", () => expect(studentT(3, 0.99)).toBeCloseTo(5.840909309733355, 9));

test("1, 2 and 6: a mean of 3, s = √7; one value has no interval", () => {
  const { mean, half, count } = meanInterval([1, 2, 6]);
  expect([mean, count]).toEqual([3, 3]);
  expect(half).toBeCloseTo(4.302652729749462 * Math.sqrt(7 / 3), 9);
  expect(meanInterval([5])).toEqual({ mean: 5, count: 1 });
});

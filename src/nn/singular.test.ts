// The largest singular vectors against matrices that were made of known ones.
import { expect, test } from "vitest";
import { fromNumbers, toNumbers } from "../base/index.ts";
import { initialize } from "./init.ts";
import { largestFactors } from "./singular.ts";

const orthogonal = (name: string, rows: number, columns: number) =>
  toNumbers(initialize("orthogonal", name, [rows, columns], "f64", 3));

test.each([
  ["tall", 40, 12],
  ["wide", 12, 40],
  ["small", 5, 5],
])("of a %s matrix: the best product of its rank", (_, rows, columns) => {
  const [size, rank] = [5, 3];
  const [u, v] = [orthogonal("u", rows, size), orthogonal("v", columns, size)];
  const values = [9, 4, 3.9, 1, 0.5];
  const product = (count: number) =>
    Array.from({ length: rows * columns }, (_, at) => {
      const [row, column] = [Math.floor(at / columns), at % columns];
      return values.slice(0, count).reduce((sum, s, i) => sum + u[row * size + i]! * s * v[column * size + i]!, 0);
    });
  const { left, right } = largestFactors(fromNumbers("f64", [rows, columns], product(size)), rank);
  const best = product(rank);
  best.forEach((value, at) => {
    const [row, column] = [Math.floor(at / columns), at % columns];
    const got = [0, 1, 2].reduce((sum, i) => sum + left[row * rank + i]! * right[i * columns + column]!, 0);
    expect(got).toBeCloseTo(value, 8);
  });
  // the parts share a singular value: √S each
  for (let i = 0; i < rank; i++) {
    let squares = 0;
    for (let row = 0; row < rows; row++) squares += left[row * rank + i]! ** 2;
    expect(squares).toBeCloseTo(values[i]!, 6);
  }
});

test("a matrix of fewer dimensions than the rank leaves the rest zero", () => {
  const { left, right } = largestFactors(fromNumbers("f64", [4, 3], [1, 2, 3, 2, 4, 6, 0, 0, 0, -1, -2, -3]), 2);
  expect(left[0]! * right[1]! + left[1]! * right[4]!).toBeCloseTo(2, 10);
  expect(left.every(Number.isFinite) && right.every(Number.isFinite)).toBe(true);
});

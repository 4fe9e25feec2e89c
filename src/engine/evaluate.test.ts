// evaluate(): numbers in, numbers out; and what is no array of numbers.
import { expect, test } from "vitest";
import { fromNumbers } from "../base/index.ts";
import { grad, uniform } from "../core/index.ts";
import { evaluate, type FeedValue, toHostArray } from "./evaluate.ts";

test("feeds are given in the order of their keys; results have shape, dtype and numbers", () => {
  const result = evaluate((a, b) => a.sub(b), { second: [[5], [7]], first: [1, 2, 3] });
  expect(result).toMatchObject({ shape: [2, 3], dtype: "f64", data: [4, 3, 2, 6, 5, 4] });
});

test("a scalar has a value, a larger result has none", () => {
  expect(evaluate((x) => x.square(), { x: 3 }).value).toBe(9);
  expect(() => evaluate((x) => x, { x: [1, 2] }).value).toThrowErrorMatchingInlineSnapshot(`
    [AthanorError: [evaluate/value] the result has more than one element
      got       shape [2]
      fix       read .data]
  `);
});

test("several results keep their names", () => {
  const { sum, none } = evaluate((x) => ({ sum: x.sum(), none: x.slice(0, 1, 1) }), { x: [1, 2, 3] });
  expect(sum.value).toBe(6);
  expect(none).toMatchObject({ shape: [0], data: [] });
});

test("derivatives nest", () => {
  const third = grad(grad(grad((x) => x.sin())));
  expect(evaluate(third, { x: 0.5 }).value).toBeCloseTo(-Math.cos(0.5), 14);
});

test("the dtype is f64 unless another is wanted; booleans are bool, host arrays what they are", () => {
  expect(evaluate((x) => x.add(0.1), { x: 0.2 }, { dtype: "f32" }).value).toBe(
    Math.fround(Math.fround(0.1) + Math.fround(0.2)),
  );
  expect(evaluate((x) => x.not(), { x: [true, false] })).toMatchObject({ dtype: "bool", data: [0, 1] });
  expect(evaluate((x) => x.add(1), { x: fromNumbers("i32", [2], [1, 2]) })).toMatchObject({
    dtype: "i32",
    data: [2, 3],
  });
  expect(evaluate((x) => x.mul(3), { x: fromNumbers("bf16", [1], [1.0078125]) }).data).toEqual([3.03125]);
  expect(evaluate((x) => x.add(x), { x: fromNumbers("i64", [1], [2 ** 40]) }).data).toEqual([2 ** 41]);
});

test("random inputs come from feeds", () => {
  const draw = (step: number) =>
    evaluate((key, rows) => uniform(key, rows, [2, 3], "s"), {
      key: fromNumbers("i32", [3], [1, 0, step]),
      rows: fromNumbers("i32", [2], [4, 5]),
    }).data;
  expect(draw(1)).toEqual(draw(1));
  expect(draw(1)).not.toEqual(draw(2));
});

test("an unused feed is no error", () => {
  expect(evaluate((x, _unused) => x, { x: 1, y: [2, 3] }).value).toBe(1);
});

test.each<[FeedValue, number[], string]>([
  [3, [], "f64"],
  [[], [0], "f64"],
  [[[], []], [2, 0], "f64"],
  [
    [
      [1, 2],
      [3, 4],
    ],
    [2, 2],
    "f64",
  ],
  [[true, false], [2], "bool"],
  [[true, 2], [2], "f64"],
])("%j becomes an array of shape %j", (value, shape, dtype) => {
  expect(toHostArray(value, "f64")).toMatchObject({ shape, dtype });
});

test.each<[string, unknown]>([
  ["rows of two lengths", [[1, 2], [3]]],
  ["a number among rows", [[1, 2], 3]],
  ["a row among numbers", [1, [2]]],
  ["deeper rows later", [[1], [[2]]]],
  ["text", ["1"]],
  ["null", null],
  ["null inside", [1, null]],
  ["nothing", undefined],
  ["undefined inside", [1, undefined, 2]],
])("%s is refused", (_, value) => {
  expect(() => toHostArray(value as FeedValue, "f64", "x")).toThrow(/evaluate\/ragged.*"x"/);
});

test("the message says where the shape breaks", () => {
  expect(() => toHostArray([[1, 2], [3]], "f64", "table")).toThrowErrorMatchingInlineSnapshot(`
    [AthanorError: [evaluate/ragged] "table" is not a rectangular array of numbers
      expected  arrays of shape [2,2]
      got       an array of 1 at depth 1
      fix       give every row the same length, and numbers or booleans only]
  `);
});

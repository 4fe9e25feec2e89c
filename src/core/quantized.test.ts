// Matrices in few bits against the published schemes written out in numpy (test/golden/quantized.py).
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import { dequantize, nf4Values, quantize } from "./quantized.ts";

const golden = JSON.parse(readFileSync("test/golden/quantized.json", "utf8"));
const { inputs, outputs } = golden;

/** The generator of test/golden/common.py. */
function grid(stream: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => {
    let x = (Math.imul(stream, 0x9e3779b1) + i) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
    x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
    return ((x ^ (x >>> 16)) >>> 16) / 65536 - 0.5;
  });
}

const second = grid(golden.stream, inputs * outputs);
const weight = fromNumbers(
  "f32",
  [inputs, outputs],
  grid(61, inputs * outputs).map((x, at) => x * second[at]!),
);
const codesOf = ({ data }: HostArray) => Buffer.from(data as Uint8Array).toString("base64");
const closeTo = (numbers: ArrayLike<number>, expected: readonly number[], relative = 1e-6) => {
  expect(numbers.length).toBe(expected.length);
  expected.forEach((value, at) =>
    expect(Math.abs(numbers[at]! - value)).toBeLessThanOrEqual(relative * Math.abs(value)),
  );
};
/** Sums over the inputs, by output. */
const sumsOf = (matrix: HostArray) => {
  const values = toNumbers(matrix);
  return Array.from({ length: outputs }, (_, j) =>
    Array.from({ length: inputs }, (_, k) => values[k * outputs + j]!).reduce((sum, value) => sum + value),
  );
};

test("the numbers of NF4 are quantiles of a normal distribution", () => {
  golden.values.forEach((value: number, at: number) => expect(nf4Values[at]).toBeCloseTo(value, 6));
});

test("int8: every code, every scale, and what they stand for", () => {
  const parts = quantize("int8", weight);
  expect(codesOf(parts.codes)).toBe(golden.int8.codes);
  closeTo(toNumbers(parts.scales), golden.int8.scales);
  sumsOf(dequantize(parts)).forEach((sum, at) => expect(sum).toBeCloseTo(golden.int8.sums[at], 5));
});

test("nf4: every code, every code of a scale, their scales and mean, and what they stand for", () => {
  const parts = quantize("nf4", weight);
  expect(codesOf(parts.codes)).toBe(golden.nf4.codes);
  expect(codesOf(parts.scaleCodes!)).toBe(golden.nf4.scaleCodes);
  closeTo(toNumbers(parts.scales), golden.nf4.scales, 1e-5);
  closeTo(toNumbers(parts.mean!), [golden.nf4.mean]);
  const whole = dequantize(parts);
  sumsOf(whole).forEach((sum, at) => expect(sum).toBeCloseTo(golden.nf4.sums[at], 5));
  const values = toNumbers(weight);
  const squares = toNumbers(whole).reduce((sum, value, at) => sum + (value - values[at]!) ** 2, 0);
  expect(squares / golden.nf4.squares).toBeCloseTo(1, 4);
});

describe.each(["int8", "nf4"] as const)("%s", (format) => {
  test("zeros stay zeros, beside numbers and alone", () => {
    const numbers = [...new Array(64).fill(0), 3, ...new Array(63).fill(0)];
    for (const values of [numbers, numbers.map(() => 0)]) {
      const column = fromNumbers("f32", [128, 1], values);
      const back = toNumbers(dequantize(quantize(format, column)));
      values.forEach((value, at) => expect(back[at]).toBeCloseTo(value, 6));
    }
  });

  test("what is quantized already keeps its codes", () => {
    const parts = quantize(format, weight);
    expect(codesOf(quantize(format, dequantize(parts)).codes)).toBe(codesOf(parts.codes));
  });

  test("a weight that is not finite is refused", () => {
    const broken = fromNumbers("f32", [2, 2], [1, Number.NaN, 2, 3]);
    expect(() => quantize(format, broken)).toThrow("[nn/quantize]");
  });
});

test("nf4 refuses an odd number of inputs, int8 takes it", () => {
  const odd = fromNumbers("f32", [3, 2], [1, 2, 3, 4, 5, 6]);
  expect(() => quantize("nf4", odd)).toThrow(/nn\/quantize[\s\S]*even number[\s\S]*\[3, 2\][\s\S]*int8/);
  expect(toNumbers(dequantize(quantize("int8", odd)))[5]).toBeCloseTo(6, 5);
});

// Half-precision conversion against numpy and PyTorch, over every half and every rounding boundary; reading and rounding.
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import golden from "../../test/golden/dtype.json" with { type: "json" };
import {
  allocate,
  byteSize,
  dtypes,
  fromBf16,
  fromF16,
  fromNumbers,
  isDType,
  isFloat,
  roundStochasticallyToBf16,
  roundTo,
  toBf16,
  toF16,
  toNumbers,
  viewOf,
} from "./dtype.ts";

const sha256 = (array: NodeJS.ArrayBufferView) => createHash("sha256").update(array).digest("hex");

const formats = [
  { name: "f16", from: fromF16, to: toF16, quietNaN: 0x7e00, expected: golden.f16 },
  { name: "bf16", from: fromBf16, to: toBf16, quietNaN: 0x7fc0, expected: golden.bf16 },
] as const;

/** The f32 words of test/golden/dtype.py: around every boundary of bf16, then around every boundary of f16. */
function boundaryWords(): Uint32Array {
  const words: number[] = [];
  for (let half = 0; half < 65536; half++) {
    for (const low of [0, 1, 0x7fff, 0x8000, 0x8001, 0xffff]) words.push(half * 65536 + low);
  }
  const word = new DataView(new ArrayBuffer(4));
  const bitsOf = (value: number) => {
    word.setFloat32(0, value);
    return word.getUint32(0);
  };
  for (let half = 0; half < 65536; half++) {
    const exact = fromF16(half);
    if (!Number.isFinite(exact)) continue;
    const next = fromF16(half + 1);
    const following = Number.isFinite(next) ? next : Math.sign(exact) * 65536;
    const middle = bitsOf((exact + following) / 2);
    words.push(bitsOf(exact), middle, middle - 1, middle + 1);
  }
  return Uint32Array.from(words);
}

describe.each(formats)("$name", ({ from, to, quietNaN, expected }) => {
  test("every half has the value that numpy or PyTorch gives it", () => {
    const values = Float64Array.from({ length: 65536 }, (_, half) => from(half));
    const bits = new BigUint64Array(values.buffer);
    for (let half = 0; half < values.length; half++) if (Number.isNaN(values[half])) bits[half] = 0x7ff8000000000000n;
    for (const [half, value] of expected.spots) expect(values[half!]).toBe(value);
    expect(sha256(values)).toBe(expected.valuesHash);
  });

  test("f32 words at and around every boundary round as there", () => {
    const words = boundaryWords();
    expect(words.length).toBe(golden.wordsCount);
    expect(sha256(words)).toBe(golden.wordsHash);
    const floats = new Float32Array(words.buffer);
    const halves = Uint16Array.from(floats, (value) => (Number.isNaN(value) ? quietNaN : to(value)));
    expect(sha256(halves)).toBe(expected.fromWordsHash);
  });

  test("every half that is not NaN survives the way there and back, and NaN stays NaN", () => {
    const wrong: number[] = [];
    for (let half = 0; half < 65536; half++) {
      const value = from(half);
      const ok = Number.isNaN(value) ? Number.isNaN(from(to(value))) : to(value) === half;
      if (!ok) wrong.push(half);
    }
    expect(wrong).toEqual([]);
  });
});

describe("rounding by chance", () => {
  test("the mean over all draws is the value, and each result is a neighbour of it", () => {
    for (const value of [1, 1 + 2 ** -23, Math.PI, -Math.E, 1e-40, -(2 ** -126), 3.3895e38, 1 - 2 ** -24].map(
      Math.fround,
    )) {
      const found = new Map<number, number>();
      for (let upper = 0; upper < 65536; upper++) {
        const rounded = roundStochasticallyToBf16(value, upper * 65536 + 12345);
        found.set(rounded, (found.get(rounded) ?? 0) + 1);
      }
      const mean = [...found].reduce((sum, [rounded, times]) => sum + (rounded * times) / 65536, 0);
      expect(mean).toBe(value);
      expect(found.size).toBe(roundTo("bf16", value) === value ? 1 : 2);
      for (const rounded of found.keys()) {
        expect(roundTo("bf16", rounded)).toBe(rounded);
        expect(Math.abs(rounded - value)).toBeLessThan(Math.max(2 ** -7 * Math.abs(value), 2 ** -133));
      }
    }
  });

  test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])("%d stays", (value) => {
    for (const word of [0, 2 ** 32 - 1]) expect(roundStochasticallyToBf16(value, word)).toBe(value);
  });
});

describe("roundTo", () => {
  test.each([
    ["f64", 0.1, 0.1],
    ["f32", 0.1, 0.10000000149011612],
    ["f16", 0.1, 0.0999755859375],
    ["bf16", 0.1, 0.10009765625],
    ["f16", 65519.99, 65504],
    ["f16", 65520, Number.POSITIVE_INFINITY],
    ["f32", 1e39, Number.POSITIVE_INFINITY],
    ["i64", -2.75, -2],
    ["i32", -2.75, -2],
    ["i32", 2 ** 31, -(2 ** 31)],
    ["u8", 257, 1],
    ["bool", 0.25, 1],
    ["bool", -0, 0],
    ["bool", Number.NaN, 1],
  ] as const)("%s holds %d as %d", (dtype, value, expected) => {
    expect(roundTo(dtype, value)).toBe(expected);
  });

  test.each(dtypes)("%s: is what storing and reading back gives", (dtype) => {
    const values = [0, -0, 1, -1, 0.5, -2.5, 3.75, 127.5, 255, 256, 1e5, -70000.25, 1e-7];
    const stored = toNumbers(fromNumbers(dtype, [values.length], values));
    // integers have one zero: `+ 0` makes it of -0 on both sides
    expect(Array.from(stored, (v) => v + 0)).toEqual(values.map((v) => roundTo(dtype, v) + 0));
  });
});

describe("host arrays", () => {
  test("bool stores NaN as true, as a comparison with zero would", () => {
    expect(Array.from(toNumbers(fromNumbers("bool", [3], [Number.NaN, 0, -0.5])))).toEqual([1, 0, 1]);
  });

  test("the number of values must be the shape's", () => {
    expect(() => fromNumbers("f32", [2, 3], [1, 2, 3, 4])).toThrowErrorMatchingInlineSnapshot(`
      [AthanorError: [shape/size] the values do not fill the shape
        expected  6 values for f32[2,3]
        got       4 values
        fix       pass as many values as the shape has elements]
    `);
    expect(fromNumbers("f32", [], [7]).data).toEqual(Float32Array.of(7));
    expect(fromNumbers("f32", [0, 3], []).data.length).toBe(0);
  });

  test.each(dtypes)("%s: sizes agree with the arrays that hold it", (dtype) => {
    expect(allocate(dtype, 3).byteLength).toBe(3 * byteSize(dtype));
    const view = viewOf(dtype, new ArrayBuffer(64), 2 * byteSize(dtype), 3);
    expect([view.byteOffset, view.length]).toEqual([2 * byteSize(dtype), 3]);
    expect(isFloat(dtype)).toBe(dtype.includes("f"));
    expect(isDType(dtype)).toBe(true);
  });

  test("other names are no element types", () => {
    for (const other of ["float32", "F32", "", undefined, 4, "constructor"]) expect(isDType(other)).toBe(false);
  });
});

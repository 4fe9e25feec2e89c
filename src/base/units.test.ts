// Numbers for people, above all where one unit ends and the next begins; and amounts of memory read back.
import { describe, expect, test } from "vitest";
import { formatBytes, formatCount, formatDuration, parseBytes } from "./units.ts";

test.each([
  [0, "0 B"],
  [1023, "1023 B"],
  [1024, "1.00 KiB"],
  [1536, "1.50 KiB"],
  [10_239, "10.0 KiB"],
  [10_240, "10.0 KiB"],
  [1024 ** 2 - 1, "1.00 MiB"],
  [1024 ** 2, "1.00 MiB"],
  [24 * 1024 ** 3, "24.0 GiB"],
  [1024 ** 5, "1024.0 TiB"],
  [-1536, "-1.50 KiB"],
])("%d bytes are %s", (bytes, expected) => {
  expect(formatBytes(bytes)).toBe(expected);
});

test.each([
  [0, "0"],
  [999, "999"],
  [1000, "1.0 k"],
  [999_949, "999.9 k"],
  [999_950, "1.0 M"],
  [124_439_808, "124.4 M"],
  [8_030_261_248, "8.0 G"],
  [174_604_259_328, "174.6 G"],
  [1.5e12, "1.5 T"],
  [-2_500, "-2.5 k"],
])("%d is counted %s", (count, expected) => {
  expect(formatCount(count)).toBe(expected);
});

test.each([
  [0, "0ms"],
  [0.0124, "12ms"],
  [0.9996, "1.0s"],
  [1, "1.0s"],
  [59.94, "59.9s"],
  [59.96, "1m 00s"],
  [60, "1m 00s"],
  [3599.4, "59m 59s"],
  [3599.6, "1h 00m"],
  [3725, "1h 02m"],
  [100 * 3600, "100h 00m"],
  [Number.POSITIVE_INFINITY, "–"],
  [Number.NaN, "–"],
])("%d seconds are %s", (seconds, expected) => {
  expect(formatDuration(seconds)).toBe(expected);
});

describe("parseBytes", () => {
  test.each([
    ["4GiB", 4 * 1024 ** 3],
    ["512 MiB", 512 * 1024 ** 2],
    [" 1.5 KiB ", 1536],
    ["77", 77],
    ["12 B", 12],
    [4096, 4096],
    [0, 0],
  ])("%o is %d bytes", (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  test.each(["", "GiB", "-1GiB", "4GB", "4 gib", "1e3", "4GiB!", Number.NaN, -1, Number.POSITIVE_INFINITY, 1.5])(
    "%o is refused",
    (text) => {
      expect(() => parseBytes(text)).toThrow("[config/bytes]");
    },
  );

  test("the message shows a good one", () => {
    expect(() => parseBytes("4GB")).toThrowErrorMatchingInlineSnapshot(`
      [AthanorError: [config/bytes] not an amount of memory
        expected  a number with B, KiB, MiB, GiB or TiB, such as "4GiB"
        got       "4GB"
        fix       write a whole number of bytes, or a number with one of these units]
    `);
  });
});

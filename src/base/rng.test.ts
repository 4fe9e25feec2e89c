// Philox against published and PyTorch's words, and the draws against what they claim: pure, uniform, normal, unbiased.
import { describe, expect, test } from "vitest";
import golden from "../../test/golden/philox.json" with { type: "json" };
import { hashName, philox, RandomStream, wordToUniform } from "./rng.ts";

/** Mean, variance, skewness and kurtosis of `count` draws. */
function moments(count: number, draw: (i: number) => number): [number, number, number, number] {
  const values = Float64Array.from({ length: count }, (_, i) => draw(i));
  const mean = values.reduce((sum, v) => sum + v, 0) / count;
  const central = (power: number) => values.reduce((sum, v) => sum + (v - mean) ** power, 0) / count;
  const variance = central(2);
  return [mean, variance, central(3) / variance ** 1.5, central(4) / variance ** 2];
}

describe("philox", () => {
  test("gives the published words and PyTorch's", () => {
    const out = new Uint32Array(4);
    for (const { counter, key, out: expected } of golden.vectors) {
      const [c0, c1, c2, c3] = counter as [number, number, number, number];
      const [k0, k1] = key as [number, number];
      expect(Array.from(philox(out, c0, c1, c2, c3, k0, k1))).toEqual(expected);
      // callers pass words as signed or unsigned
      expect(Array.from(philox(out, c0 | 0, c1 | 0, c2 | 0, c3 | 0, k0 | 0, k1 | 0))).toEqual(expected);
    }
    expect(golden.vectors.length).toBeGreaterThan(30);
  });

  test("one flipped input bit flips about half of the output bits", () => {
    const base = [0x12345678, 0x9abcdef0, 3, 4, 5, 6] as const;
    const run = (words: readonly number[]) =>
      philox(new Uint32Array(4), words[0]!, words[1]!, words[2]!, words[3]!, words[4]!, words[5]!);
    const expected = run(base);
    let flipped = 0;
    for (let bit = 0; bit < 192; bit++) {
      const words: number[] = [...base];
      words[bit >> 5]! ^= 1 << (bit & 31);
      run(words).forEach((word, i) => {
        for (let rest = (word ^ expected[i]!) >>> 0; rest !== 0; rest &= rest - 1) flipped++;
      });
    }
    // 24,576 fair coins: mean 12,288, standard deviation 78
    expect(Math.abs(flipped - 12_288)).toBeLessThan(4 * 78);
  });
});

test("stream names are hashed by FNV-1a, with its published values", () => {
  expect(hashName("")).toBe(0x811c9dc5);
  expect(hashName("a")).toBe(0xe40c292c);
  expect(hashName("foobar")).toBe(0xbf9cf968);
});

test("a word becomes a uniform number below 1 that f32 holds exactly", () => {
  expect(wordToUniform(0)).toBe(0);
  expect(wordToUniform(0xffffffff)).toBe(1 - 2 ** -24);
  for (const word of [0x100, 0xdeadbeef, 0x7fffffff])
    expect(Math.fround(wordToUniform(word))).toBe(wordToUniform(word));
});

describe("RandomStream", () => {
  test("is philox of (element / 4, row, step, stream) under the seed's two halves", () => {
    const seed = 5 * 2 ** 32 + 0xfedcba98;
    const stream = new RandomStream(seed, "dropout");
    const expected = philox(new Uint32Array(4), 2, 11, 7, hashName("dropout"), 0xfedcba98, 5);
    expect([8, 9, 10, 11].map((element) => stream.word(element, 11, 7))).toEqual(Array.from(expected));
  });

  test("a draw does not depend on the draws before it", () => {
    const fresh = (element: number, row: number, step: number) =>
      new RandomStream(42, "order").word(element, row, step);
    const used = new RandomStream(42, "order");
    const places = Array.from({ length: 200 }, (_, i) => [(i * 7) % 13, (i * 5) % 3, (i * 11) % 4] as const);
    for (const [element, row, step] of places) expect(used.word(element, row, step)).toBe(fresh(element, row, step));
  });

  test("another seed, stream, row, step or element gives another word", () => {
    const words = [
      new RandomStream(1, "a").word(0),
      new RandomStream(2, "a").word(0),
      new RandomStream(1 + 2 ** 32, "a").word(0),
      new RandomStream(-1, "a").word(0),
      new RandomStream(1, "b").word(0),
      new RandomStream(1, "a").word(0, 1),
      new RandomStream(1, "a").word(0, 0, 1),
      new RandomStream(1, "a").word(1),
      new RandomStream(1, "a").word(4),
    ];
    expect(new Set(words).size).toBe(words.length);
  });

  test.each([Number.NaN, 1.5, Number.POSITIVE_INFINITY, 2 ** 53])("refuses %d as a seed", (seed) => {
    expect(() => new RandomStream(seed, "a")).toThrow("[config/seed]");
  });

  const count = 200_000;

  test("uniform draws have the moments of the uniform distribution and fill 64 cells evenly", () => {
    const stream = new RandomStream(3, "uniform");
    const draws = Float64Array.from({ length: count }, (_, i) => stream.uniform(i % 1000, Math.floor(i / 1000)));
    const [mean, variance, skewness, kurtosis] = moments(count, (i) => draws[i]!);
    // bounds of four standard errors: 1/sqrt(12 n), 1/sqrt(180 n), and by simulation for the last two
    expect(Math.abs(mean - 1 / 2)).toBeLessThan(4 * Math.sqrt(1 / 12 / count));
    expect(Math.abs(variance - 1 / 12)).toBeLessThan(4 * Math.sqrt(1 / 180 / count));
    expect(Math.abs(skewness)).toBeLessThan(0.015);
    expect(Math.abs(kurtosis - 9 / 5)).toBeLessThan(0.015);

    const cells = new Float64Array(64);
    for (const draw of draws) cells[Math.floor(draw * 64)]! += 1;
    const chiSquare = cells.reduce((sum, n) => sum + (n - count / 64) ** 2 / (count / 64), 0);
    // 63 degrees of freedom: 99.99 % of samples lie between 28.6 and 113.5
    expect(chiSquare).toBeGreaterThan(28.6);
    expect(chiSquare).toBeLessThan(113.5);
    expect(Math.min(...draws.subarray(0, 1000))).toBeGreaterThanOrEqual(0);
  });

  test("neighbouring elements, rows and steps are not correlated", () => {
    const stream = new RandomStream(4, "pairs");
    const centred = (element: number, row: number, step: number) => stream.uniform(element, row, step) - 0.5;
    const pairs = {
      element: (i: number) => centred(i, 0, 0) * centred(i + 1, 0, 0),
      row: (i: number) => centred(0, i, 0) * centred(0, i + 1, 0),
      step: (i: number) => centred(0, 0, i) * centred(0, 0, i + 1),
    };
    for (const [name, product] of Object.entries(pairs)) {
      const sum = Array.from({ length: 50_000 }, (_, i) => product(i)).reduce((a, b) => a + b, 0);
      expect(Math.abs((sum / 50_000) * 12), name).toBeLessThan(4 / Math.sqrt(50_000));
    }
  });

  test("normal draws have the moments and the tails of the normal distribution", () => {
    const stream = new RandomStream(5, "normal");
    const draws = Float64Array.from({ length: count }, (_, i) => stream.normal(i % 1000, Math.floor(i / 1000)));
    const [mean, variance, skewness, kurtosis] = moments(count, (i) => draws[i]!);
    expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(count));
    expect(Math.abs(variance - 1)).toBeLessThan(4 * Math.sqrt(2 / count));
    expect(Math.abs(skewness)).toBeLessThan(4 * Math.sqrt(6 / count));
    expect(Math.abs(kurtosis - 3)).toBeLessThan(4 * Math.sqrt(24 / count));
    expect(draws.every(Number.isFinite)).toBe(true);
    for (const [bound, share] of [
      [1, 0.31731],
      [2, 0.0455],
      [3, 0.0027],
    ] as const) {
      const beyond = draws.filter((v) => Math.abs(v) > bound).length / count;
      expect(Math.abs(beyond - share)).toBeLessThan(4 * Math.sqrt((share * (1 - share)) / count));
    }
  });

  test("normal is Box and Muller's cosine of words 2n and 2n + 1", () => {
    const stream = new RandomStream(6, "normal");
    const u = 1 - stream.uniform(14, 2, 3);
    const v = stream.uniform(15, 2, 3);
    expect(stream.normal(7, 2, 3)).toBe(Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v));
  });

  test("below is even over bounds that do not divide 2^32, and stays below the largest", () => {
    const stream = new RandomStream(7, "below");
    for (const bound of [1, 2, 7, 10]) {
      const counts = new Float64Array(bound);
      for (let i = 0; i < 70_000; i++) counts[stream.below(bound, i)]! += 1;
      const expected = 70_000 / bound;
      const chiSquare = counts.reduce((sum, n) => sum + (n - expected) ** 2 / expected, 0);
      // 99.99 % of samples of 9 degrees of freedom lie below 33.7
      expect(chiSquare).toBeLessThan(33.8);
    }
    const large = Array.from({ length: 10_000 }, (_, i) => stream.below(2 ** 32, i));
    expect(large.every((v) => Number.isInteger(v) && v >= 0 && v < 2 ** 32)).toBe(true);
    expect(Math.max(...large)).toBeGreaterThan(0.999 * 2 ** 32);
  });
});

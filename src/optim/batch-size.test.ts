// Sizes of batches against closed forms, and that a rate over samples does not know of them.
import { describe, expect, test } from "vitest";
import { parseConfig } from "../base/index.ts";
import {
  type BatchSizeConfig,
  type BatchState,
  batchSizeSchema,
  clockOf,
  couplings,
  createBatchSizes,
  namedSizes,
  parseSchedule,
} from "./index.ts";

const at = (samples: number) => ({ step: samples / 2, samples, tokens: 10 * samples, epoch: samples / 100 });
const parsed = (config: unknown): BatchSizeConfig => parseConfig(batchSizeSchema, config, "batch.size");
const sizesOf = (config: unknown, options = {}) => createBatchSizes(parsed(config), options);

describe("the rows of a step", () => {
  test("of a fixed batch are one number", () => {
    const sizes = sizesOf(24);
    expect([sizes.at(at(0)), sizes.at(at(1e9)), sizes.sizes, sizes.describe()]).toEqual([24, 24, [24], "24 rows"]);
  });

  test("of stages change at their boundaries, in the unit declared", () => {
    const sizes = sizesOf({ staged: { sizes: [32, 64, 16], boundaries: [100, 300] } });
    expect([0, 99, 100, 299, 300, 1e9].map((samples) => sizes.at(at(samples)))).toEqual([32, 32, 64, 64, 16, 16]);
    expect(sizes.sizes).toEqual([16, 32, 64]);
    const inTokens = sizesOf({ staged: { sizes: [32, 64], boundaries: [1000], unit: "tokens" } });
    expect([99, 100].map((samples) => inTokens.at(at(samples)))).toEqual([32, 64]);
    expect([...sizes.boundaries()]).toEqual([
      { position: 100, what: "64 rows" },
      { position: 300, what: "16 rows" },
    ]);
  });

  test.each([
    ["up", { from: 32, to: 500, factor: 2 }, 1, (times: number) => Math.min(500, 32 * 2 ** times)],
    ["down", { from: 512, to: 64, factor: 0.5 }, 64, (times: number) => Math.max(64, 512 / 2 ** times)],
    [
      "up by less than double",
      { from: 32, to: 320, factor: 1.5 },
      32,
      (times: number) => Math.min(320, 32 * Math.floor(1.5 ** times)),
    ],
  ])("of an exponential %s are from · factor^⌊t / every⌋ in whole multiples", (_, settings, multipleOf, rows) => {
    const sizes = sizesOf({ exponential: { ...settings, every: 1000 } }, { multipleOf });
    for (let samples = 0; samples < 12_000; samples += 125)
      expect(sizes.at(at(samples)), `${samples} samples`).toBe(rows(Math.floor(samples / 1000)));
  });

  test.each([
    ["up", 64, 512],
    ["down", 512, 64],
  ])("of a ramp %s are a line in whole multiples", (_, from, to) => {
    const sizes = sizesOf({ ramp: { from, to, over: 7000 } }, { multipleOf: 64 });
    for (let samples = 0; samples <= 8000; samples += 125) {
      const exact = from + ((to - from) * Math.min(samples, 7000)) / 7000;
      const rows = sizes.at(at(samples));
      expect(rows % 64).toBe(0);
      expect(Math.abs(rows - exact), `${samples} samples`).toBeLessThan(64);
      expect(sizes.at(at(samples + 125)) - rows).toSatisfy((change: number) => change * (to - from) >= 0);
    }
    expect([0, 7000].map((samples) => sizes.at(at(samples)))).toEqual([from, to]);
    const boundaries = [...sizes.boundaries()];
    expect(boundaries.map(({ position }) => position)).toEqual([1, 2, 3, 4, 5, 6, 7].map((one) => 1000 * one));
    for (const { position, what } of boundaries) expect(`${sizes.at(at(position))} rows`).toBe(what);
  });

  test("above the rows of the data are cut to whole multiples of what there is", () => {
    const sizes = sizesOf({ staged: { sizes: [10, 100, 1000], boundaries: [50, 500] } }, { multipleOf: 10, most: 47 });
    expect([0, 50, 500].map((samples) => sizes.at(at(samples)))).toEqual([10, 40, 40]);
    expect(sizes.sizes).toEqual([10, 40]);
    const [up, down] = [[8, 15] as const, [15, 8] as const].map(([from, to]) =>
      sizesOf({ ramp: { from, to, over: 10 } }, { multipleOf: 4, most: 12 }),
    );
    expect([0, 9, 10, 1e9].map((samples) => up!.at(at(samples)))).toEqual([8, 8, 12, 12]);
    expect([0, 9, 10, 1e9].map((samples) => down!.at(at(samples)))).toEqual([12, 12, 8, 8]);
    expect([up!.sizes, down!.sizes]).toEqual([
      [8, 12],
      [8, 12],
    ]);
  });
});

describe("a size that adapts", () => {
  const config = { adaptive: { from: 16, to: 256, every: 64, smoothing: 0.5 } };
  /** Norms over `rows` and over 8 rows, of a gradient of |G|² = 1 and this variance. */
  const step = (rows: number, variance: number) => ({
    norms: { large: 1 + variance / rows, small: 1 + variance / 8 },
    rows,
    microbatch: 8,
  });

  test("goes to the noise scale, at most twice as far at a time, and only when it is due", () => {
    const sizes = sizesOf(config, { multipleOf: 8 });
    let state: BatchState | undefined;
    const rows: number[] = [];
    for (let samples = 0; samples < 800; ) {
      const now = sizes.at(at(samples), state);
      rows.push(now);
      samples += now;
      state = sizes.measure!(state, step(now, 100), at(samples));
    }
    expect(rows.slice(0, 9)).toEqual([16, 16, 16, 16, 32, 32, 64, 104, 104]); // 100 in multiples of 8
    state = sizes.measure!(state, { norms: { large: 1, small: 1 }, rows: 104, microbatch: 8 }, at(10_000));
    expect(state.rows).toBe(56); // half the noise is gone: 50 in multiples of 8
    expect(sizesOf(config, { multipleOf: 8 }).at(at(10_000))).toBe(16);
  });

  test("keeps to its bounds, also where no gradient can be told from the noise", () => {
    const sizes = sizesOf(config, { multipleOf: 8 });
    let state: BatchState | undefined;
    for (let due = 1; due < 9; due++)
      state = sizes.measure!(state, { norms: { large: 0.1, small: 9 }, rows: 16, microbatch: 8 }, at(64 * due));
    expect([state!.rows, state!.squaredNorm < 0]).toEqual([256, true]);
    for (let due = 9; due < 40; due++) state = sizes.measure!(state, step(16, 0), at(64 * due));
    expect(state!.rows).toBe(16);
  });
});

test("rates over samples are byte-equal for fixed, growing and staged batches", () => {
  const rate = parseSchedule({ cosine: { peak: 3e-4, warmup: 256, total: 4096, unit: "samples" } });
  const tables = [
    16,
    { exponential: { from: 16, to: 128, factor: 2, every: 512 } },
    { staged: { sizes: [32, 128, 16], boundaries: [512, 2048] } },
  ].map((config) => {
    const clock = clockOf(sizesOf(config), { itemsPerRow: 4, samplesPerEpoch: 1000 });
    const steps = Array.from({ length: 400 }, (_, step) => clock(step));
    return new Map(steps.map((one) => [one.samples, rate.at(one)]));
  });
  const common = [...tables[0]!.keys()].filter((samples) => samples <= 4096 && tables.every((one) => one.has(samples)));
  expect(common.length).toBeGreaterThan(20);
  for (const samples of common) expect(new Set(tables.map((table) => table.get(samples))).size).toBe(1);
});

test("a coupled rate follows the size or its root", () => {
  expect([couplings.none(), couplings.linear(128, 32), couplings.sqrt(128, 32)]).toEqual([1, 4, 2]);
});

test.each<[unknown, RegExp]>([
  [0, /greater than 0/],
  [1.5, /expected a whole number/],
  [{ exponential: { from: 8, to: 64, factor: 0.5, every: 10 } }, /factor: must lead from 8 to 64, got 0\.5/],
  [{ exponential: { from: 64, to: 8, factor: 2, every: 10 } }, /must lead from 64 to 8/],
  [{ exponential: { from: 8, to: 64, factor: 1 + 1e-9, every: 10 } }, /from 8 to 64 in at most 10000 changes/],
  [{ exponential: { from: 8, to: 64, factor: 1, every: 10 } }, /got 1/],
  [{ staged: { sizes: [8, 16], boundaries: [] } }, /expected 1 rising positions/],
  [{ staged: { sizes: [8, 16, 8], boundaries: [20, 10] } }, /rising/],
  [{ adaptive: { from: 8, to: 8, every: 10 } }, /must be above from \(8\)/],
  [{ ramp: { from: 8, to: 16, over: 0 } }, /greater than 0/],
  [{ rampe: { from: 8 } }, /did you mean ramp/],
])("%j is refused", (config, message) => {
  expect(() => parsed(config)).toThrow(message);
});

test("a size that is not made of whole microbatches is refused", () => {
  const sizes = { staged: { sizes: [32, 48], boundaries: [100] } };
  expect(namedSizes(parsed(sizes))).toEqual([32, 48]);
  expect(() => sizesOf(sizes, { multipleOf: 32 })).toThrow(/config\/microbatch[\s\S]*multiples of 32[\s\S]*48/);
});

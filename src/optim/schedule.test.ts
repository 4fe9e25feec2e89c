// Schedules against their closed forms, and the settings that must be refused before a run begins.
import { expect, test } from "vitest";
import {
  type Clock,
  clockAt,
  constantSchedule,
  joinSchedules,
  linearSchedule,
  parseSchedule,
  validateSchedule,
  warmUp,
} from "./index.ts";

const at = (step: number): Clock => ({ step, samples: step * 8, tokens: step * 800, epoch: step / 50 });

test("a number is a constant", () => {
  const schedule = parseSchedule(3e-4);
  expect([0, 1, 1e6].map((step) => schedule.at(at(step)))).toEqual([3e-4, 3e-4, 3e-4]);
});

test("cosine with warm-up equals its closed form at every step", () => {
  const schedule = parseSchedule({ cosine: { peak: 2, warmup: 10, total: 110, floor: 0.5 } });
  for (let step = 0; step <= 150; step++) {
    const progress = Math.min(1, (step - 10) / 100);
    const wanted = step < 10 ? (2 * step) / 10 : 0.5 + 0.75 * (1 + Math.cos(Math.PI * progress));
    expect(schedule.at(at(step))).toBeCloseTo(wanted, 14);
  }
  expect(schedule.at(at(10))).toBe(2);
  expect(schedule.at(at(60))).toBeCloseTo(1.25, 14); // half-way between peak and floor
  expect(schedule.at(at(110))).toBe(0.5);
});

test("linear decay takes the run's length as its end", () => {
  const schedule = parseSchedule({ linear: { peak: 1, warmup: 4 } }, { steps: 12 });
  expect([0, 1, 2, 3, 4, 6, 8, 11, 12].map((step) => schedule.at(at(step)))).toEqual([
    0, 0.25, 0.5, 0.75, 1, 0.75, 0.5, 0.125, 0,
  ]);
  expect(() => parseSchedule({ linear: { peak: 1 } })).toThrow("a decay needs an end");
  expect(() => parseSchedule({ linear: { peak: 1, warmup: 12 } }, { steps: 12 })).toThrow(
    "the run is over before the warm-up is",
  );
});

test("a run shorter than its warm-up: the setting is named, and the fix it tells is one", () => {
  const value = { cosine: { peak: 1, warmup: 60 } };
  for (const [steps, fix] of [
    [50, "--set optimizer.adamw.lr.cosine.warmup=5, or --set steps=61 or more"],
    [0, "--set steps=61 or more"],
  ] as const)
    expect(() => parseSchedule(value, { steps, where: "optimizer.adamw.lr" })).toThrow(
      expect.objectContaining({ where: "optimizer.adamw.lr.cosine.warmup", fix }),
    );
  for (const [warmup, steps] of [
    [5, 50],
    [60, 61],
  ])
    expect(parseSchedule({ cosine: { peak: 1, warmup } }, { steps: steps! }).startsAtZero).toBe(true);
});

test("units: the same decay by samples, tokens and epochs", () => {
  const bySteps = parseSchedule({ cosine: { peak: 1, warmup: 25, total: 100 } });
  for (const [unit, scale] of [
    ["samples", 8],
    ["tokens", 800],
    ["epochs", 1 / 50],
  ] as const) {
    const schedule = parseSchedule({ cosine: { peak: 1, warmup: 25 * scale, total: 100 * scale, unit } });
    expect(schedule.unit).toBe(unit);
    for (let step = 0; step <= 120; step += 7) expect(schedule.at(at(step))).toBeCloseTo(bySteps.at(at(step)), 12);
    expect(() => parseSchedule({ cosine: { peak: 1, unit } }, { steps: 100 })).toThrow(`a number of ${unit}`);
  }
});

test("piecewise: a boundary belongs to the piece that it begins", () => {
  const schedule = parseSchedule({ piecewise: { values: [0.01, 0.1, 0.001], boundaries: [100, 500] } });
  expect([0, 99, 100, 499, 500, 9999].map((step) => schedule.at(at(step)))).toEqual([
    0.01, 0.01, 0.1, 0.1, 0.001, 0.001,
  ]);
  const joined = joinSchedules([constantSchedule(1), linearSchedule({ peak: 1, start: 10, total: 20 })], [10], "steps");
  expect([9, 10, 15, 20].map((step) => joined.at(at(step)))).toEqual([1, 1, 0.5, 0]);
  expect(joined.describe()).toBe("1; from 10 steps linear from 1 to 0, steps 10 to 20");
});

test("warm-up meets what follows it without a jump", () => {
  const schedule = warmUp(5, linearSchedule({ peak: 1, total: 10 })); // the decay has begun meanwhile
  expect(schedule.at(at(4))).toBeCloseTo(0.4, 15);
  expect(schedule.at(at(5))).toBe(0.5);
});

test("rates that are negative, not a number, or 0 where none was declared are refused for the whole run", () => {
  const sinking = { ...constantSchedule(1), at: ({ step }: Clock) => 0.1 - 0.03 * Math.floor(step / 100) };
  expect(() => validateSchedule(sinking, 400)).not.toThrow();
  expect(() => validateSchedule(sinking, 401)).toThrow(/not a positive number[\s\S]*-0.01\d* at step 400 of 401/);
  expect(() => validateSchedule({ ...sinking, at: () => Number.NaN }, 1)).toThrow("NaN at step 0 of 1");
  expect(() => validateSchedule({ ...sinking, at: () => Number.POSITIVE_INFINITY }, 1)).toThrow("Infinity");
  expect(() => validateSchedule({ ...sinking, at: () => 0 }, 1)).toThrow("the learning rate becomes 0");

  validateSchedule(parseSchedule({ linear: { peak: 1, warmup: 4 } }, { steps: 12 }), 12);
  validateSchedule(parseSchedule({ linear: { peak: 1, total: 11 } }), 12); // reaches 0 at the last step: declared
  expect(() => validateSchedule(parseSchedule({ linear: { peak: 1, total: 11 } }), 13)).toThrow(
    "make total as long as the run",
  );
});

test("a schedule in tokens is checked on the run's clock", () => {
  const schedule = parseSchedule({ linear: { peak: 1, total: 1000, unit: "tokens" } });
  const rates = { samplesPerStep: 10, tokensPerStep: 100, samplesPerEpoch: 40 };
  validateSchedule(schedule, 11, rates);
  expect(() => validateSchedule(schedule, 12, rates)).toThrow("0 at step 10 of 12");
  expect(() => validateSchedule(schedule, 11)).toThrow("needs to know how fast");
  expect(clockAt(6, rates)).toEqual({ step: 6, samples: 60, tokens: 600, epoch: 1.5 });
});

test("wrong schedules say what is wrong", () => {
  for (const [value, message] of [
    [0, "must be greater than 0, got 0"],
    [Number.NaN, /expected number.*got NaN/],
    ["fast", /got "fast"/],
    [{ cosin: { peak: 1 } }, "did you mean cosine?"],
    [{ cosine: { peak: 1, warm_up: 3 } }, "cosine.warm_up: unknown key; did you mean warmup?"],
    [{ cosine: { peak: -1, total: 5 } }, "cosine.peak: must be greater than 0, got -1"],
    [{ cosine: { peak: 1, total: 5, warmup: 9 } }, "cosine.total: must be greater than warmup (9), got 5"],
    [{ linear: { peak: 1, total: 5, floor: 2 } }, "linear.floor: must not be above peak (1), got 2"],
    [{ piecewise: { values: [1, 2], boundaries: [] } }, "piecewise.boundaries: expected 1 rising positions"],
  ] as const) {
    expect(() => parseSchedule(value)).toThrow(message);
  }
});

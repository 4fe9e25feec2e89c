// Schedules against other libraries and their closed forms, and the settings that must be refused before a run begins.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import type { Clock } from "../base/index.ts";
import {
  clampSchedule,
  clockOf,
  constantSchedule,
  cosineSchedule,
  createBatchSizes,
  type EvaluatedLoss,
  joinSchedules,
  linearSchedule,
  parseSchedule,
  plateauSchedule,
  type ScheduleInput,
  scaleSchedule,
  scheduleNames,
  startAt,
  validateSchedule,
  warmUp,
} from "./index.ts";

interface Golden {
  readonly by: string;
  readonly steps: number;
  readonly config: { readonly [name: string]: unknown };
  readonly losses: readonly number[];
  readonly rates: readonly number[];
}
const { schedules, plateaus } = JSON.parse(readFileSync("test/golden/schedules.json", "utf8")) as {
  readonly [kind: string]: readonly Golden[];
};

const at = (step: number): Clock => ({ step, samples: step * 8, tokens: step * 800, epoch: step / 50 });

test.each(schedules!)("$by: $config at every step", ({ config, steps, rates }) => {
  const schedule = parseSchedule(config, { steps });
  const ours = rates.map((_, step) => schedule.at(at(step)));
  assertClose(ours, rates, { absolute: 1e-15, relative: 1e-12, what: schedule.describe() });
});

test.each(plateaus!)("$by: $config on the evaluations made so far", ({ config, losses, rates }) => {
  const schedule = parseSchedule(config);
  expect(schedule.needsEvaluations).toBe(true);
  const evaluations = losses.map((loss, step) => ({ step, loss }));
  const ours = rates.map((_, made) => schedule.at(at(made), evaluations.slice(0, made)));
  assertClose(ours, rates, { absolute: 1e-15, what: schedule.describe() });
});

test("every schedule that a recipe may name is held to golden rates", () => {
  const held = [...schedules!, ...plateaus!].flatMap(({ config }) => Object.keys(config));
  expect([...new Set(held)].sort()).toEqual([...scheduleNames].sort());
});

test("a plateau halves the rate once; the cooldown is obeyed, and a loss that is not finite is no improvement", () => {
  const schedule = plateauSchedule({ peak: 1, patience: 3, cooldown: 4 });
  const rates = (losses: readonly (number | null)[]) =>
    losses.map((_, made) =>
      schedule.at(
        at(0),
        losses.slice(0, made + 1).map((loss, step): EvaluatedLoss => ({ step, loss })),
      ),
    );
  expect(rates([1, 1, 1, 1])).toEqual([1, 1, 1, 0.5]);
  expect(rates([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])).toEqual([1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.25]);
  expect(rates([1, null, null, null])).toEqual([1, 1, 1, 0.5]);
  expect(rates([1, 0.9, 0.8, 0.7, 0.6])).toEqual([1, 1, 1, 1, 1]);
});

test("the algebra: scaled, clamped, counted from a later start", () => {
  const line = linearSchedule({ peak: 1, total: 10 });
  expect([0, 5, 10].map((step) => scaleSchedule(0.5, line).at(at(step)))).toEqual([0.5, 0.25, 0]);
  const clamped = clampSchedule({ min: 0.2, max: 0.6 }, line);
  expect([0, 5, 10].map((step) => clamped.at(at(step)))).toEqual([0.6, 0.5, 0.2]);
  expect(() => clampSchedule({ min: 1, max: 0 }, line)).toThrow("wrong way round");
  const later = startAt(4, line);
  expect([0, 4, 9, 14].map((step) => later.at(at(step)))).toEqual([1, 1, 0.5, 0]);
  expect([later.endsAtZero, later.describe()]).toEqual([14, "counted from 4 steps: linear from 1 to 0, steps 0 to 10"]);
  const warm = warmUp(4, startAt(4, cosineSchedule({ peak: 1, total: 6 })));
  expect([2, 4, 7, 10].map((step) => warm.at(at(step)))).toEqual([0.5, 1, expect.closeTo(0.5, 15), 0]);
});

test("steps by a factor change first at the boundary, not at 0; a subtraction that reaches 0 is refused with the reason", () => {
  const step = parseSchedule({ step: { peak: 0.1, factor: 0.9, every: 100 } });
  expect([0, 1, 99, 100, 199, 200].map((one) => step.at(at(one)))).toEqual([
    0.1,
    0.1,
    0.1,
    0.1 * 0.9,
    0.1 * 0.9,
    0.1 * 0.9 ** 2,
  ]);
  const sinking = parseSchedule({ subtract: { peak: 0.1, amount: 0.03, every: 100 } });
  expect(sinking.at(at(399))).toBeCloseTo(0.01, 15);
  expect(() => validateSchedule(sinking, 401)).toThrow(/not a positive number[\s\S]*at step 400[\s\S]*give a floor/);
  validateSchedule(parseSchedule({ subtract: { peak: 0.1, amount: 0.1, every: 100, floor: 0.01 } }), 1000);
  const toZero = parseSchedule({ subtract: { peak: 0.5, amount: 0.25, every: 10 } });
  expect(() => validateSchedule(toZero, 100)).toThrow("the learning rate becomes 0");
});

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
  const onClock = clockOf(createBatchSizes(10), { itemsPerRow: 10, samplesPerEpoch: 40 });
  validateSchedule(schedule, 11, onClock);
  expect(() => validateSchedule(schedule, 12, onClock)).toThrow("0 at step 10 of 12");
  expect(() => validateSchedule(schedule, 11)).toThrow("needs to know how fast");
  expect(onClock(6)).toEqual({ step: 6, samples: 60, tokens: 600, epoch: 1.5 });
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
    [{ table: { positions: [0, 0], values: [1, 2] } }, "table.positions: expected 2 rising positions, one per value"],
    [{ join: { parts: [1, 2], boundaries: [3, 1] } }, "join.boundaries: expected 1 rising positions"],
    [
      { join: { parts: [1, { linear: { peak: 1, unit: "tokens" } }], boundaries: [3] } },
      "join.unit: a part counts tokens",
    ],
    [{ join: { parts: [{ join: { parts: [1], boundaries: [] } }], boundaries: [] } }, "join: unknown key"],
    [{ scale: { by: 2, of: { linear: { peak: 1 } } } }, "a decay needs an end"],
    [{ inverseSqrt: { peak: 1 } }, "inverseSqrt.timescale: missing"],
    [{ plateau: { peak: 1, factor: 1 } }, "plateau.factor: must be less than 1, got 1"],
    [{ exponential: { peak: 1, factor: -0.5, every: 1 } }, "exponential.factor: must be greater than 0"],
    [{ oneCycle: { peak: 1, total: 9, floor: 2 } }, "oneCycle.floor: must not be above peak (1), got 2"],
    [{ cosineRestarts: { peak: 1, period: 9, growth: 0.5 } }, "cosineRestarts.growth: must be at least 1"],
  ] as const) {
    expect(() => parseSchedule(value as ScheduleInput), JSON.stringify(value)).toThrow(message);
  }
});

// Boundaries of schedules against closed forms, and where they fall on a run's clock.
import { expect, test } from "vitest";
import {
  type Boundary,
  clampSchedule,
  clockOf,
  cosineSchedule,
  createBatchSizes,
  joinSchedules,
  mostBoundaries,
  parseSchedule,
  type Schedule,
  type ScheduleInput,
  scaleSchedule,
  scheduleCurve,
  startAt,
  validateSchedule,
  warmUp,
} from "./index.ts";

const onClock = clockOf(createBatchSizes(8), { itemsPerRow: 100, samplesPerEpoch: 400 });

/** The first `count` boundaries as [what, position]. */
function first(schedule: Schedule, count: number): (readonly [string, number])[] {
  const found: Boundary[] = [];
  for (const boundary of schedule.boundaries?.() ?? []) {
    if (found.length === count) break;
    found.push(boundary);
  }
  return found.map(({ what, position }) => [what, position] as const);
}

const warm = [
  ["warm-up begins", 0],
  ["warm-up ends", 10],
] as const;

test.each<[ScheduleInput, (readonly [string, number])[]]>([
  [0.1, []],
  [{ constant: { value: 1, warmup: 10 } }, [...warm]],
  [{ cosine: { peak: 1, warmup: 10, total: 90 } }, [...warm, ["decay ends", 90]]],
  [{ linear: { peak: 1, total: 90 } }, [["decay ends", 90]]],
  [{ polynomial: { peak: 1, power: 2, total: 90 } }, [["decay ends", 90]]],
  [{ stableDecay: { peak: 1, warmup: 10, total: 90, decay: 20 } }, [...warm, ["decay begins", 70], ["decay ends", 90]]],
  [
    { oneCycle: { peak: 1, total: 80, rise: 0.25 } },
    [
      ["peak", 20],
      ["decay ends", 80],
    ],
  ],
  [{ exponential: { peak: 1, factor: 0.5, every: 30 } }, []],
  [{ step: { peak: 1, factor: 0.5, every: 30, warmup: 10 } }, [...warm, ["× 0.5", 40], ["× 0.5", 70], ["× 0.5", 100]]],
  [
    { subtract: { peak: 1, amount: 0.1, every: 7, floor: 0.1 } },
    [1, 2, 3, 4, 5].map((times) => ["− 0.1", 7 * times] as const),
  ],
  [{ inverseTime: { peak: 1, rate: 1, every: 5, warmup: 10 } }, [...warm]],
  [{ inverseSqrt: { peak: 1, warmup: 10 } }, [...warm]],
  [
    { cosineRestarts: { peak: 1, period: 5, growth: 2, warmup: 10 } }, // 5 · (2^k − 1) after the warm-up
    [...warm, ["restart 1", 15], ["restart 2", 25], ["restart 3", 45]],
  ],
  [
    { cosineRestarts: { peak: 1, period: 5 } },
    [1, 2, 3, 4, 5].map((cycle) => [`restart ${cycle}`, 5 * cycle] as const),
  ],
  [
    { cyclic: { floor: 0.1, peak: 1, rise: 3, fall: 4 } },
    [
      ["peak 1", 3],
      ["cycle 2 begins", 7],
      ["peak 2", 10],
      ["cycle 3 begins", 14],
      ["peak 3", 17],
    ],
  ],
  [{ plateau: { peak: 1, warmup: 10 } }, [...warm]],
  [
    { piecewise: { values: [0.1, 0.01, 1], boundaries: [20, 50] } },
    [
      ["part 2 begins", 20],
      ["part 3 begins", 50],
    ],
  ],
  [
    { table: { positions: [0, 5, 9], values: [1, 2, 3] } },
    [
      ["value 1 of 3", 0],
      ["value 2 of 3", 5],
      ["value 3 of 3", 9],
    ],
  ],
  [
    // the endless restarts of a part end with it; a part's own positions are counted from where it begins
    {
      join: {
        parts: [{ cosineRestarts: { peak: 1, period: 8 } }, { cosine: { peak: 1, warmup: 4, total: 14 } }],
        boundaries: [20],
      },
    },
    [
      ["restart 1", 8],
      ["restart 2", 16],
      ["part 2 begins", 20],
      ["warm-up begins", 20],
      ["warm-up ends", 24],
    ],
  ],
  [{ scale: { by: 2, of: { linear: { peak: 1, total: 90 } } } }, [["decay ends", 90]]],
  [{ clamp: { min: 0.1, of: { linear: { peak: 1, warmup: 10, total: 90 } } } }, [...warm, ["decay ends", 90]]],
])("the first boundaries of %j", (config, wanted) => {
  expect(first(parseSchedule(config), 5)).toEqual(wanted);
});

test("the algebra carries boundaries on: moved by startAt, cut by warmUp and join", () => {
  const decay = cosineSchedule({ peak: 1, total: 20 });
  const moved = startAt(30, scaleSchedule(2, clampSchedule({ min: 0.1 }, decay)));
  expect(first(moved, 9)).toEqual([["decay ends", 50]]);
  expect(first(warmUp(20, decay), 9)).toEqual([
    ["warm-up begins", 0],
    ["warm-up ends", 20],
  ]);
  const inTokens = cosineSchedule({ peak: 1, total: 5, unit: "tokens" });
  expect(first(joinSchedules([inTokens, moved], [9], "steps"), 9)).toEqual([
    ["part 2 begins", 9],
    ["decay ends", 50],
  ]);
});

test.each([
  ["steps", 1],
  ["samples", 8],
  ["tokens", 800],
  ["epochs", 1 / 50],
] as const)("boundaries in %s fall on the first step at or past them", (unit, perStep) => {
  const schedule = parseSchedule({
    cosine: { peak: 1, warmup: 9.5 * perStep, total: 100 * perStep, floor: 0.1, unit },
  });
  const { boundaries, points } = scheduleCurve({ ...schedule, name: "rate" }, 60, onClock, 4);
  expect(boundaries).toMatchObject([
    { what: "warm-up begins", position: 0, unit, point: { step: 0, samples: 0, tokens: 0, value: 0 } },
    { what: "warm-up ends", position: 9.5 * perStep, unit, point: { step: 10, samples: 80, tokens: 8000 } },
    { what: "decay ends", position: 100 * perStep, unit, point: null }, // after 60 steps
  ]);
  expect(points.map(({ step }) => step)).toEqual([0, 9, 10, 20, 39, 59]);
  for (const { step, samples, tokens, value } of points)
    expect([samples, tokens, value]).toEqual([8 * step, 800 * step, schedule.at(onClock(step))]);
});

test("boundaries without end are told up to the first that the run does not reach, and not without end", () => {
  const restarts = parseSchedule({ cosineRestarts: { peak: 1, period: 20 } });
  const told = scheduleCurve({ ...restarts, name: "rate" }, 50, onClock).boundaries.map(({ position, point }) => [
    position,
    point?.step,
  ]);
  expect(told).toEqual([
    [20, 20],
    [40, 40],
    [60, undefined],
  ]);
  const steps = parseSchedule({ step: { peak: 1, factor: 0.9, every: 1e-6 } });
  expect(scheduleCurve({ ...steps, name: "rate" }, 50, onClock).boundaries).toHaveLength(mostBoundaries);
});

test("a part of a join may start from nothing, in the middle of a run; nothing else may be 0 there", () => {
  const parts = [{ constant: { value: 1 } }, { linear: { peak: 1, warmup: 5 } }];
  const joined = parseSchedule({ join: { parts, boundaries: [20] } }, { steps: 50 });
  expect(joined.at(onClock(20))).toBe(0);
  validateSchedule(joined, 50, onClock);
  const zero = { ...joined, boundaries: () => [{ position: 20, what: "part 2 begins" }] };
  expect(() => validateSchedule(zero, 50, onClock)).toThrow("0 at step 20 of 50");
});

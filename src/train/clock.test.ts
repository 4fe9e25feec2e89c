// The clock of a run, step by step, is the closed form that schedules are checked against before the run.
import { expect, test } from "vitest";
import { clockStart } from "../base/index.ts";
import { clockOf, createBatchSizes } from "../optim/index.ts";
import { advance } from "./clock.ts";

test("counts steps, rows, tokens and passes", () => {
  const one = advance(clockStart, 4, 16, 10);
  expect(one).toEqual({ step: 1, samples: 4, tokens: 64, epoch: 0.4 });
  expect(advance(one, 6, 16, 10)).toEqual({ step: 2, samples: 10, tokens: 160, epoch: 1 });
});

test.each([
  ["one size", 7],
  ["a ramp", { ramp: { from: 4, to: 20, over: 900, unit: "tokens" } }],
] as const)("agrees with the clock that schedules are checked on, of %s", (_, config) => {
  const sizes = createBatchSizes(config);
  const clockAt = clockOf(sizes, { itemsPerRow: 13, samplesPerEpoch: 33 });
  let clock = clockStart;
  for (let step = 0; step < 200; step++, clock = advance(clock, sizes.at(clock), 13, 33))
    expect(clock).toEqual(clockAt(step));
});

// The clock of a run, step by step, is the closed form that schedules are checked against before the run.
import { expect, test } from "vitest";
import { clockAt } from "../optim/index.ts";
import { advance, clockStart } from "./clock.ts";

test("counts steps, rows, tokens and passes", () => {
  const one = advance(clockStart, 4, 16, 10);
  expect(one).toEqual({ step: 1, samples: 4, tokens: 64, epoch: 0.4 });
  expect(advance(one, 6, 16, 10)).toEqual({ step: 2, samples: 10, tokens: 160, epoch: 1 });
});

test("agrees with the closed form at every step", () => {
  const rates = { samplesPerStep: 7, tokensPerStep: 91, samplesPerEpoch: 33 };
  let clock = clockStart;
  for (let step = 0; step < 200; step++, clock = advance(clock, 7, 13, 33)) expect(clock).toEqual(clockAt(step, rates));
});

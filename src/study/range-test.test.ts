// The range test on losses that are made up: what it calls stable, what it suggests, and what it refuses.
import { expect, test } from "vitest";
import { rangeTest, type Trial } from "./range-test.ts";

/** Gradient descent on x²/2 from x = 1, which trains below 2; beside it what a batch adds, whatever the rate. */
function parabola(noise = 0, first = 0): Trial & { rates: number[] } {
  let [x, at] = [1, 0];
  const rates: number[] = [];
  return {
    rates,
    restart: () => {
      [x, at] = [1, 0];
    },
    step: async (lr) => {
      rates.push(lr);
      const loss = (x * x) / 2 + noise * (1 + Math.sin(first + at++));
      x -= lr * x;
      return Number.isFinite(x) ? loss : Number.NaN;
    },
  };
}

test.each([0, 0.01])("the edge of a parabola is 2, with noise %d", async (noise) => {
  const { stable, unstable, suggestion, points } = await rangeTest(parabola(noise), { from: 1e-3, to: 100 });
  expect(stable).toBeLessThan(2);
  expect(unstable).toBeGreaterThan(2);
  expect(unstable! / stable).toBeLessThan(1.16);
  expect(suggestion).toBeLessThanOrEqual(stable / 2);
  expect(points.length).toBeLessThan(100); // the sweep ends where it has diverged
  expect(points[0]).toMatchObject({ lr: 1e-3, loss: 0.5 + noise });
  expect(points[0]!.smoothed).toBeCloseTo(0.5 + noise, 3);
});

test("batches that differ far more than the first rates train change neither the edge nor the suggestion", async () => {
  const options = { from: 1e-6, to: 100 };
  const quiet = await rangeTest(parabola(), options);
  for (const first of [0, 2, 4]) {
    const noisy = await rangeTest(parabola(0.3, first), options);
    expect(noisy.stable).toBe(quiet.stable);
    expect(noisy.steepest).toBe(quiet.steepest);
  }
});

test("the sweep rises by one factor, and begins anew for each trial", async () => {
  const trial = parabola();
  const { points } = await rangeTest(trial, { from: 0.01, to: 1, steps: 21, trialSteps: 4 });
  points.forEach(({ lr }, at) => expect(lr).toBeCloseTo(0.01 * 100 ** (at / 20), 12));
  expect(new Set(trial.rates.slice(0, 21))).toEqual(new Set([0]));
  expect(new Set(trial.rates.slice(42, 46))).toEqual(new Set([0.01]));
});

test("a range that trains throughout has no edge", async () => {
  const found = await rangeTest(parabola(), { from: 1e-3, to: 1 });
  expect(found).toMatchObject({ stable: 1, unstable: undefined });
  expect(found.suggestion).toBe(found.steepest);
});

test("what does not train even at the lowest rate, and ranges that are none, are refused", async () => {
  await expect(rangeTest(parabola(), { from: 3, to: 10 })).rejects.toMatchObject({ code: "tune/untrainable" });
  const broken: Trial = { restart: () => undefined, step: async () => Number.NaN };
  await expect(rangeTest(broken)).rejects.toMatchObject({ code: "tune/untrainable", got: "a loss that is not finite" });
  for (const wrong of [
    { from: 0 },
    { from: 2, to: 1 },
    { steps: 3 },
    { to: Number.POSITIVE_INFINITY },
    { trialSteps: 0 },
  ])
    await expect(rangeTest(parabola(), wrong)).rejects.toMatchObject({ code: "config/range" });
});

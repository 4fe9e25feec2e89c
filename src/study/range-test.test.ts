// The range test on losses that are made up: what it calls stable, what it suggests, and what it refuses.
import { expect, test } from "vitest";
import { rangeTest, type Trial } from "./range-test.ts";

/** Gradient descent on x²/2 from x = 1, which trains below 2; beside it a floor of noise that does not move. */
function parabola(noise = 0): Trial & { rates: number[] } {
  let [x, at] = [1, 0];
  const rates: number[] = [];
  return {
    rates,
    restart: () => {
      [x, at] = [1, 0];
    },
    step: async (lr) => {
      rates.push(lr);
      const loss = (x * x) / 2 + noise * (1 + Math.sin(at++));
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
  expect(points[0]).toEqual({ lr: 1e-3, loss: 0.5 + noise, smoothed: 0.5 + noise });
});

test("the sweep rises by one factor, and begins anew for each trial", async () => {
  const trial = parabola();
  const { points } = await rangeTest(trial, { from: 0.01, to: 1, steps: 21, trialSteps: 4 });
  points.forEach(({ lr }, at) => expect(lr).toBeCloseTo(0.01 * 100 ** (at / 20), 12));
  expect(new Set(trial.rates.slice(21, 25))).toEqual(new Set([0.01]));
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

// The watch by itself: its limits, what it tells once, what it costs. Planted faults and sound runs are in test/e2e/watch.test.ts.
import { expect, test, vi } from "vitest";
import { lineData, lineTrainer } from "../../test/support/line.ts";
import type { Trainer } from "./trainer.ts";
import { Watch } from "./watch.ts";

const watched = (step: number, loss: number, gradNorm = 1) => ({
  step,
  loss,
  gradNorm,
  learningRate: 1e-3,
  committed: true,
});

/** A watch that has seen these losses. */
function after(losses: readonly number[]): Watch {
  const watch = new Watch({ steps: 1000, every: 0 });
  const { programs } = lineTrainer();
  for (const [at, loss] of losses.entries()) watch.after(programs, watched(at + 1, loss));
  return watch;
}

test("a spike is above twice the last 50 and all of the first ten; before ten steps nothing is", () => {
  expect(after(Array(9).fill(2)).spike(watched(10, 1e6))).toBeUndefined();
  const falling = after(Array.from({ length: 100 }, (_, at) => 5 - at / 25)); // from 5 to 1.04, and from 3 in the last 50
  expect(falling.limits().loss).toBeCloseTo(2 * (5 - 50 / 25), 12);
  expect(falling.spike(watched(101, 5.99))).toBeUndefined();
  expect(falling.spike(watched(101, 6.01))).toMatchObject({ code: "train/loss-spike" });
  const low = after([5, ...Array(99).fill(0.1)]);
  expect(low.spike(watched(101, 4.9))).toBeUndefined(); // no worse than untrained
  expect(low.spike(watched(101, 1, 101))).toMatchObject({ code: "train/gradient-spike" });
  expect(low.spike(watched(101, Number.NaN))).toBeUndefined();
});

test("what was told before a run went back is not told again", async () => {
  const told: string[] = [];
  const step = 12;
  const make = (watch: Watch, options: Parameters<typeof lineTrainer>[0]) =>
    lineTrainer({ lanes: 1, steps: 12, learningRate: () => 1e3, checkpointEvery: 4, watch, ...options });
  const saved = new Map<number, ReturnType<Trainer["state"]>>();
  const trainer = make(new Watch({ steps: 12, every: 100, baseline: 1e-9 }), {
    data: lineData(5),
    onNonFinite: "rollback",
    maxRollbacks: 20,
    rollBack: async (at) => saved.get(at)!,
    callbacks: [
      {
        warning: ({ code }) => void told.push(code),
        checkpoint: (one) => void saved.set(one.clock.step, one.state()),
      },
    ],
  });
  await trainer.run();
  expect(trainer.state().rollbacks).toBeGreaterThan(0);
  expect(trainer.clock.step).toBe(step);
  expect(told).toContain("train/bad-start");
  expect(told).toEqual([...new Set(told)]);
});

test("its state goes through JSON, and tells the same again", () => {
  const losses = Array.from({ length: 30 }, (_, at) => 3 + Math.sin(at));
  const [first, second] = [after(losses), new Watch({ steps: 1000, every: 0 })];
  second.restore(JSON.parse(JSON.stringify(first.state())));
  expect(second.state()).toEqual(first.state());
  expect(second.limits()).toEqual(first.limits());
});

test("looks at gradients and updates cost less than 1 % of what Adam moves", async () => {
  const steps = 1000;
  const trainer = lineTrainer({ steps, watch: new Watch({ steps, every: 100 }) });
  const { store, graphs } = trainer.programs;
  let bytes = 0;
  const { read } = store;
  vi.spyOn(store, "read").mockImplementation((name, into) => {
    const array = read.call(store, name, into);
    bytes += array.data.byteLength;
    return array;
  });
  await trainer.run();
  const parameters = graphs.trainedTypes.reduce((sum, { shape }) => sum + 8 * shape.reduce((a, b) => a * b, 1), 0);
  const moved = 7 * parameters; // reads of weight, gradient and two means; writes of all but the gradient
  expect(bytes).toBeGreaterThan(0);
  expect(bytes / (steps * moved)).toBeLessThan(0.01);
});

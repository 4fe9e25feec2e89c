// Benchmarks that are stopped or refused, and the bytes that an update is judged by. What is measured is shown by the command line's tests.
import { expect, test } from "vitest";
import { benchStep, benchUpdates, StepBench, UpdateBench } from "./index.ts";

test("a signal before the first round leaves nothing to tell", async () => {
  const shape = { model: "mlp", layers: 1, heads: 1, width: 4, context: 3, batch: 2, vocab: 2 } as const;
  expect(await benchStep(new StepBench(shape, { threads: 1 }), { signal: AbortSignal.abort() })).toBeUndefined();
});

test("an update moves parameters and slots both ways, and gradients twice", () => {
  const leastBytes = (name: string) => {
    const { numParameters, leastBytes } = new UpdateBench({ optimizer: { [name]: {} }, width: 8, layers: 2 });
    expect(numParameters).toBe(2 * (64 + 8));
    return leastBytes / 4 / numParameters;
  };
  expect(["sgd", "lion", "adam"].map(leastBytes)).toEqual([4, 6, 8]);
});

test("updates of an optimizer that is not known, and of more than memory holds, are refused before any is timed", async () => {
  const vast = { width: 2 ** 22, layers: 1 };
  await expect(benchUpdates(["sgd", "sdg"], vast)).rejects.toThrow(/config\/invalid[\s\S]*sdg: unknown key/);
  await expect(benchUpdates(["sgd"], vast)).rejects.toThrow("plan/memory");
  expect(await benchUpdates(["sgd"], vast, { signal: AbortSignal.abort() })).toEqual([]);
});

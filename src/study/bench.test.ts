// A benchmark that is stopped. What it measures is shown by the command line's tests.
import { expect, test } from "vitest";
import { benchStep, StepBench } from "./index.ts";

test("a signal before the first round leaves nothing to tell", async () => {
  const shape = { model: "mlp", layers: 1, heads: 1, width: 4, context: 3, batch: 2, vocab: 2 } as const;
  expect(await benchStep(new StepBench(shape, { threads: 1 }), { signal: AbortSignal.abort() })).toBeUndefined();
});

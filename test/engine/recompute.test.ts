// Recomputation on the native engine: the same bytes at every rung, for any number of threads, in f32 and in mixed precision.
import { expect, test } from "vitest";
import { ladderOf, trained } from "../support/recomputed-gpt.ts";
import { nativeEngine } from "../support/run-native.ts";

test.each([undefined, "bf16"] as const)("storage %s: every rung trains to the same bytes", async (storage) => {
  const { rungs } = ladderOf(nativeEngine()!, { storage });
  expect(rungs.length).toBeGreaterThan(4);
  expect(rungs.at(-1)!.plan.arenaBytes).toBeLessThan(0.75 * rungs[0].plan.arenaBytes);
  const plain = await trained(nativeEngine()!, { storage });
  for (const { recompute } of rungs.slice(1))
    for (const threads of [1, 2, 3])
      expect(await trained(nativeEngine(threads)!, { storage }, recompute)).toEqual(plain);
});

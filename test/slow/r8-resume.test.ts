// R8: stopped and resumed at random steps, a run ends in the same bytes and sees the same samples.
import { afterAll, beforeAll, expect, test } from "vitest";
import { amount } from "../amount.ts";
import { randomMoments } from "../random-moments.ts";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";

let folder: ReturnType<typeof scratchFolder>;
beforeAll(() => {
  folder = scratchFolder();
});
afterAll(() => folder.remove());

test("random stops, one hash", async () => {
  const recipe = writeTinyRecipe(folder.path, { steps: 300, checkpoint: { every: 300 }, eval: { every: 0 } });
  const whole = await runCli(["train", recipe, "--run-dir", "whole", "--json"], folder.path);
  const hash = whole.records.find(({ type }) => type === "end")?.hash;
  const moments = randomMoments("stops");
  for (let pair = 0; pair < amount(20, 2); pair++) {
    const stop = 1 + moments.below(299, pair);
    const run = `stopped-${pair}`;
    // A run of `stop` steps ends with a checkpoint; resumed, it goes on to 300. A constant rate does not know the length.
    await runCli(["train", recipe, "--run-dir", run, "--set", `steps=${stop}`], folder.path);
    const resumed = await runCli(["train", recipe, "--run-dir", run, "--resume", "--json"], folder.path);
    expect(resumed.records[0], resumed.stderr).toMatchObject({ type: "start", step: stop });
    expect(resumed.records.find(({ type }) => type === "end")?.hash, `stopped at ${stop}`).toBe(hash);
  }
});

// R10: signals at random moments end a run within seconds with a step-exact checkpoint; a second signal ends it at once.

import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { latestGood } from "../../src/checkpoint/index.ts";
import { amount } from "../amount.ts";
import { randomMoments } from "../random-moments.ts";
import { scratchFolder, startCli, writeTinyRecipe } from "../support/cli.ts";

let folder: ReturnType<typeof scratchFolder>;
let recipe: string;
beforeAll(() => {
  folder = scratchFolder();
  recipe = writeTinyRecipe(folder.path, { steps: 100_000, checkpoint: { every: 25 }, eval: { every: 50 } });
});
afterAll(() => folder.remove());

const moments = randomMoments("signals");
const signals = ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"] as const;

test("one signal saves, two end at once", async () => {
  for (let round = 0; round < amount(50, 4); round++) {
    const signal = signals[round % signals.length]!;
    const run = `run-${round}`;
    const running = startCli(["train", recipe, "--run-dir", run, "--json"], folder.path);
    const begun = new Promise<void>((resolve) =>
      running.child.stdout?.on("data", (data) => String(data).includes('"step"') && resolve()),
    );
    await begun;
    await new Promise((resolve) => setTimeout(resolve, moments.uniform(round) * 500));
    const twice = round % 3 === 2;
    running.child.kill(signal);
    if (twice) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      running.child.kill(signal);
    }
    const sent = performance.now();
    const result = await running.done;
    expect(performance.now() - sent).toBeLessThan(twice ? 5_000 : 10_000);
    expect(result.code, result.stderr).toBe(signal === "SIGINT" ? 130 : 75);
    const last = result.records.filter(({ type }) => type === "step").at(-1)?.step;
    const found = await latestGood(join(folder.path, run));
    if (twice)
      expect(found?.step ?? 0).toBeGreaterThan(Number(last) - 75); // the save before, where one was under way
    else expect(found?.step).toBe(last);
  }
});

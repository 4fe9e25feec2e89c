// Acceptance of successive halving on a public table: it finds a recipe as good as the best of 50 full runs at random settings in
// at most a third of their time. Not run without ATHANOR_DATA, the folder that holds tab_adult/. Both searches draw at random
// from the same space by the same seed; the first 50 trials of one are the 50 trials of the other.
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { noTimings } from "../amount.ts";
import { runCli, scratchFolder } from "../support/cli.ts";

const dataFolder = process.env.ATHANOR_DATA;
const recipe = new URL("../../recipes/table-classifier.yaml", import.meta.url).pathname;

let folder: ReturnType<typeof scratchFolder>;
beforeAll(() => {
  folder = scratchFolder();
});
afterAll(() => folder.remove());

/** Seconds of the whole command, and the best accuracy on the held-out rows. */
async function search(dir: string, ...more: readonly string[]): Promise<{ seconds: number; accuracy: number }> {
  const settings = {
    "data.path": join(dataFolder!, "tab_adult/adult-train.csv.gz"),
    "data.header": false,
    "data.task": "classification",
    "engine.threads": 1,
    steps: 10_000,
    "eval.every": 5_000,
    "checkpoint.every": 5_000,
  };
  const over = [
    "optimizer.adamw.lr.cosine.peak=log:1e-4..1e-1",
    "optimizer.adamw.weightDecay=log:1e-3..3.0",
    "model.mlp.dropout=0.0..0.5",
    "model.mlp.hidden=[16],[64],[64,64],[256]",
    "batch.size=16,32,64",
  ];
  const started = performance.now();
  const { code, records, stderr } = await runCli(
    [
      ...["search", recipe, "--sampler", "random", "--metric", "accuracy", "--seed", "1", "--dir", dir, "--json"],
      ...Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`]),
      ...over.flatMap((one) => ["--over", one]),
      ...more,
    ],
    folder.path,
  );
  expect(code, stderr).toBe(0);
  return { seconds: (performance.now() - started) / 1000, accuracy: Number(records.at(-1)!.value) };
}

test("halving reaches the best of 50 full runs in a third of their time", async ({ skip }) => {
  if (dataFolder === undefined) skip("ATHANOR_DATA is not set: it names the folder that holds tab_adult/");
  if (noTimings !== undefined) skip(noTimings);
  const halving = await search("halving", "--scheduler", "halving", "--trials", "60", "--min-steps", "370");
  const full = await search("full", "--trials", "50");
  console.log(
    `halving ${halving.accuracy.toFixed(4)} in ${halving.seconds.toFixed(0)} s, full ${full.accuracy.toFixed(4)} in ${full.seconds.toFixed(0)} s`,
  );
  expect(halving.accuracy).toBeGreaterThanOrEqual(full.accuracy);
  expect(halving.seconds).toBeLessThanOrEqual(full.seconds / 3);
});

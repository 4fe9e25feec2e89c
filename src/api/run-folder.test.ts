// The folder of a run: what is refused before it is made, and what may differ when a run goes on.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { parseRecipe } from "../recipe/index.ts";
import { earlierRun, requireFreeBytes, requireSpace } from "./run-folder.ts";
import { train } from "./train.ts";

const mebibyte = 2 ** 20;

test("a disk without room for one checkpoint is refused, and one of which nothing is known is not", () => {
  for (const free of [undefined, 30 * mebibyte, 31 * mebibyte])
    expect(() => requireFreeBytes("/runs", 30 * mebibyte, free)).not.toThrow();
  expect(() => requireFreeBytes("/runs", 30 * mebibyte, 30 * mebibyte - 1)).toThrowErrorMatchingInlineSnapshot(`
    [AthanorError: [run/no-space] the disk has no room for a checkpoint of this run
      at        /runs
      expected  at least 30.0 MiB, one checkpoint
      got       30.0 MiB free
      fix       free space there, or train elsewhere: --run-dir]
  `);
});

test("the disk is that of the folder above, where the run's is not made yet", async () => {
  const runDir = join(tmpdir(), "absent", "run");
  await requireSpace({ runDir }, 1);
  await expect(requireSpace({ runDir }, 2 ** 60)).rejects.toMatchObject({ code: "run/no-space", where: runDir });
  await expect(requireSpace({}, 2 ** 60)).rejects.toMatchObject({ code: "run/no-space" });
});

test("what may differ on resume is named in full", async () => {
  const folder = mkdtempSync(join(tmpdir(), "athanor-run-"));
  try {
    const recipe = (seed: number) => ({
      data: { rows: Array.from({ length: 20 }, (_, x) => ({ x, y: x % 2 ? "a" : "b" })), target: "y" },
      model: { mlp: { hidden: [2] } },
      batch: { size: 4 },
      steps: 1,
      seed,
      engine: { name: "reference" as const },
    });
    await train(recipe(1), { runDir: join(folder, "run") }).outcome;
    await expect(earlierRun(join(folder, "run"), parseRecipe(recipe(2)))).rejects.toMatchObject({
      code: "resume/recipe",
      got: "seed: 1 → 2",
      expected:
        "the same settings, apart from name, steps, data.path, data.heldOutPath, data.source, data.cache, eval, checkpoint, stop, samples, watch.every, watch.onWarning, memory, recompute, engine.threads, engine.name",
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});

// Forks: that one goes on to the very bytes of its parent where nothing was changed, to others where something was, and what a
// fork may not change.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { reproduceRun, train } from "../../api/index.ts";
import { forkKeys, parseRecipe, type RecipeInput } from "../../recipe/index.ts";
import { readRun } from "../../track/index.ts";
import { forkRun } from "./fork.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "athanor-fork-"));
  const rows = Array.from({ length: 80 }, (_, at) => `${at % 9},${at % 4},${at % 9 > 4 ? "big" : "small"}`);
  writeFileSync(join(folder, "table.csv"), `x,z,kind\n${rows.join("\n")}\n`);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const recipe = (changes: Partial<RecipeInput> = {}): RecipeInput => ({
  data: { path: join(folder, "table.csv"), target: "kind" },
  model: { mlp: { hidden: [6], dropout: 0.1 } },
  optimizer: { adamw: { lr: { cosine: { peak: 0.02 } } } },
  batch: { size: 8 },
  steps: 12,
  eval: { every: 4 },
  checkpoint: { every: 5 },
  engine: { name: "reference" },
  ...changes,
});

/** The final hash of a fork of `parent` at step 7, under a recipe. */
async function forked(name: string, own: RecipeInput): Promise<string> {
  const [run, checkpoint] = [join(folder, "parent"), join(folder, "parent", "checkpoints", "step-7")];
  await forkRun(join(folder, name), { run, checkpoint, recipe: parseRecipe(own) });
  return (await train(own, { runDir: join(folder, name), resume: true }).outcome).hash;
}

test("a fork without changes ends in its parent's bytes, one with another rate or dropout does not", async () => {
  const parent = join(folder, "parent");
  expect((await train(recipe(), { runDir: parent, until: 7 }).outcome).ending).toBe("paused");
  const same = await forked("same", recipe());
  const faster = await forked("faster", recipe({ optimizer: { adamw: { lr: { cosine: { peak: 0.05 } } } } }));
  const dry = await forked("dry", recipe({ model: { mlp: { hidden: [6], dropout: 0 } } }));
  const { hash } = await train(recipe(), { runDir: parent, resume: true }).outcome;
  expect(same).toBe(hash);
  expect(new Set([hash, faster, dry]).size).toBe(3);

  const { record } = await readRun(join(folder, "faster"));
  expect(record).toMatchObject({ status: "finished", forked: { step: 7 }, result: { hash: faster } });
  expect(record.starts.map(({ step }) => step)).toEqual([7]);
  const log = readFileSync(join(folder, "faster", "metrics.ndjson"), "utf8").split("\n");
  expect(JSON.parse(log[1]!)).toMatchObject({ type: "step", step: 8 });
  await expect(reproduceRun(join(folder, "faster"))).rejects.toMatchObject({ code: "reproduce/forked" });

  rmSync(join(folder, "faster", "checkpoints"), { recursive: true });
  const again = train(recipe({ optimizer: { adamw: { lr: { cosine: { peak: 0.05 } } } } }), {
    runDir: join(folder, "faster"),
    resume: true,
  });
  await expect(again.outcome).rejects.toMatchObject({ code: "resume/fork", got: "none" });
});

test("what the state depends on cannot be changed", async () => {
  await train(recipe(), { runDir: join(folder, "parent"), until: 7 }).outcome;
  await expect(forked("wider", recipe({ batch: { size: 16 }, seed: 2 }))).rejects.toMatchObject({
    code: "resume/fork",
    got: "batch.size: 8 → 16\nseed: 1 → 2",
    fix: expect.stringContaining("--init-from"),
  });
  // an optimizer with other slots is found when its state is read
  await expect(forked("other", recipe({ optimizer: { sgd: { lr: 0.1, momentum: 0.9 } } }))).rejects.toMatchObject({
    code: "resume/tensor",
  });
});

test.each([
  ["optimizer.adamw.lr", true],
  ["loss.focal.gamma", true],
  ["model.gpt.dropout", true],
  ["model.mlp.dropout.linear.peak", true],
  ["optimizer", false],
  ["model.mlp.hidden", false],
  ["batch.size", false],
])("a fork may change %s: %s", (key, free) => {
  expect(forkKeys.test(key)).toBe(free);
});

// A short training begins where the recipe's own training would, and can go back there.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { load, train } from "../api/index.ts";
import { parseRecipe, type RecipeInput } from "../recipe/index.ts";
import { ShortTraining } from "./short-training.ts";

const scratch = mkdtempSync(join(tmpdir(), "athanor-short-"));
afterAll(() => rmSync(scratch, { recursive: true }));

writeFileSync(join(scratch, "text.txt"), "to be or not to be, that is the question. ".repeat(20));

const recipe: RecipeInput = {
  data: { path: join(scratch, "text.txt") },
  tokenizer: "byte",
  model: { gpt: { layers: 1, heads: 2, width: 8, context: 8 } },
  optimizer: { adamw: { lr: 0.01 } },
  batch: 8,
  steps: 20,
  engine: { name: "reference" },
};

test("with from: the folder's weights, as often as it is begun anew", async () => {
  const outcome = await train(recipe, { runDir: join(scratch, "run") }).outcome;
  const folder = join(scratch, "saved");
  await (await load(outcome.folder)).save(folder);
  const begun = { ...recipe, from: folder };
  const training = await ShortTraining.open(parseRecipe(begun));
  const started = await training.heldOutLoss();
  expect(started).toBe(outcome.evalLoss);
  const first = await training.step(0.5);
  expect(await training.heldOutLoss()).not.toBe(started);
  training.restart();
  expect(await training.heldOutLoss()).toBe(started);
  expect(await training.step(0.5)).toBe(first);
  await training.close();
  const drawn = await ShortTraining.open(parseRecipe(recipe));
  expect(await drawn.heldOutLoss()).toBeGreaterThan(started + 0.5);
  await drawn.close();
});

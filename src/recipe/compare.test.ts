// What may change on resume, and what is shown as a difference.
import { describe, expect, test } from "vitest";
import { compareRecipes, compareSchedules, recipeJson } from "./compare.ts";
import { prepare } from "./prepare.ts";
import { parseRecipe } from "./read.ts";
import type { RecipeInput } from "./schema.ts";

const rows = Array.from({ length: 40 }, (_, at) => ({ x: at, y: at % 2 ? "a" : "b" }));
const input: RecipeInput = {
  data: { rows, target: "y" },
  model: { mlp: { hidden: [4] } },
  steps: 100,
  batch: { size: 4 },
};
const parse = (...set: string[]) => parseRecipe(input, { set });
const compare = (...set: string[]) => compareRecipes(recipeJson(parse()), recipeJson(parse(...set)));

test("a setting that an earlier record does not have was at its default", () => {
  const file: RecipeInput = { ...input, data: { path: "x.csv", target: "y" } };
  const now = (...set: string[]) => recipeJson(parseRecipe(file, { set }));
  const earlier = JSON.parse(JSON.stringify(now()));
  delete earlier.weights;
  expect(compareRecipes(earlier, now())).toEqual([]);
  expect(compareRecipes(earlier, now("weights=bf16"))).toEqual(['weights: "f32" → "bf16"']);
});

test.each([
  ["steps=200"],
  ["eval.every=7"],
  ["checkpoint.every=7", "checkpoint.keep=9"],
  ["engine.threads=1"],
  ["name=other"],
  ["data.source=somewhere"],
])("%s may change", (...set) => expect(compare(...set)).toEqual([]));

test.each([
  ["seed=2", "seed: 1 → 2"],
  ["optimizer.adamw.lr=0.5", "optimizer.adamw.lr: 0.001 → 0.5"],
  ["model.mlp.hidden=[8]", "model.mlp.hidden: [4] → [8]"],
  ["batch.lanes=2", "batch.lanes: 1 → 2"],
  ["precision=f64", 'precision: "f32" → "f64"'],
  ["data.columns.x=ignore", 'data.columns.x: (unset) → "ignore"'],
])("%s is told", (change, line) => expect(compare(change)).toEqual([line]));

test("the evaluations that a plateau's rate follows from are told", () => {
  const plateau = "optimizer.adamw.lr.plateau.peak=0.1";
  const changed = (...set: string[]) => compareRecipes(recipeJson(parse(plateau)), recipeJson(parse(plateau, ...set)));
  expect(changed("eval.every=7")).toEqual(["eval.every: 250 → 7"]);
  expect(changed("eval.batch=7")).toEqual(["eval.batch: (unset) → 7"]);
  expect(changed("checkpoint.every=7", "steps=200")).toEqual([]);
});

test("so are those that early stopping goes by, and less patience; more of it ends no run earlier", () => {
  const changed = (before: number, ...set: string[]) =>
    compareRecipes(recipeJson(parse(`eval.patience=${before}`)), recipeJson(parse(`eval.patience=${before}`, ...set)));
  expect(changed(5, "eval.every=7")).toEqual(["eval.every: 250 → 7"]);
  expect(changed(5, "eval.batch=7", "eval.patience=9")).toEqual(["eval.batch: (unset) → 7"]);
  expect(changed(5, "eval.patience=4")).toEqual(["eval.patience: 5 → 4"]);
  expect(changed(0, "eval.patience=9")).toEqual(["eval.patience: 0 → 9"]);
  expect(changed(5, "eval.patience=9")).toEqual([]);
  expect(changed(5, "eval.patience=0", "eval.every=7")).toEqual([]);
});

describe("steps and the learning rates of the past", () => {
  const changed = async (...set: string[]) =>
    compareSchedules(recipeJson(parse(...set)), await prepare(parse(...set, "steps=300")), 50);

  test("a constant rate allows any number of steps", async () => expect(await changed()).toEqual([]));

  test("a decay over the run's length would have been another", async () => {
    const [steps, rate] = await changed("optimizer.adamw.lr.cosine.peak=0.01");
    expect(steps).toBe("steps: 100 → 300");
    expect(rate).toMatch(/^learning rate at step 1: 0\.0099\d+ → 0\.00999\d+$/);
  });

  test("a decay with a total of its own stays what it was", async () => {
    const own = "optimizer.adamw.lr.cosine={ peak: 0.01, total: 100, floor: 0.001 }";
    expect(await changed(own)).toEqual([]);
  });
});

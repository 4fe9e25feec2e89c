// What a search is asked for: study files and flags, which way a figure is better, and points that are no recipes.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, expect, test } from "vitest";
import { makeSearch, readPlan, type SearchPlanInput } from "./plan.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "athanor-plan-"));
  writeFileSync(
    join(folder, "recipe.yaml"),
    "data: { path: table.csv }\nmodel: { mlp: {} }\noptimizer: { sgd: { lr: 0.1 } }\nsteps: 90\n",
  );
});
afterEach(() => rmSync(folder, { recursive: true }));

const planOf = (flags: Partial<SearchPlanInput>) => readPlan(join(folder, "recipe.yaml"), flags);
const over = { "optimizer.sgd.lr": "log:1e-3..1.0" };

test("a study file names its recipe from where it lies; flags stand above it", async () => {
  writeFileSync(
    join(folder, "study.yaml"),
    "recipe: ./recipe.yaml\nset: [steps=30]\nover: { batch.size: [8, 16] }\neta: 4\n",
  );
  const plan = await readPlan(join(folder, "study.yaml"), { eta: 2, set: ["seed=5"], over });
  expect(plan).toMatchObject({
    recipe: join(folder, "recipe.yaml"),
    set: ["steps=30", "seed=5"],
    over: { "batch.size": [8, 16], ...over },
    eta: 2,
    sampler: "tpe",
  });
  expect((await makeSearch(plan, folder)).first).toMatchObject({ steps: 30, seed: 5, batch: { size: 8 } });
  writeFileSync(join(folder, "study.yaml"), "recipe: recipe.yaml\novr: {}\n");
  await expect(readPlan(join(folder, "study.yaml"), {})).rejects.toMatchObject({
    code: "config/invalid",
    got: "ovr: unknown key; did you mean over?",
  });
});

test("the study that is shipped is one", async () => {
  const path = fileURLToPath(new URL("../../../recipes/searches/table-classifier.yaml", import.meta.url));
  const search = await makeSearch(await readPlan(path, {}), folder);
  expect([search.goal, search.steps, search.space.size]).toEqual(["max", 5000, 5]);
  expect(search.scheduler.next([])).toMatchObject({ trial: 0, until: 556 }); // 5000 / 9, no less than 500
});

test.each([
  ["loss", "min"],
  ["perplexity", "min"],
  ["meanSquaredError", "min"],
  ["rootMeanSquaredError", "min"],
  ["calibrationError", "min"],
  ["bitsPerByte", "min"],
  ["accuracy", "max"],
  ["rSquared", "max"],
  ["rocArea", "max"],
  ["averagePrecision", "max"],
])("%s is better %s", async (metric, goal) => {
  expect((await makeSearch(await planOf({ over, metric }), folder)).goal).toBe(goal);
  expect((await makeSearch(await planOf({ over, metric, goal: "max" }), folder)).goal).toBe("max");
});

test("points are looked at as whole recipes: all of a grid, the corners for TPE, single edges where those are too many", async () => {
  const bad = { over: { "batch.size": [8, 0], "eval.every": [0, 10, -1] }, metric: "loss" };
  await expect(makeSearch(await planOf({ ...bad, sampler: "grid" }), folder)).rejects.toMatchObject({
    code: "config/search",
    what: "4 of 6 points that were looked at are no valid recipes",
    got: expect.stringContaining("batch.size=8 eval.every=-1\n  eval.every: must be at least 0"),
  });
  await expect(makeSearch(await planOf(bad), folder)).rejects.toMatchObject({
    what: expect.stringContaining("4 of 6"),
  });
  const many = Object.fromEntries(
    [1, 2, 3, 4, 5, 6].map((at) => [`data.columns.c${at}`, ["number", "text", "ignore"]]),
  );
  await expect(makeSearch(await planOf({ over: { ...many, ...bad.over } }), folder)).rejects.toMatchObject({
    what: "2 of 23 points that were looked at are no valid recipes", // 6·3 + 2 + 3 edges
  });
});

test("rungs follow from the trials where --min-steps is left out", async () => {
  const first = async (flags: Partial<SearchPlanInput>) =>
    (await makeSearch(await planOf({ over, scheduler: "halving", ...flags }), folder)).scheduler.next([])!.until;
  expect(await first({ trials: 9 })).toBe(10); // 90 / 3²
  expect(await first({ trials: 27 })).toBe(3);
  expect(await first({ trials: 8, eta: 2 })).toBe(11); // 90 / 2³
  expect(await first({ trials: 1 })).toBe(90);
  expect(await first({ trials: 27, minSteps: 30 })).toBe(30);
});

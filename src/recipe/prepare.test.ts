// From recipe to data, model and task: each kind of data, and settings that nothing would read.
import { readdirSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Batch } from "../train/index.ts";
import { prepare } from "./prepare.ts";
import { parseRecipe, readRecipe } from "./read.ts";
import type { RecipeInput } from "./schema.ts";

const numbers = Array.from({ length: 60 }, (_, at) => ({ x: at % 7, y: 1e6 + 3e5 * (at % 7) }));
const texts = ["the cat sat on the mat and the dog sat on the log. ".repeat(20)];

describe("regression", () => {
  const recipe: RecipeInput = {
    data: { rows: numbers, target: "y" },
    model: { mlp: { hidden: [] } },
    batch: { size: 8 },
    eval: { batch: 7 },
  };

  test("targets are scaled for the model, and the task knows their units", async () => {
    const { source, description } = await prepare(parseRecipe(recipe));
    const { targets } = await source.next();
    for (const value of targets!.data as Float32Array) expect(Math.abs(value)).toBeLessThan(3);
    expect(Math.sqrt(description.task.units!.loss)).toBeGreaterThan(4e5);
    expect(description.task.units!.extra.absolute).toBeCloseTo(Math.sqrt(description.task.units!.loss), 3);
  });

  test.each(["f32", "f64"] as const)("batches of %s, the last one filled with NaN", async (precision) => {
    const { heldOut, description } = await prepare(
      parseRecipe({ ...recipe, precision, engine: { name: "reference" } }),
    );
    const batches: Batch[] = [];
    for await (const batch of heldOut()) batches.push(batch);
    for (const { features, targets } of batches)
      expect([features!.dtype, targets!.dtype]).toEqual([precision, precision]);
    const all = batches.flatMap(({ targets }) => Array.from(targets!.data as Float32Array));
    expect(all.filter((value) => !Number.isNaN(value))).toHaveLength(6); // a tenth of 60
    expect(description.task.feeds(3)).toMatchObject({ features: { dtype: precision }, targets: { dtype: precision } });
  });
});

test("with a trained model's files nothing is fitted anew", async () => {
  const first = await prepare(
    parseRecipe({ data: { rows: texts }, model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } } }),
  );
  const other = parseRecipe({
    data: { rows: ["tac a ".repeat(200)] },
    model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } },
  });
  const anew = await prepare(other);
  const kept = await prepare(other, { files: new Map(Object.entries(first.files)) });
  expect(anew.tokenizer!.vocabSize).toBeLessThan(first.tokenizer!.vocabSize);
  expect(kept.files["tokenizer.json"]).toBe(first.files["tokenizer.json"]);

  const table: RecipeInput = { data: { rows: numbers, target: "y" }, model: { mlp: {} } };
  const fitted = await prepare(parseRecipe(table));
  const moved = parseRecipe({ ...table, data: { rows: numbers.map(({ x, y }) => ({ x: x + 100, y })), target: "y" } });
  expect((await prepare(moved)).files["table.json"]).not.toBe(fitted.files["table.json"]);
  const same = await prepare(moved, { files: new Map(Object.entries(fitted.files)) });
  expect(same.files["table.json"]).toBe(fitted.files["table.json"]);
});

describe("settings that nothing reads are refused", () => {
  const gpt: RecipeInput = { data: { rows: texts }, model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } } };
  const table: RecipeInput = { data: { rows: numbers, target: "y" }, model: { mlp: {} } };
  test.each([
    [gpt, "data.target=x", "data.target"],
    [gpt, "data.missing=drop", "data.missing"],
    [table, "tokenizer=char", "tokenizer"],
    [table, "samples.prompt=a", "samples"],
    [table, "data.text=x", "data.text"],
  ])("%o %s", async (recipe, change, key) => {
    await expect(prepare(parseRecipe(recipe, { set: [change] }))).rejects.toMatchObject({
      code: "config/unread",
      where: key,
    });
  });

  test("and what is read is not", async () => {
    await prepare(parseRecipe(gpt));
    await prepare(parseRecipe(table, { set: ["data.missing=drop"] }));
  });
});

test("data named twice, or not at all, is refused", async () => {
  for (const data of [{}, { rows: numbers, path: "x.csv" }])
    await expect(prepare(parseRecipe({ data, model: "mlp" }))).rejects.toMatchObject({ code: "config/data" });
});

test("a text classifier wants its class column by name", async () => {
  const rows = texts.map((text) => ({ text, label: "a" }));
  const recipe = parseRecipe({ data: { rows, target: 1 }, model: "textClassifier" });
  await expect(prepare(recipe)).rejects.toMatchObject({ code: "config/target" });
});

test.each(readdirSync("recipes"))("recipes/%s says where to get its data when there is none", async (name) => {
  const { data } = await readRecipe(`recipes/${name}`);
  const empty = await readRecipe(`recipes/${name}`, { set: ["data.path=/absent/*.txt"] });
  await expect(prepare(empty)).rejects.toMatchObject({ code: "data/no-file", where: "/absent/*.txt" });
  await expect(prepare(empty)).rejects.toThrow(`data.source says: ${data.source}`);
  expect(data.source).toBeDefined();
});

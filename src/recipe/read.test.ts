// Reading a recipe: files of three kinds, changes by --set, paths, and every fault told with its place and a guess.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AthanorError } from "../base/index.ts";
import { parseRecipe, readRecipe } from "./index.ts";
import type { RecipeInput } from "./schema.ts";

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "athanor-recipe-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(name: string, text: string): string {
  const path = join(folder, name);
  writeFileSync(path, text);
  return path;
}

async function faultOf(work: () => unknown): Promise<AthanorError> {
  try {
    await work();
  } catch (error) {
    if (error instanceof AthanorError) return error;
    throw error;
  }
  throw new Error("nothing was refused");
}

const plain: RecipeInput = { data: { path: "text.txt" }, model: { mlp: { hidden: [2] } } };
const set = (...changes: string[]) => parseRecipe(plain, { set: changes, cwd: "/home" });

describe("files", () => {
  const yaml = "data: { path: a/text.txt }\nmodel: { mlp: { hidden: [3] } }\nsteps: 12\n";
  test.each([
    ["plain.yaml", yaml],
    ["plain.json", '{ "data": { "path": "a/text.txt" }, "model": { "mlp": { "hidden": [3] } }, "steps": 12 }'],
    [
      "plain.ts",
      'export const recipe: object = { data: { path: "a/text.txt" }, model: { mlp: { hidden: [3] } }, steps: 12 };',
    ],
    ["default.mjs", 'export default { data: { path: "a/text.txt" }, model: { mlp: { hidden: [3] } }, steps: 12 };'],
  ])("%s: paths are relative to it, defaults are filled in", async (name, text) => {
    const recipe = await readRecipe(file(name, text));
    expect(recipe.data.path).toBe(join(folder, "a/text.txt"));
    expect(recipe).toMatchObject({
      model: { mlp: { hidden: [3] } },
      steps: 12,
      batch: { size: 32, lanes: 1 },
      data: { heldOut: 0.1, onShort: "error" },
      precision: "f32",
    });
  });

  test.each([
    ["absent.yaml", undefined, "config/read", /no such file[\s\S]*recipes\//],
    ["recipe.toml", "", "config/format", /\.toml/],
    ["list.yaml", "- 1\n- 2\n", "config/syntax", /a list/],
    ["torn.yaml", "data: { path: x\nsteps: [", "config/syntax", /torn\.yaml:\d+:\d+/],
    ["glob.yaml", "data: { path: *.txt }\n", "config/syntax", /glob\.yaml[\s\S]*quotes/],
    ["doubled.yaml", "steps: 1\nsteps: 2\n", "config/syntax", /doubled\.yaml:2/],
    ["nothing.ts", "export const other = 1;", "config/module", /export const recipe/],
    ["throws.ts", 'throw new Error("inside");', "config/read", /inside/],
  ])("%s is refused with %s", async (name, text, code, names) => {
    const path = text === undefined ? join(folder, name) : file(name, text);
    const error = await faultOf(() => readRecipe(path));
    expect(error.code).toBe(code);
    expect(error.message).toMatch(names);
  });
});

describe("faults", () => {
  test("all at once, with lines and guesses", async () => {
    const path = file(
      "faults.yaml",
      "data:\n  path: x.txt\n  heldout: 0.2\nmodel:\n  mlp:\n    hiden: [2]\nbatch:\n  size: -3\nstep: 5\n",
    );
    const error = await faultOf(() => readRecipe(path));
    expect(error.code).toBe("config/unknown-key");
    expect(error.where).toBe(path);
    for (const line of [
      /data\.heldout \(line 3\): unknown key; did you mean heldOut/,
      /model\.mlp\.hiden \(line 6\): unknown key; did you mean hidden/,
      /batch\.size \(line 8\): .*-3/,
      /step \(line 9\): unknown key; did you mean steps/,
    ])
      expect(error.got).toMatch(line);
  });

  test("a fault of --set is not blamed on a line of the file", async () => {
    const path = file("good.yaml", "data: { path: x.txt }\nmodel: { mlp: {} }\nbatch:\n  size: 4\n");
    const error = await faultOf(() => readRecipe(path, { set: ["batch.size=many"] }));
    expect(error.got).toMatch(/^batch\.size: .*many/);
  });

  test.each([
    ["two models", { ...plain, model: { textClassifier: {}, mlp: {} } }],
    ["no model", { data: { path: "x" } }],
    ["data that is a text", { ...plain, data: "x.txt" }],
    ["a name with a slash", { ...plain, name: "a/b" }],
    ["a share of 1", { data: { path: "x", heldOut: 1 }, model: "mlp" }],
    ["keep of 1", { ...plain, checkpoint: { keep: 1 } }],
  ])("%s", async (_, recipe) => {
    expect((await faultOf(() => parseRecipe(recipe as RecipeInput))).code).toMatch(/^config\//);
  });
});

describe("--set", () => {
  test("makes tables on its way, and replaces a number by a table", () => {
    expect(set("optimizer.adamw.lr.cosine.peak=0.01").optimizer).toMatchObject({
      adamw: { lr: { cosine: { peak: 0.01 } } },
    });
    const withNumber: RecipeInput = { ...plain, optimizer: { adamw: { lr: 0.1, clip: 2 } } };
    const changed = parseRecipe(withNumber, { set: ["optimizer.adamw.lr.linear.peak=0.5"] });
    expect(changed.optimizer).toMatchObject({ adamw: { lr: { linear: { peak: 0.5 } }, clip: 2 } });
    expect(withNumber).toEqual({ ...plain, optimizer: { adamw: { lr: 0.1, clip: 2 } } });
  });

  test("reads its value as YAML, and later changes win", () => {
    expect(set("tokenizer={ bpe: 512 }").tokenizer).toEqual({ bpe: 512 });
    expect(set("batch.size=4", "batch.size=8").batch.size).toBe(8);
    expect(() => set("precision=f64", "weights=bf16")).toThrow("weights: needs precision f32 or bf16");
    expect(set('name="7"').name).toBe("7");
  });

  test.each([
    ["batch=0", "batch.size: must be greater than 0, got 0"],
    ["batch=1.5", 'batch.size: expected "all" or a whole number or object, got 1.5'],
    ["batch=al", 'batch.size: expected "all" or number or object, got "al"'],
    ["optimizer=adm", "did you mean adam?"],
    ["optimizer=lbfgs", "optimizer: L-BFGS searches along lines"],
    ["optimizer.lbfgs.lr=1", "optimizer: L-BFGS searches along lines"],
    ["epochs=3", "epochs: unknown key; here steps: updates"],
    ["batch_size=3", "batch_size: unknown key; here batch.size"],
    ["constructor=3", "constructor: unknown key; known"],
    ["optimizer.adamw.learning-rate=3", "learning-rate: unknown key; here optimizer.adamw.lr"],
    ["optimizer.adamw.lrr=3", "unknown key; did you mean lr?"],
    ["data.chat.template=llama9", "data.chat.template: expected chatml, llama3"],
    ["model=gpt", "model.gpt.layers: missing; a positive whole number"],
  ])("%s is told as it was written", async (change, told) => {
    expect((await faultOf(() => set(change))).got).toContain(told);
  });

  test("paths are relative to the working folder", () => {
    expect(set("data.path=b.txt", "tokenizer=t.json")).toMatchObject({
      data: { path: "/home/b.txt" },
      tokenizer: "/home/t.json",
    });
    expect(set("data.path=/c.txt").data.path).toBe("/c.txt");
    expect(set("data.cache=kept").data.cache).toBe("/home/kept");
  });

  test.each(["steps", "=1", "a..b=1", "__proto__.x=1", "x.__proto__=1", "steps=[1,", "data.path=*.txt"])(
    "%s is refused",
    async (change) => {
      expect((await faultOf(() => set(change))).code).toBe("config/set");
    },
  );
});

describe("a learning rate from a file", () => {
  const recipe = (lines: string) => {
    file("rates.csv", lines);
    const text = "data: { path: a }\nmodel: { mlp: {} }\noptimizer: { sgd: { lr: { table: rates.csv } } }\n";
    return readRecipe(file("table.yaml", text));
  };

  test("stands in the recipe with its numbers, whatever separates them", async () => {
    const table = { positions: [0, 100, 500], values: [0.1, 3e-4, 0.01], between: "hold", unit: "steps" };
    for (const lines of ["step,rate\n0,0.1\n100,3e-4\n500,0.01\n", "0 0.1\n100\t3e-4\n\n500; 0.01"])
      expect((await recipe(lines)).optimizer).toEqual({ sgd: expect.objectContaining({ lr: { table } }) });
    const set = ["optimizer.adam.lr.table=rates.csv"];
    const changed = parseRecipe(plain, { set, cwd: folder });
    expect(changed.optimizer).toEqual({ adam: expect.objectContaining({ lr: { table } }) });
  });

  test("that is no table is refused with its line", async () => {
    const fault = await faultOf(() => recipe("0,0.1\n100;fast\n"));
    expect(fault).toMatchObject({
      code: "config/rate-table",
      where: `${join(folder, "rates.csv")}:2`,
      got: "100;fast",
    });
    expect(await faultOf(() => recipe("0,0.1\n0,0.2\n"))).toMatchObject({
      code: "config/invalid",
      got: expect.stringMatching(/lr\.table\.positions.*: expected 2 rising positions/),
    });
    const absent = () => parseRecipe({ ...plain, optimizer: { sgd: { lr: { table: "none.csv" } } } } as never);
    expect(await faultOf(absent)).toMatchObject({ code: "config/read", got: "ENOENT" });
  });
});

// A recipe that begins with a model's folder is what it would be written out.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { planRecipe, runTraining } from "../api/index.ts";
import { parseRecipe, prepare } from "./index.ts";

const scratch = mkdtempSync(join(tmpdir(), "athanor-from-"));
afterAll(() => rmSync(scratch, { recursive: true }));

function folderOf(name: string, files: { readonly [name: string]: object | string }): string {
  const folder = join(scratch, name);
  mkdirSync(folder);
  for (const [file, content] of Object.entries(files))
    writeFileSync(join(folder, file), typeof content === "string" ? content : JSON.stringify(content));
  return folder;
}

const sizes = { hidden_size: 32, intermediate_size: 64, num_hidden_layers: 3, num_attention_heads: 4 };
const llama = folderOf("llama", {
  "config.json": { model_type: "llama", ...sizes, vocab_size: 99, max_position_embeddings: 512, rms_norm_eps: 1e-6 },
  "tokenizer.json": "{}",
});
const own = folderOf("own", {
  "model.json": { family: "bert", config: { vocab: 9, layers: 1, heads: 2, width: 8, context: 16, outputs: 3 } },
});
const data = { path: "texts.txt" };

test("the folder's model and tokenizer stand where the recipe has none", () => {
  const { model, tokenizer, from } = parseRecipe({ from: llama, data });
  expect(model).toEqual({
    llama: expect.objectContaining({ vocab: 99, layers: 3, width: 32, hidden: 64, context: 512, eps: 1e-6 }),
  });
  expect([tokenizer, from]).toEqual([join(llama, "tokenizer.json"), llama]);
});

test("what the recipe says comes first; classes are the data's", () => {
  const settings = { from: llama, data, tokenizer: "char" as const, model: { llama: { context: 64 } } };
  const { model, tokenizer } = parseRecipe(settings);
  expect(model).toEqual({ llama: expect.objectContaining({ layers: 3, context: 64 }) });
  expect(tokenizer).toBe("char");
  expect(parseRecipe({ from: own, data, model: "bert" }).model).toEqual({
    bert: { vocab: 9, layers: 1, heads: 2, width: 8, context: 16 },
  });
});

test("read again it is the same, and needs the folder no more", () => {
  const once = parseRecipe({ from: llama, data });
  expect(parseRecipe(once)).toEqual(once);
  const gone = { ...once, from: join(scratch, "gone") };
  expect(parseRecipe(gone)).toEqual(gone);
});

test.each([
  ["a folder that is not there", "config/from", { from: "gone", model: { llama: { context: 64 } } }],
  ["another family", "config/from", { from: llama, model: { gpt: { layers: 1 } } }],
  ["a file that is no model's", "config/from", { from: folderOf("broken", { "model.json": "{" }) }],
  [
    "a model type that is not known",
    "hub/model-type",
    { from: folderOf("new", { "config.json": { model_type: "x" } }) },
  ],
])("%s is refused", (_, code, settings) => {
  expect(() => parseRecipe({ data, ...settings })).toThrow(expect.objectContaining({ code }));
});

test("a run that begins needs the folder, one that goes on does not", async () => {
  const recipe = parseRecipe({
    ...{ from: join(scratch, "gone"), data: { rows: ["the cat sat. ".repeat(20)] }, tokenizer: "char" },
    model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } },
  });
  const refusal = { code: "config/from", got: "no such folder", fix: expect.stringContaining("npx athanor pull") };
  await expect(planRecipe(recipe)).rejects.toMatchObject(refusal);
  await expect(runTraining(recipe, { runDir: join(scratch, "run") })).rejects.toMatchObject(refusal);
  await prepare(recipe);
});

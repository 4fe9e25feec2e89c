// What a config.json says is done as Transformers does it, or refused by its name; never left out.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { referenceLogits } from "../../test/support/reference-logits.ts";
import { fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import { SafetensorsFile, writeSafetensors } from "../checkpoint/index.ts";
import { modelFamily } from "../models/index.ts";
import { readHubModel } from "./index.ts";

interface Cases {
  readonly [name: string]: { readonly files: { readonly [name: string]: string }; readonly logits: number[] };
}
const read = (file: string) => JSON.parse(readFileSync(`test/golden/${file}`, "utf8"));
const golden = read("hub-settings.json") as {
  readonly batch: number;
  readonly time: number;
  readonly tokens: number[];
  readonly cases: Cases;
};
const models: Cases = { ...(read("hub.json").cases as Cases), ...(read("hub-bert.json").cases as Cases) };
const scratch = mkdtempSync(join(tmpdir(), "athanor-hub-settings-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

/** A case's folder, with some settings changed. */
function folderOf({ files }: Cases[string], changes: object = {}): string {
  const folder = join(scratch, `${readdirSync(scratch).length}`);
  mkdirSync(folder);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), Buffer.from(text, "base64"));
  const config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
  writeFileSync(join(folder, "config.json"), JSON.stringify({ ...config, ...changes }));
  return folder;
}

test.each(Object.entries(golden.cases))("%s: the logits are those of Transformers", async (_, one) => {
  const { family, config, task, tensors } = await readHubModel(folderOf(one));
  const { module } = modelFamily(family).build(config, { task });
  const tokens = fromNumbers("i32", [golden.batch, golden.time], golden.tokens);
  const inputs = family === "t5" ? [tokens, tokens] : [tokens];
  assertClose(referenceLogits(module, tensors, ...inputs), one.logits, { absolute: 2e-5, what: "logits" });
});

const scaled = (more: object) => ({
  rope_parameters: { rope_type: "yarn", factor: 2, original_max_position_embeddings: 16, ...more },
});

test.each([
  ["heads that turn in part", "llama", { partial_rotary_factor: 0.5 }, "partial_rotary_factor"],
  ["the same among the positions", "llama", scaled({ partial_rotary_factor: 0.5 }), "partial_rotary_factor"],
  ["a scaling by nothing", "llama", scaled({ factor: undefined }), "factor"],
  ["a scaling of no frequencies", "llama", scaled({ rope_type: "llama3" }), "low_freq_factor"],
  ["positions by kinds of layer", "qwen2", { rope_parameters: { full_attention: {} } }, "full_attention"],
  ["windows by layer", "mistral", { layer_types: ["full_attention", "sliding_attention"] }, "layer_types.1"],
  ["classes beside each other", "classes", { problem_type: "multi_label_classification" }, "problem_type"],
])("%s are refused by name", async (_, name, changes, words) => {
  await expect(readHubModel(folderOf(models[name]!, changes))).rejects.toThrow(
    expect.objectContaining({ code: "config/invalid", message: expect.stringContaining(words) }),
  );
});

test("a function that T5's feed-forward part does not name is refused", async () => {
  const t5 = folderOf(golden.cases["a head of its own that is called tied"]!, { dense_act_fn: "gelu" });
  await expect(readHubModel(t5)).rejects.toThrow("dense_act_fn");
});

/** The tensors of a folder, and one more. */
async function addTensor(folder: string, name: string, value: (of: (name: string) => Promise<HostArray>) => unknown) {
  const path = join(folder, "model.safetensors");
  const file = await SafetensorsFile.open(path);
  const tensors = await Promise.all(file.names.map(async (one) => ({ name: one, ...(await file.read(one)) })));
  const added = (await value((one) => file.read(one))) as HostArray;
  await file.close();
  rmSync(path);
  await writeSafetensors(path, [...tensors, { name, ...added }], { metadata: { format: "pt" } });
}

test.each([
  ["gpt2", "lm_head.weight", "transformer.wte.weight"],
  ["masked", "cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"],
  ["masked", "cls.predictions.decoder.bias", "cls.predictions.bias"],
])("%s: a %s that repeats another is read over, and one that does not is refused", async (name, copy, source) => {
  const folder = folderOf(models[name]!);
  const before = await readHubModel(folder);
  await addTensor(folder, copy, (read) => read(source));
  expect((await readHubModel(folder)).tensors).toEqual(before.tensors);
  const other = folderOf(models[name]!);
  await addTensor(other, copy, async (read) => {
    const array = await read(source);
    return fromNumbers(
      array.dtype,
      array.shape,
      toNumbers(array).map((one) => one * 2),
    );
  });
  await expect(readHubModel(other)).rejects.toThrow(
    expect.objectContaining({ code: "hub/tensor", message: expect.stringContaining(copy) }),
  );
});

test("one class is a number, as Transformers takes it", async () => {
  const one = { id2label: { 0: "LABEL_0" }, label2id: { LABEL_0: 0 } };
  const { task } = await readHubModel(folderOf(models.regression!, { ...one, problem_type: null }));
  expect(task).toBe("regression");
});

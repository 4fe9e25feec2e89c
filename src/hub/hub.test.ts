// Folders that Transformers wrote: read, run, written again; and folders that are wrong, which are refused by name.
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { referenceLogits } from "../../test/support/reference-logits.ts";
import { AthanorError, fromNumbers } from "../base/index.ts";
import { SafetensorsFile, writeSafetensors } from "../checkpoint/index.ts";
import { modelFamily } from "../models/index.ts";
import { hubFiles, isHubFolder, readHubModel, shardsOf } from "./index.ts";

const golden = JSON.parse(readFileSync("test/golden/hub.json", "utf8")) as {
  readonly batch: number;
  readonly time: number;
  readonly tokens: number[];
  readonly cases: {
    readonly [name: string]: { readonly files: { readonly [name: string]: string }; readonly logits: number[] };
  };
};
const scratch = mkdtempSync(join(tmpdir(), "athanor-hub-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
let made = 0;

/** A folder with a case's files, some of them changed (a text or bytes) or left out (undefined). */
function folderOf(name: string, changes: { readonly [name: string]: string | Buffer | undefined } = {}): string {
  const folder = join(scratch, `${made++}`);
  mkdirSync(folder);
  const files = Object.entries(golden.cases[name]!.files).map(([file, text]) => [file, Buffer.from(text, "base64")]);
  for (const [file, content] of Object.entries({ ...Object.fromEntries(files), ...changes }))
    if (content !== undefined) writeFileSync(join(folder, file), content as string | Buffer);
  return folder;
}

/** config.json with some keys changed. */
function configOf(name: string, changes: object): string {
  const text = Buffer.from(golden.cases[name]!.files["config.json"]!, "base64").toString();
  return JSON.stringify({ ...JSON.parse(text), ...changes });
}

async function tensorsIn(folder: string): Promise<Map<string, { type: string; bytes: string }>> {
  const found = new Map<string, { type: string; bytes: string }>();
  for (const name of readdirSync(folder).filter((file) => file.endsWith(".safetensors"))) {
    const file = await SafetensorsFile.open(join(folder, name));
    for (const tensor of file.names) {
      const { dtype, shape, data } = await file.read(tensor);
      const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("base64");
      found.set(tensor, { type: `${dtype}[${shape}]`, bytes });
    }
    await file.close();
  }
  return found;
}

const tokenizerTexts = new Map(
  Object.entries({
    "tokenizer.json": "{}",
    "tokenizer_config.json": '{"eos_token": "</s>"}',
    "chat_template.jinja": "{{ messages }}",
    "generation_config.json": "{}",
  }),
);

describe.each(Object.entries(golden.cases))("%s", (name, { logits }) => {
  test("gives the logits that Transformers gives", async () => {
    const folder = folderOf(name);
    expect(await isHubFolder(folder)).toBe(true);
    const { family, config, tensors } = await readHubModel(folder);
    const { module } = modelFamily(family).build(config, { task: "language-model" });
    const tokens = fromNumbers("i32", [golden.batch, golden.time], golden.tokens);
    assertClose(referenceLogits(module, tensors, tokens), logits, { absolute: 2e-5, what: "logits" });
  });

  test("is written as it was: the same configuration, names, types and bytes", async () => {
    const before = folderOf(name);
    const model = await readHubModel(before);
    const { tensors, texts, metadata } = hubFiles({
      ...model,
      files: new Map([...tokenizerTexts, ["recipe.json", "{}"]]),
    });
    const after = join(scratch, `${made++}`);
    mkdirSync(after);
    await writeSafetensors(join(after, "model.safetensors"), tensors, { metadata });
    for (const [file, text] of texts) writeFileSync(join(after, file), text);
    const read = (folder: string) => JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
    const [theirs, ours] = [read(before), read(after)];
    expect(ours.model_type).toBe(theirs.model_type);
    if (name !== "gpt2 of old") {
      for (const [key, value] of Object.entries(ours))
        if (key in theirs) expect([key, value]).toEqual([key, theirs[key]]);
      expect(await tensorsIn(after)).toEqual(await tensorsIn(before));
    }
    expect((await readHubModel(after)).tensors).toEqual(model.tensors);
    expect((await readHubModel(after)).config).toEqual(model.config);
    expect((await readHubModel(after)).texts).toEqual(tokenizerTexts);
    expect([...texts.keys()]).toEqual(["config.json", ...tokenizerTexts.keys()]);
  });
});

test.each([
  ["no config.json", "llama", { "config.json": undefined }, "hub/files", "no config.json"],
  ["a configuration that is no JSON", "llama", { "config.json": "{" }, "hub/config", "JSON"],
  ["a configuration that is a list", "llama", { "config.json": "[]" }, "hub/config", "object"],
  ["a configuration of two megabytes", "llama", { "config.json": " ".repeat(2 ** 21) }, "hub/files", "2.00 MiB"],
  ["settings of generation that are cut off", "llama", { "generation_config.json": "{" }, "hub/config", "generation_"],
  ["another kind of model", "llama", { "config.json": '{"model_type":"gemma"}' }, "hub/model-type", "gemma"],
  ["a misspelt kind", "llama", { "config.json": '{"model_type":"lama"}' }, "hub/model-type", "did you mean llama?"],
  [
    "positions scaled in a way that is not known",
    "llama",
    { "config.json": configOf("llama", { rope_parameters: { rope_type: "longrope" } }) },
    "config/invalid",
    "rope_type",
  ],
  [
    "biases that there is no place for",
    "llama",
    { "config.json": configOf("llama", { attention_bias: true }) },
    "config/invalid",
    "attention_bias",
  ],
  [
    "a layer less than nothing",
    "llama",
    { "config.json": configOf("llama", { num_hidden_layers: -1 }) },
    "config/invalid",
    "num_hidden_layers",
  ],
  [
    "a layer more than there is",
    "llama",
    { "config.json": configOf("llama", { num_hidden_layers: 3 }) },
    "hub/tensor",
    "model.layers.2",
  ],
  [
    "a layer fewer than there is",
    "llama",
    { "config.json": configOf("llama", { num_hidden_layers: 1 }) },
    "hub/tensor",
    "model.layers.1",
  ],
  ["another width", "llama", { "config.json": configOf("llama", { intermediate_size: 25 }) }, "hub/tensor", "24"],
  [
    "a shard that is missing",
    "llama in bf16, in shards",
    { "model-00002-of-00004.safetensors": undefined },
    "hub/files",
    "00002",
  ],
  [
    "an index that leads out of the folder",
    "llama in bf16, in shards",
    { "model.safetensors.index.json": '{"weight_map":{"a":"../../etc/passwd.safetensors"}}' },
    "hub/files",
    "../../etc",
  ],
  ["a pickle", "llama", { "model.safetensors": undefined, "pytorch_model.bin": "x" }, "hub/pickle", "save_pretrained"],
  ["no tensors", "llama", { "model.safetensors": undefined }, "hub/files", "no tensors"],
  ["tensors cut off", "llama", { "model.safetensors": Buffer.from([9, 0, 0]) }, "safetensors/", "model.safetensors"],
])("%s is refused", async (_, name, changes, code, words) => {
  const error = await readHubModel(folderOf(name, changes)).then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(AthanorError);
  const { code: found, message } = error as AthanorError;
  expect(found.startsWith(code), `${found} ${message}`).toBe(true);
  expect(String(error)).toContain(words);
});

test("a shard that is damaged leaves no file open", async () => {
  const folder = folderOf("llama in bf16, in shards", { "model-00003-of-00004.safetensors": "x" });
  await expect(readHubModel(folder)).rejects.toThrow("safetensors/");
  const open = readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/self/fd/${fd}`)];
    } catch {
      return []; // closed meanwhile
    }
  });
  expect(open.filter((path) => path.startsWith(folder))).toEqual([]);
});

test("a window that Mistral's file does not name is Transformers' 4096; null is none", async () => {
  const windowOf = async (sliding_window: number | null | undefined) => {
    const files = { "config.json": configOf("mistral", { sliding_window }) };
    return ((await readHubModel(folderOf("mistral", files))).config as { readonly window: number }).window;
  };
  expect(await Promise.all([undefined, null, 5].map(windowOf))).toEqual([4096, 0, 5]);
});

test("a model that no published layout holds is refused", () => {
  const { config } = modelFamily("gpt").build({ preset: "nano", bias: false, vocab: 9 }, { task: "language-model" });
  const tensors = new Map([["wte.weight", fromNumbers("f32", [1], [0])]]);
  expect(() => hubFiles({ family: "gpt", config, tensors })).toThrow(expect.objectContaining({ code: "hub/export" }));
});

test("a tokenizer that stands alone gets a configuration with its special tokens", () => {
  const { config } = modelFamily("gpt").build({ preset: "nano", bias: true, vocab: 9 }, { task: "language-model" });
  const tensors = new Map([["wte.weight", fromNumbers("f32", [1], [0])]]);
  const tokenizer = JSON.stringify({ added_tokens: [{ content: "<pad>" }, { content: "</s>" }] });
  const { texts } = hubFiles({ family: "gpt", config, tensors, files: new Map([["tokenizer.json", tokenizer]]) });
  expect(JSON.parse(texts.get("tokenizer_config.json")!)).toEqual({
    tokenizer_class: "PreTrainedTokenizerFast",
    clean_up_tokenization_spaces: false,
    pad_token: "<pad>",
    eos_token: "</s>",
  });
});

test("shards end before they pass their size, and the index says where each tensor is", () => {
  const tensor = (name: string, length: number) => ({
    name,
    dtype: "f32" as const,
    shape: [length],
    data: new Float32Array(length),
  });
  const tensors = [tensor("a", 10), tensor("b", 10), tensor("c", 100), tensor("d", 1)];
  const files = { tensorsName: "model.safetensors", tensors, metadata: {}, texts: new Map<string, string>() };
  const { files: shards, index } = shardsOf(files, 80);
  const names = [1, 2, 3].map((i) => `model-0000${i}-of-00003.safetensors`);
  expect(shards.map(({ name, tensors }) => [name, tensors.map((one) => one.name)])).toEqual([
    [names[0], ["a", "b"]],
    [names[1], ["c"]],
    [names[2], ["d"]],
  ]);
  expect(index.map(([name, text]) => [name, JSON.parse(text)])).toEqual([
    [
      "model.safetensors.index.json",
      { metadata: { total_size: 484 }, weight_map: { a: names[0], b: names[0], c: names[1], d: names[2] } },
    ],
  ]);
  expect(shardsOf(files, 484)).toEqual({ files: [{ name: "model.safetensors", tensors }], index: [] });
});

test("damaged configurations never do worse than an error", async () => {
  const text = Buffer.from(golden.cases.llama!.files["config.json"]!, "base64");
  let refused = 0;
  for (let round = 0; round < 300; round++) {
    const bytes = Buffer.from(text);
    bytes[(round * 7919) % bytes.length] = (round * 104729) % 256;
    const outcome = await readHubModel(folderOf("llama", { "config.json": bytes })).catch((error: unknown) => error);
    if (outcome instanceof Error) {
      refused++;
      expect(outcome, String(outcome)).toBeInstanceOf(AthanorError);
    }
  }
  expect(refused).toBeGreaterThan(100);
});

test("where answers end is written for Transformers, unless a file says it already", () => {
  const template = { eos_token: "<|im_end|>", chat_template: "{{ messages }}" };
  const config = { vocab: 29, width: 12, layers: 1, heads: 3, context: 16, dropout: 0, bias: true, normBias: true };
  const write = (more: readonly (readonly [string, string])[]) =>
    hubFiles({
      ...{ family: "gpt", task: "language-model", classes: undefined },
      config: { ...config, activation: "geluTanh", tiedHead: true, eps: 1e-5 },
      tensors: new Map([["wte.weight", fromNumbers("f32", [1], [0])]]),
      files: new Map([
        ["tokenizer.json", JSON.stringify({ added_tokens: [{ id: 7, content: "<|im_end|>" }] })],
        ["tokenizer_config.json", JSON.stringify(template)],
        ...more,
      ]),
    }).texts.get("generation_config.json");
  expect(JSON.parse(write([])!)).toEqual({ eos_token_id: 7 });
  expect(write([["generation_config.json", "{}"]])).toBe("{}");
});

test("a tensor to be written is made when its turn comes, and not before", async () => {
  const { family, config, tensors } = await readHubModel(folderOf("llama"));
  const made: string[] = [];
  const lazy = new Map(
    [...tensors].map(([name, { dtype, shape, data }]) => {
      const make = () => {
        made.push(name);
        return data;
      };
      return [name, { dtype, shape, data: make }];
    }),
  );
  const files = hubFiles({ family, config, tensors: lazy });
  expect(made).toEqual([]);
  for (const [at, { data }] of files.tensors.entries()) {
    await (data as () => unknown)();
    expect(made).toHaveLength(at + 1);
  }
  expect(made).toEqual([...tensors.keys()]);
});

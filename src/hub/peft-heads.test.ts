// Adapters that PEFT wrote beside encoders and a model that writes text, with the heads that are trained whole: read, run, written again.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { referenceLogits } from "../../test/support/reference-logits.ts";
import { fromNumbers } from "../base/index.ts";
import { SafetensorsFile, writeSafetensors } from "../checkpoint/index.ts";
import { modelFamily } from "../models/index.ts";
import { addLora } from "../nn/index.ts";
import { peftFiles, readPeftModel } from "./index.ts";

type Files = { readonly [name: string]: string };
const goldenOf = (name: string) => JSON.parse(readFileSync(`test/golden/${name}.json`, "utf8"));
const [encoders, writers] = [goldenOf("hub-bert"), goldenOf("hub-classifiers")];
const hubOf = (name: string) => (name === "llama" ? writers : encoders);
const { cases } = goldenOf("peft-heads") as { cases: { [name: string]: { files: Files; logits: number[] } } };

const scratch = mkdtempSync(join(tmpdir(), "athanor-peft-heads-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
function folderOf(name: string, files: Files): string {
  const folder = join(scratch, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), Buffer.from(text, "base64"));
  return folder;
}

describe.each(Object.entries(cases))("%s", (name, { files, logits }) => {
  const hub = hubOf(name);
  folderOf(name, hub.cases[name].files); // the name that the adapter's configuration has
  const before = folderOf(`${name} adapter`, files);

  test("gives PEFT's logits, the head's own among them", async () => {
    const { family, config, task, adapter, tensors } = await readPeftModel(before);
    const { module } = modelFamily(family).build(config, { task });
    addLora(module, adapter);
    const tokens = fromNumbers("i32", [hub.batch, hub.time], hub.tokens);
    const got = referenceLogits(module, tensors, tokens);
    assertClose(present(got, hub), present(logits, hub), { absolute: 2e-5, what: "logits" });
  });

  test("is written as it was: names, bytes, and what PEFT reads of its configuration", async () => {
    const model = await readPeftModel(before);
    const { texts, tensorsName, ...rest } = peftFiles({ ...model, base: name, files: new Map() });
    const after = folderOf(`${name} written`, {});
    await writeSafetensors(join(after, tensorsName), rest.tensors, rest);
    const [theirs, ours] = [
      await SafetensorsFile.open(join(before, tensorsName)),
      await SafetensorsFile.open(join(after, tensorsName)),
    ];
    expect([...ours.names].sort()).toEqual([...theirs.names].sort());
    for (const tensor of theirs.names) expect(await ours.read(tensor), tensor).toEqual(await theirs.read(tensor));
    await Promise.all([theirs.close(), ours.close()]);
    const { target_modules: targets, modules_to_save: saved, ...same } = JSON.parse(texts.get("adapter_config.json")!);
    const config = JSON.parse(readFileSync(join(before, "adapter_config.json"), "utf8"));
    expect(config).toMatchObject(same);
    for (const target of targets) expect(config.target_modules).toContain(target.replace(/^.*\./, ""));
    for (const module of saved) expect(config.modules_to_save).toContain(module); // PEFT adds names of other models' heads
  });
});

/** Of logits by token those of tokens that are there: padding means nothing. */
function present(values: ArrayLike<number>, { tokens }: { tokens: readonly number[] }): number[] {
  const width = values.length / tokens.length;
  return Array.from(values).filter((_, at) => width < 1 || tokens[Math.floor(at / width)]! >= 0);
}

test("a head that the configuration names and the file lacks is refused", async () => {
  const folder = folderOf("without", cases.tokens!.files);
  const path = join(folder, "adapter_config.json");
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), modules_to_save: ["embeddings"] }));
  await expect(readPeftModel(folder, join(scratch, "tokens"))).rejects.toMatchObject({
    code: "hub/adapter",
    expected: "base_model.model.bert.embeddings.word_embeddings.weight [23,8]",
    got: "no tensor of this name",
  });
});

test("what an adapter of PEFT's has whole beside it, and is no head, is written again", async () => {
  folderOf("classes", encoders.cases.classes.files);
  const model = await readPeftModel(folderOf("classes adapter", cases.classes!.files));
  expect(model.wholes).toContain("classifier.weight");
  const wholes = [...model.wholes, "bert.embeddings.LayerNorm.weight", "bert.embeddings.LayerNorm.bias"];
  const { texts, tensors } = peftFiles({ ...model, wholes, base: "classes", files: new Map() });
  expect(JSON.parse(texts.get("adapter_config.json")!).modules_to_save).toContain("bert.embeddings.LayerNorm");
  const [norm] = tensors.filter(({ name }) => name === "base_model.model.bert.embeddings.LayerNorm.weight");
  expect(norm?.data).toEqual(model.tensors.get("bert.embeddings.LayerNorm.weight")!.data);
  expect(new Set(tensors.map(({ name }) => name)).size).toBe(tensors.length);
});

test("an adapter within the head, which is trained whole, is not written", async () => {
  folderOf("classes", encoders.cases.classes.files);
  const { tensors, ...model } = await readPeftModel(folderOf("classes adapter", cases.classes!.files));
  const added = ["A", "B"].map((part) => [`classifier.lora.${part}`, fromNumbers("f32", [1, 1], [1])] as const);
  const write = () => peftFiles({ ...model, tensors: new Map([...tensors, ...added]), base: "", files: new Map() });
  expect(write).toThrow(expect.objectContaining({ code: "hub/export", where: "classifier" }));
});

test("an adapter of a task that PEFT was not seen to read is not written", async () => {
  folderOf("tokens", encoders.cases.tokens.files);
  const model = await readPeftModel(folderOf("tokens adapter", cases.tokens!.files));
  expect(() => peftFiles({ ...model, task: "embedding", base: "tokens", files: new Map() })).toThrowError(
    /hub\/export.*an adapter of this task is not written alone/s,
  );
});

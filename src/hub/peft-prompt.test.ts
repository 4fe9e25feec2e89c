// Virtual tokens, and prefixes of keys and values, that PEFT wrote: read before their model, run, written again; and folders that are wrong, refused by name.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { referenceLogits } from "../../test/support/reference-logits.ts";
import { fromNumbers } from "../base/index.ts";
import { SafetensorsFile, writeSafetensors } from "../checkpoint/index.ts";
import { addPrefix, addPrompt, modelFamily } from "../models/index.ts";
import { type PromptedHubModel, peftPromptFiles, readPeftFolder } from "./index.ts";

const golden = (name: string) => JSON.parse(readFileSync(`test/golden/${name}.json`, "utf8"));
const hub = golden("hub");
const { cases } = golden("peft") as {
  cases: { [name: string]: { base: string; files: { [name: string]: string }; logits: number[] } };
};
const { files } = cases.prompt!;

const scratch = mkdtempSync(join(tmpdir(), "athanor-prompt-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));

function folderOf(name: string, contents: { readonly [name: string]: string }): string {
  const folder = join(scratch, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries(contents)) writeFileSync(join(folder, file), Buffer.from(text, "base64"));
  return folder;
}
for (const base of ["llama", "gpt2"]) folderOf(base, hub.cases[base].files); // the names that the configurations have
const read = async (folder: string, base?: string) => (await readPeftFolder(folder, base)) as PromptedHubModel;

describe.each(["prompt", "prefix", "prefix of gpt2"])("%s", (name) => {
  const { base, files, logits } = cases[name]!;
  const before = folderOf(name, files);

  test("gives PEFT's logits", async () => {
    const { family, config, tensors, prompt, prefix } = await read(before);
    const { module } = modelFamily(family).build(config, { task: "language-model" });
    if (prefix === undefined) addPrompt(module, prompt!.tokens);
    else addPrefix(module, prefix);
    const tokens = fromNumbers("i32", [hub.batch, hub.time], hub.tokens);
    assertClose(referenceLogits(module, tensors, tokens), logits, { absolute: 2e-5, what: "logits" });
  });

  test("is written as it was: bytes, and what PEFT reads of its configuration", async () => {
    const carried = new Map([["chat_template.jinja", "{{ messages }}"]]);
    const { texts, tensorsName, ...rest } = peftPromptFiles({ ...(await read(before)), base, files: carried });
    const after = folderOf(`${name} written`, {});
    await writeSafetensors(join(after, tensorsName), rest.tensors, rest);
    for (const [file, text] of texts) writeFileSync(join(after, file), text);
    const [theirs, ours] = [
      await SafetensorsFile.open(join(before, tensorsName)),
      await SafetensorsFile.open(join(after, tensorsName)),
    ];
    expect(ours.names).toEqual(theirs.names);
    expect(await ours.read("prompt_embeddings")).toEqual(await theirs.read("prompt_embeddings"));
    await Promise.all([theirs.close(), ours.close()]);
    const config = JSON.parse(readFileSync(join(before, "adapter_config.json"), "utf8"));
    expect(config).toMatchObject(JSON.parse(texts.get("adapter_config.json")!));
    expect((await read(after)).texts.get("chat_template.jinja")).toBe("{{ messages }}");
  });
});

test.each([
  ["another number than its tensor has", { num_virtual_tokens: 5 }, "hub/adapter", "[5,16]"],
  ["tokens of a decoder too", { num_transformer_submodules: 2 }, "config/invalid", "num_transformer_submodules"],
  ["whole modules beside it", { modules_to_save: ["lm_head"] }, "config/invalid", "modules_to_save"],
  ["keys and values that are no prefix of this model", { peft_type: "PREFIX_TUNING" }, "hub/adapter", "[4,32]"],
  ["a base that is not here", { base_model_name_or_path: "somebody/else" }, "hub/adapter", "--adapter"],
])("%s: refused", async (name, changes, code, text) => {
  const folder = folderOf(name, files);
  const path = join(folder, "adapter_config.json");
  writeFileSync(path, JSON.stringify({ ...JSON.parse(readFileSync(path, "utf8")), ...changes }));
  await expect(read(folder)).rejects.toMatchObject({ code, message: expect.stringContaining(text) });
});

test("a folder that is no adapter is told so", async () => {
  await expect(read(folderOf("nothing", {}))).rejects.toMatchObject({
    code: "hub/files",
    got: "no adapter_config.json",
  });
});

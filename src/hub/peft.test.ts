// Adapter folders that PEFT wrote: read beside their model, run, written again; and folders that are wrong, refused by name.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { runReference } from "../../test/support/run-reference.ts";
import { fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import { SafetensorsFile, writeSafetensors } from "../checkpoint/index.ts";
import { type Tensor, trace } from "../core/index.ts";
import { modelFamily } from "../models/index.ts";
import { addLora, functionalCall, type LoraConfig } from "../nn/index.ts";
import { type AdaptedHubModel, isHubFolder, isPeftFolder, peftFiles, readPeftModel } from "./index.ts";

type Files = { readonly [name: string]: string };
const goldenOf = (name: string) => JSON.parse(readFileSync(`test/golden/${name}.json`, "utf8"));
const hub = goldenOf("hub") as {
  batch: number;
  time: number;
  tokens: number[];
  cases: { [name: string]: { files: Files } };
};
const { cases } = goldenOf("peft") as { cases: { [name: string]: { base: string; files: Files; logits: number[] } } };
const lora = Object.entries(cases).filter(([name]) => name.includes("lora") || name === "dora");

const scratch = mkdtempSync(join(tmpdir(), "athanor-peft-"));
afterAll(() => rmSync(scratch, { recursive: true, force: true }));
let made = 0;

function folderOf(
  files: Files,
  changes: { readonly [name: string]: string | Buffer } = {},
  name = String(made++),
): string {
  const folder = join(scratch, name);
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), Buffer.from(text, "base64"));
  for (const [file, content] of Object.entries(changes)) writeFileSync(join(folder, file), content);
  return folder;
}
/** The base stands beside the adapter's folder, under the name that its configuration has. */
const baseOf = (name: string) => folderOf(hub.cases[cases[name]!.base]!.files, {}, cases[name]!.base);
const adapterOf = (name: string, changes: object = {}) => {
  const config = JSON.parse(Buffer.from(cases[name]!.files["adapter_config.json"]!, "base64").toString());
  return folderOf(cases[name]!.files, { "adapter_config.json": JSON.stringify({ ...config, ...changes }) });
};

/** Logits of a model with its adapter, in f64. */
function logitsOf(
  { family, config, task }: AdaptedHubModel,
  adapter: LoraConfig,
  tensors: ReadonlyMap<string, HostArray>,
) {
  const { module } = modelFamily(family).build(config, { task });
  addLora(module, adapter);
  const values = [...tensors].map(([key, array]) => [key, fromNumbers("f64", array.shape, toNumbers(array))] as const);
  const feeds = { ...Object.fromEntries(values), tokens: fromNumbers("i32", [hub.batch, hub.time], hub.tokens) };
  const graph = trace(
    feeds,
    ({ tokens, ...parameters }: { readonly [name: string]: Tensor }) =>
      functionalCall(module, new Map(Object.entries(parameters)), () => module.forward(tokens!)) as Tensor,
    { floatDType: "f64" },
  );
  return toNumbers(runReference(graph, feeds).result!);
}

async function tensorsIn(path: string): Promise<Map<string, HostArray>> {
  const file = await SafetensorsFile.open(path);
  const found = new Map<string, HostArray>();
  for (const name of [...file.names].sort()) found.set(name, await file.read(name));
  await file.close();
  return found;
}

async function written(model: AdaptedHubModel, adapter: LoraConfig, tensors: ReadonlyMap<string, HostArray>) {
  const texts = new Map([["chat_template.jinja", "{{ messages }}"]]);
  const base = model.family === "gpt" ? "gpt2" : "llama";
  const files = peftFiles({ ...model, adapter, tensors, base, files: texts });
  const folder = folderOf({}, Object.fromEntries(files.texts));
  await writeSafetensors(join(folder, files.tensorsName), files.tensors, files);
  return folder;
}

describe.each(lora)("%s", (name, { logits }) => {
  test("gives PEFT's logits beside the model that it names, and beside one that is given", async () => {
    const [folder, base] = [adapterOf(name), baseOf(name)];
    expect([await isPeftFolder(folder), await isPeftFolder(base), await isHubFolder(folder)]).toEqual([
      true,
      false,
      false,
    ]);
    const model = await readPeftModel(folder);
    assertClose(logitsOf(model, model.adapter, model.tensors), logits, { absolute: 2e-5, what: "logits" });
    const elsewhere = adapterOf(name, { base_model_name_or_path: "somebody/else" });
    expect((await readPeftModel(elsewhere, base)).tensors).toEqual(model.tensors);
  });

  test("is written as it was: names, shapes, bytes, and what PEFT reads of its configuration", async () => {
    const [before] = [adapterOf(name), baseOf(name)];
    const model = await readPeftModel(before);
    const after = await written(model, model.adapter, model.tensors);
    expect((await readPeftModel(after)).texts.get("chat_template.jinja")).toBe("{{ messages }}");
    const file = "adapter_model.safetensors";
    expect(await tensorsIn(join(after, file))).toEqual(await tensorsIn(join(before, file)));
    const [theirs, ours] = [before, after].map((folder) =>
      JSON.parse(readFileSync(join(folder, "adapter_config.json"), "utf8")),
    );
    for (const key of Object.keys(ours).filter((key) => key !== "target_modules"))
      expect([key, ours[key]]).toEqual([key, theirs[key]]);
    for (const target of ours.target_modules) expect(theirs.target_modules).toContain(target.replace(/^.*\./, ""));
  });
});

test.each([false, true])(
  "PiSSA's own start becomes further columns, rank stabilized %s: the base is as it was",
  async (rankStabilized) => {
    baseOf("lora");
    const model = await readPeftModel(adapterOf("lora"));
    const adapter: LoraConfig = { ...model.adapter, init: "pissa", rankStabilized };
    const starts = [...model.tensors].flatMap(([name, { shape, data }]) =>
      /\.lora\.[AB]$/.test(name)
        ? [
            [
              `${name}0`,
              fromNumbers(
                "f32",
                shape,
                Array.from(data as Float32Array, (value, at) => value + ((at % 5) - 2) / 9),
              ),
            ] as const,
          ]
        : [],
    );
    const tensors = new Map([...model.tensors, ...starts]);
    const again = await readPeftModel(await written(model, adapter, tensors));
    expect(again.adapter.rank).toBe(2 * adapter.rank);
    const [wanted, got] = [logitsOf(model, adapter, tensors), logitsOf(again, again.adapter, again.tensors)];
    assertClose(got, [...wanted], { absolute: 1e-12, what: "logits" });
  },
);

test.each([
  ["ranks by layer", { rank_pattern: { q_proj: 8 } }, "config/invalid", "rank_pattern"],
  ["biases", { bias: "all" }, "config/invalid", "bias"],
  [
    "a whole module that is not there",
    { modules_to_save: ["lm_head"] },
    "hub/adapter",
    "base_model.model.lm_head.weight [29,16]",
  ],
  ["a start that changed the base", { init_lora_weights: "pissa_niter_4" }, "config/invalid", "init_lora_weights"],
  ["another method", { peft_type: "IA3" }, "config/invalid", "peft_type"],
  ["another rank than its tensors", { r: 5 }, "hub/adapter", "[5,"],
  ["lengths that are not there", { use_dora: true }, "hub/adapter", "lora_magnitude_vector"],
  ["a base that is not here", { base_model_name_or_path: "somebody/else" }, "hub/adapter", "--adapter"],
])("%s: refused", async (_, changes, code, text) => {
  baseOf("lora");
  await expect(readPeftModel(adapterOf("lora", changes))).rejects.toMatchObject({
    code,
    message: expect.stringContaining(text),
  });
});

test("an adapter of another model is refused", async () => {
  const base = baseOf("lora of gpt2");
  await expect(readPeftModel(adapterOf("lora"), base)).rejects.toMatchObject({ code: "hub/adapter" });
});

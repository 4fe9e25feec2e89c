// Adapters end to end: the base stays as it was, they are trained, resumed, merged, exported, and refused where they have no place.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { evaluateRun, load } from "../../src/api/index.ts";
import { toNumbers } from "../../src/base/index.ts";
import { loadLatest, SafetensorsFile } from "../../src/checkpoint/index.ts";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";

const folder = scratchFolder();
afterAll(() => folder.remove());
const at = (...names: string[]) => join(folder.path, ...names);
const cli = (...args: string[]) => runCli([...args, "--json"], folder.path);
const model = { llama: { layers: 2, heads: 4, keyValueHeads: 2, width: 32, context: 16 } };
const adapter = { lora: { rank: 2, targets: ["*.q_proj", "*.v_proj"] } };
const tensorsOf = async (run: string) => (await loadLatest(at(run)))!.checkpoint.tensors;

beforeAll(async () => {
  const base = await cli("train", writeTinyRecipe(folder.path, { model, steps: 30 }), "--run-dir", "base");
  expect(base.code, base.stderr).toBe(0);
  const recipe = writeTinyRecipe(folder.path, { model, adapter, optimizer: { adamw: { lr: 0.02 } }, steps: 20 });
  const tuned = await cli("train", recipe, "--run-dir", "tuned", "--init-from", "base");
  expect(tuned.code, tuned.stderr).toBe(0);
}, 120_000);

test("the adapters alone are trained, and lower the loss", async () => {
  const [before, after] = [await tensorsOf("base"), await tensorsOf("tuned")];
  const parameters = [...before.keys()].filter((name) => !name.startsWith("adam."));
  for (const name of parameters) expect(toNumbers(after.get(name)!), name).toEqual(toNumbers(before.get(name)!));
  const slots = [...after.keys()].filter((name) => name.startsWith("adam."));
  expect(slots.length).toBe(2 * 2 * 2 * 2); // two moments of A and B, in two layers, for two projections
  expect(slots.every((name) => name.includes(".lora."))).toBe(true);
  for (const name of [...after.keys()].filter((one) => one.endsWith(".lora.B")))
    expect(
      toNumbers(after.get(name)!).some((value) => value !== 0),
      name,
    ).toBe(true);
  const loss = async (run: string) => (await evaluateRun(at(run))).loss;
  expect(await loss("tuned")).toBeLessThan((await loss("base")) - 1e-3);
});

test("a run that was paused ends with the same bytes", async () => {
  const recipe = writeTinyRecipe(folder.path, { model, adapter, optimizer: { adamw: { lr: 0.02 } }, steps: 20 });
  const args = ["train", recipe, "--run-dir", "paused", "--init-from", "base"] as const;
  expect(await cli(...args, "--until", "10")).toMatchObject({ code: 0 });
  const rest = await cli("train", recipe, "--run-dir", "paused", "--resume");
  expect(rest.code, rest.stderr).toBe(0);
  expect(await tensorsOf("paused")).toEqual(await tensorsOf("tuned"));
});

test("merged weights write the text that the adapters write, and another than the base", async () => {
  expect(await cli("export", "tuned", "merged", "--layout", "huggingface")).toMatchObject({ code: 0 });
  const logits = async (path: string) => {
    const loaded = await load(at(path));
    return await loaded.generate("the ", { maxTokens: 30, temperature: 0 });
  };
  expect((await logits("merged")).text).toBe((await logits("tuned")).text);
  const [merged, base] = [await load(at("merged")), await load(at("base"))];
  expect(merged.description.adapter).toBeUndefined();
  await base.save(at("base-export"), { layout: "huggingface" });
  const bytes = (name: string) => readFileSync(at(name, "model.safetensors"));
  expect(bytes("merged").length).toBe(bytes("base-export").length);
  expect(bytes("merged").equals(bytes("base-export"))).toBe(false);
});

test("adapters are exported alone, by PEFT's names", async () => {
  expect(await cli("export", "tuned", "adapter", "--layout", "peft")).toMatchObject({ code: 0 });
  const config = JSON.parse(readFileSync(at("adapter", "adapter_config.json"), "utf8"));
  expect(config).toMatchObject({ peft_type: "LORA", r: 2, lora_alpha: 4, fan_in_fan_out: false });
  expect(config.target_modules).toContain("model.layers.1.self_attn.v_proj");
  const file = await SafetensorsFile.open(at("adapter", "adapter_model.safetensors"));
  const shapes = Object.fromEntries(
    await Promise.all(file.names.map(async (name) => [name, (await file.read(name)).shape] as const)),
  );
  await file.close();
  expect(Object.keys(shapes)).toHaveLength(8);
  expect(shapes["base_model.model.model.layers.0.self_attn.v_proj.lora_A.weight"]).toEqual([2, 32]);
  expect(shapes["base_model.model.model.layers.0.self_attn.v_proj.lora_B.weight"]).toEqual([16, 2]);
});

describe.each([
  ["dora", { magnitude: true }],
  ["pissa", { init: "pissa" }],
  ["rslora-plus", { rankStabilized: true, ratio: 4 }],
])("%s", (name, settings) => {
  const recipe = (lr: number, steps: number) =>
    writeTinyRecipe(folder.path, {
      ...{ model, steps, optimizer: { adamw: { lr } } },
      adapter: { lora: { ...adapter.lora, ...settings } },
    });
  const loss = async (run: string) => (await evaluateRun(at(run))).loss;

  test("begins as the base is, and learns", async () => {
    const still = await cli("train", recipe(1e-30, 1), "--run-dir", `${name}-still`, "--init-from", "base");
    expect(still.code, still.stderr).toBe(0);
    expect(await loss(`${name}-still`)).toBeCloseTo(await loss("base"), 5);
    expect(await cli("train", recipe(0.02, 20), "--run-dir", name, "--init-from", "base")).toMatchObject({ code: 0 });
    expect(await loss(name)).toBeLessThan((await loss("base")) - 1e-3);
  });

  test("is merged, and goes through PEFT's layout, without a change of the text that it writes", async () => {
    expect(await cli("export", name, `${name}-merged`, "--layout", "huggingface")).toMatchObject({ code: 0 });
    expect(await cli("export", name, `${name}-peft`, "--layout", "peft")).toMatchObject({ code: 0 });
    if (name === "dora")
      expect(await cli("export", "base", "base-hub", "--layout", "huggingface")).toMatchObject({ code: 0 });
    const text = async (path: string, given?: string) =>
      (
        await (
          await load(at(path), { adapter: given && at(given) })
        ).generate("the ", { maxTokens: 30, temperature: 0 })
      ).text;
    const wanted = await text(name);
    expect(await text(`${name}-merged`)).toBe(wanted);
    expect(await text("base-hub", `${name}-peft`)).toBe(wanted);
  });
});

test("an adapter of PEFT's is trained on, beside the model that it names; one of other settings is refused", async () => {
  const config = at("dora-peft", "adapter_config.json");
  writeFileSync(
    config,
    JSON.stringify({ ...JSON.parse(readFileSync(config, "utf8")), base_model_name_or_path: "base-hub" }),
  );
  const train = async (run: string, magnitude: boolean, alpha: number) => {
    const settings = { lora: { ...adapter.lora, magnitude, alpha } };
    const recipe = writeTinyRecipe(folder.path, {
      model,
      adapter: settings,
      steps: 1,
      optimizer: { adamw: { lr: 1e-30 } },
    });
    return await cli("train", recipe, "--run-dir", run, "--init-from", "dora-peft");
  };
  const went = await train("on", true, 4);
  expect(went.code, went.stderr).toBe(0);
  const loss = async (run: string) => (await evaluateRun(at(run))).loss;
  expect(await loss("on")).toBeCloseTo(await loss("dora"), 5);
  expect((await train("off", true, 8)).records.at(-1)).toMatchObject({ code: "model/adapter" });
});

test.each([
  [
    "lengths of columns beside a base in few bits",
    { adapter: { lora: { ...adapter.lora, magnitude: true, base: "nf4" } } },
    [],
    "nn/lora",
  ],
  ["a layer that is not there", { adapter: { lora: { targets: ["*.c_attn"] } } }, [], "nn/lora"],
  ["weights with an adapter for a model without", {}, ["--init-from", "tuned"], "model/adapter"],
])("%s is refused", async (_, changes, args, code) => {
  const recipe = writeTinyRecipe(folder.path, { model, ...changes, steps: 20 });
  const result = await cli("train", recipe, "--run-dir", `refused-${_.slice(0, 12)}`, ...args);
  expect(result.records.at(-1), result.stderr).toMatchObject({ code });
});

test("adapters that were not trained are not merged: the result would be the base", async () => {
  const recipe = writeTinyRecipe(folder.path, { model, adapter, optimizer: { sgd: { lr: 1e-30 } }, steps: 1 });
  expect(await cli("train", recipe, "--run-dir", "untrained")).toMatchObject({ code: 0 });
  const result = await cli("export", "untrained", "nothing", "--layout", "huggingface");
  expect(result.records.at(-1)).toMatchObject({ code: "model/merge" });
  const whole = await cli("export", "base", "no-adapter", "--layout", "peft");
  expect(whole.records.at(-1)).toMatchObject({ code: "hub/export" });
});

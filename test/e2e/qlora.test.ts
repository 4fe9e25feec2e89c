// Adapters beside weights in few bits, end to end: what stays, what is trained, what is told, merged, and refused.
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { evaluateRun, load } from "../../src/api/index.ts";
import { type HostArray, toNumbers } from "../../src/base/index.ts";
import { loadLatest } from "../../src/checkpoint/index.ts";
import { quantize, quantizedFormats } from "../../src/core/index.ts";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";

const folder = scratchFolder();
afterAll(() => folder.remove());
const at = (...names: string[]) => join(folder.path, ...names);
const cli = (...args: string[]) => runCli([...args, "--json"], folder.path);
const model = { llama: { layers: 2, heads: 4, keyValueHeads: 2, width: 32, context: 16 } };
const tensorsOf = async (run: string) => (await loadLatest(at(run)))!.checkpoint.tensors;
const recipeOf = (base: string) =>
  writeTinyRecipe(folder.path, {
    ...{ model, optimizer: { adamw: { lr: 0.02 } }, steps: 20 },
    adapter: { lora: { rank: 2, targets: ["*.q_proj", "*.v_proj"], base } },
  });

beforeAll(async () => {
  const base = await cli("train", writeTinyRecipe(folder.path, { model, steps: 30 }), "--run-dir", "base");
  expect(base.code, base.stderr).toBe(0);
}, 120_000);

describe.each(quantizedFormats)("%s", (format) => {
  const name = "model.layers.1.mlp.up_proj.weight";

  test("the base is kept as its codes, and the adapters beside it lower the loss", async () => {
    const result = await cli("train", recipeOf(format), "--run-dir", format, "--init-from", "base");
    expect(result.code, result.stderr).toBe(0);
    expect(result.records.filter(({ event }) => event === "warning")).toEqual([]);
    const [before, after] = [await tensorsOf("base"), await tensorsOf(format)];
    for (const [part, value] of Object.entries(quantize(format, before.get(name)!)))
      expect(toNumbers(after.get(`${name}.${part}`)!), part).toEqual(toNumbers(value as HostArray));
    expect(after.has(name)).toBe(false);
    expect(toNumbers(after.get("lm_head.weight")!)).toEqual(toNumbers(before.get("lm_head.weight")!));
    const loss = async (run: string) => (await evaluateRun(at(run))).loss;
    expect(await loss(format)).toBeLessThan((await loss("base")) - 1e-3);
  });

  test("what is merged writes the text that base and adapter write", async () => {
    expect(await cli("export", format, `${format}-merged`, "--layout", "huggingface")).toMatchObject({ code: 0 });
    const text = async (path: string) =>
      (await (await load(at(path))).generate("the ", { maxTokens: 30, temperature: 0 })).text;
    expect(await text(`${format}-merged`)).toBe(await text(format));
  });

  test("its other matrices are made codes where the model is loaded so", async () => {
    const small = await load(at(format), { quantize: "int8" });
    const { tokens } = await small.generate("the ", { maxTokens: 30, temperature: 0 });
    expect(tokens).toHaveLength(30);
  });

  test("a run that was paused ends with the same bytes", async () => {
    const args = ["train", recipeOf(format), "--run-dir", `${format}-paused`] as const;
    expect(await cli(...args, "--init-from", "base", "--until", "10")).toMatchObject({ code: 0 });
    expect(await cli(...args, "--resume")).toMatchObject({ code: 0 });
    expect(await tensorsOf(`${format}-paused`)).toEqual(await tensorsOf(format));
  });

  test("the plan counts whole weights, what is trained, and the bytes that are kept", async () => {
    const plan = async (recipe: string) => (await cli("plan", recipe)).records[0]!;
    const plain = await plan(writeTinyRecipe(folder.path, { model }));
    const kept = await plan(recipeOf(format));
    const trained = 2 * 2 * (32 + 32 + 32 + 16);
    expect(kept).toMatchObject({ numTrained: trained });
    expect(Number(kept.numParameters)).toBe(Number(plain.numParameters) + trained);
  });
});

test("weights of a Hugging Face folder, made codes as they are read, give the same bytes", async () => {
  expect(await cli("export", "base", "base-hub", "--layout", "huggingface")).toMatchObject({ code: 0 });
  const result = await cli("train", recipeOf("nf4"), "--run-dir", "from-hub", "--init-from", "base-hub");
  expect(result.code, result.stderr).toBe(0);
  expect(await tensorsOf("from-hub")).toEqual(await tensorsOf("nf4"));
});

test("an adapter beside random weights is told", async () => {
  const result = await cli("train", recipeOf("nf4"), "--run-dir", "random", "--set", "steps=1");
  expect(result.records.find(({ event }) => event === "start")).toMatchObject({ trained: 448 });
  expect(result.records.find(({ event }) => event === "warning")).toMatchObject({ code: "model/random-base" });
});

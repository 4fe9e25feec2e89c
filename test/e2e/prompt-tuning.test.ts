// Prompt and prefix tuning end to end: what stands before a text alone is trained, resumed, exported, read again, and refused where they have no place.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { evaluateRun, load } from "../../src/api/index.ts";
import { readModelFiles } from "../../src/api/model-files.ts";
import { toNumbers } from "../../src/base/index.ts";
import { loadLatest } from "../../src/checkpoint/index.ts";
import { parseTokenizer } from "../../src/data/index.ts";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";

const folder = scratchFolder();
afterAll(() => folder.remove());
const at = (...names: string[]) => join(folder.path, ...names);
const cli = (...args: string[]) => runCli([...args, "--json"], folder.path);
const model = { llama: { layers: 2, heads: 4, width: 32, context: 16 } };
const adapter = { prompt: { tokens: 4, text: "the " } };
const recipe = (changes: object = {}) =>
  writeTinyRecipe(folder.path, { model, adapter, optimizer: { adamw: { lr: 0.05 } }, steps: 20, ...changes });
const begun = { from: "base-hub", model: undefined, tokenizer: undefined };
const tensorsOf = async (run: string) => (await loadLatest(at(run)))!.checkpoint.tensors;
const textOf = async (path: string, given?: string) => {
  const loaded = await load(at(path), { adapter: given && at(given) });
  return (await loaded.generate("the ", { maxTokens: 30, temperature: 1, seed: 3 })).text;
};

beforeAll(async () => {
  const base = await cli(
    "train",
    recipe({ adapter: undefined, optimizer: { adamw: { lr: 3e-3 } }, steps: 30 }),
    "--run-dir",
    "base",
  );
  expect(base.code, base.stderr).toBe(0);
  expect(await cli("export", "base", "base-hub", "--layout", "huggingface")).toMatchObject({ code: 0 });
  const tuned = await cli("train", recipe(begun), "--run-dir", "tuned");
  expect(tuned.code, tuned.stderr).toBe(0);
  expect(await cli("export", "tuned", "peft", "--layout", "peft")).toMatchObject({ code: 0 });
}, 120_000);

test("they alone are trained, from the rows of the text's tokens, and lower the loss", async () => {
  const [before, after] = [await tensorsOf("base"), await tensorsOf("tuned")];
  for (const name of [...before.keys()].filter((name) => !name.startsWith("adam.")))
    expect(toNumbers(after.get(name)!), name).toEqual(toNumbers(before.get(name)!));
  expect([...after.keys()].filter((name) => name.startsWith("adam."))).toHaveLength(2);
  const still = recipe({ steps: 1, optimizer: { sgd: { lr: 1e-30 } } });
  expect(await cli("train", still, "--run-dir", "still", "--init-from", "base")).toMatchObject({ code: 0 });
  const { files } = await readModelFiles(at("base"));
  const table = toNumbers(before.get("model.embed_tokens.weight")!);
  const ids = parseTokenizer(files.get("tokenizer.json")!).encode("the ");
  const rows = [0, 1, 2, 3].flatMap((row) => {
    const id = ids[row % ids.length]!;
    return [...table.slice(32 * id, 32 * id + 32)];
  });
  expect([...toNumbers((await tensorsOf("still")).get("prompt.weight")!)]).toEqual(rows);
  expect((await evaluateRun(at("tuned"))).loss).toBeLessThan((await evaluateRun(at("still"))).loss - 1e-3);
});

test("a run that was paused ends with the same bytes", async () => {
  const args = ["train", recipe(begun), "--run-dir", "paused"] as const;
  expect(await cli(...args, "--until", "10")).toMatchObject({ code: 0 });
  expect(await cli("train", recipe(begun), "--run-dir", "paused", "--resume")).toMatchObject({ code: 0 });
  expect(await tensorsOf("paused")).toEqual(await tensorsOf("tuned"));
});

test("they go through PEFT's layout without a change of the text that they write, and are not merged", async () => {
  const wanted = await textOf("tuned");
  expect(await textOf("base-hub", "peft")).toBe(wanted);
  expect(await textOf("peft")).toBe(wanted); // its configuration names the base
  expect(await textOf("base")).not.toBe(wanted);
  const merged = await cli("export", "tuned", "merged", "--layout", "huggingface");
  expect(merged.records.at(-1)).toMatchObject({ code: "hub/export" });
});

test("an adapter beside its model is scored on a task as the run that trained it; without a task it is refused", async () => {
  writeFileSync(
    at("texts.jsonl"),
    `${JSON.stringify({ text: readFileSync(at("corpus.txt"), "utf8").slice(0, 60) })}\n`,
  );
  const score = async (...args: string[]) => (await cli("eval", ...args, "--task", "texts.jsonl")).records.at(-1)!.loss;
  const wanted = await score("tuned");
  expect(wanted).toEqual(expect.any(Number));
  expect(await score("base-hub", "--adapter", "peft")).toBe(wanted);
  expect(await score("base-hub")).not.toBe(wanted);
  const refused = await cli("eval", "base-hub", "--adapter", "peft");
  expect(refused.records.at(-1)).toMatchObject({ code: "cli/argument", where: "--adapter" });
});

test.each([
  ["trained themselves", { tokens: 4 }, 2],
  ["made by a projection", { tokens: 4, projection: 24 }, 10],
])("keys and values of each layer, %s: learnt, resumed, exported as they are", async (name, prefix, numSlots) => {
  const settings = (changes: object = {}) => recipe({ ...begun, adapter: { prefix }, ...changes });
  const args = ["--run-dir", name] as const;
  expect(await cli("train", settings(), ...args, "--until", "10")).toMatchObject({ code: 0 });
  const early = await evaluateRun(at(name));
  const resumed = await cli("train", settings(), ...args, "--resume");
  expect(resumed.code, resumed.stderr).toBe(0);
  expect((await evaluateRun(at(name))).loss).toBeLessThan(early.loss - 1e-3);
  const [before, after] = [await tensorsOf("base"), await tensorsOf(name)];
  for (const one of [...before.keys()].filter((one) => !one.startsWith("adam.")))
    expect(toNumbers(after.get(one)!), one).toEqual(toNumbers(before.get(one)!));
  expect([...after.keys()].filter((one) => one.startsWith("adam."))).toHaveLength(numSlots);
  expect(await cli("export", name, `${name} peft`, "--layout", "peft")).toMatchObject({ code: 0 });
  const wanted = await textOf(name);
  expect(await textOf(`${name} peft`)).toBe(wanted);
  expect(await textOf("base")).not.toBe(wanted);
  const merged = await cli("export", name, `${name} merged`, "--layout", "huggingface");
  expect(merged.records.at(-1)).toMatchObject({ code: "hub/export" });
  const further = settings({ from: undefined, model, tokenizer: "char", adapter: { prefix: { tokens: 4 } }, steps: 1 });
  const other = await cli("train", further, "--run-dir", `${name} further`, "--init-from", `${name} peft`);
  expect(other.code, other.stderr).toBe(0);
});

test.each([
  ["no room for the text", { adapter: { prompt: { tokens: 16 } } }, [], "model/prompt"],
  ["documents side by side in a row", { data: { path: "corpus.txt", packing: true } }, [], "config/packing"],
  ["another number of them", { adapter: { prompt: { tokens: 5 } } }, ["--init-from", "tuned"], "model/tensor"],
  ["a prefix without room", { adapter: { prefix: { tokens: 16 } } }, [], "model/prompt"],
  [
    "a prefix in packed rows",
    { adapter: { prefix: { tokens: 2 } }, data: { path: "corpus.txt", packing: true } },
    [],
    "config/packing",
  ],
  ["a model without them", { adapter: undefined }, ["--init-from", "tuned"], "model/adapter"],
])("%s: refused", async (name, changes, args, code) => {
  const result = await cli("train", recipe(changes), "--run-dir", `refused ${name}`, ...args);
  expect(result.records.at(-1), result.stderr).toMatchObject({ code });
});

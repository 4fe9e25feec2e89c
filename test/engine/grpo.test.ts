// Learning from rewards: the reward rises, a run goes on exactly where it stopped, the reference holds, and what is refused.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { evaluateRun, grpo, load, train } from "../../src/api/index.ts";
import { toNumbers } from "../../src/base/index.ts";
import { loadLatest } from "../../src/checkpoint/index.ts";
import type { RecipeInput } from "../../src/recipe/index.ts";
import type { RunEvent } from "../../src/track/index.ts";

const folder = mkdtempSync(join(tmpdir(), "athanor-grpo-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

const letters = ["a", "b", "c", "d"];
const rows = letters.flatMap((first) =>
  letters.flatMap((second) => letters.map((third) => ({ prompt: `${first}${second}${third}>`, last: third }))),
);
/** Worth 1: the last letter of the prompt, and the end. */
const reward = (_: string, completion: string, row: { readonly [column: string]: unknown }) =>
  completion === row.last ? 1 : completion.startsWith(String(row.last)) ? 0.5 : 0;

const settings = { group: 8, maxTokens: 3 };
const recipe = (changes: Partial<RecipeInput> = {}): Omit<RecipeInput, "loss"> => ({
  data: { rows, heldOut: 0.25 },
  tokenizer: "char",
  model: { gpt: { layers: 1, heads: 2, width: 32, context: 8 } },
  optimizer: { adamw: { lr: 3e-3, clip: 1 } },
  batch: { size: 64, microbatch: 32 },
  steps: 150,
  eval: { every: 50, batch: 12 },
  checkpoint: { every: 0 },
  engine: { name: "native" },
  ...changes,
});

test("the reward rises, on prompts that were not trained on too", async () => {
  const rewards: number[] = [];
  const model = grpo(
    { ...recipe(), reward, grpo: settings },
    { runDir: at("rising"), onEvent: (event) => void (event.type === "step" && rewards.push(-event.loss)) },
  );
  const { evalLoss } = await model.outcome;
  const mean = (values: readonly number[]) => values.reduce((sum, one) => sum + one, 0) / values.length;
  expect(mean(rewards.slice(0, 5))).toBeLessThan(0.3);
  expect(mean(rewards.slice(-5))).toBeGreaterThan(0.85);
  expect(-evalLoss!).toBeGreaterThan(0.85);
  const { text } = await (await load(at("rising"))).generate("abc>", { maxTokens: 1, temperature: 0 });
  expect(text).toBe("c");
});

test.each([
  ["new completions for each step", {}],
  ["completions that serve three steps", { updates: 3 }],
  ["no reference", { beta: 0, updates: 2, scale: "none", temperature: 0.8 }],
] as const)("a run that was paused ends in the same bytes: %s", async (what, more) => {
  const run = (name: string) => at(`${name} ${what}`);
  const given = { ...recipe({ steps: 14, eval: { every: 7 } }), reward, grpo: { ...settings, ...more } };
  const whole = await grpo(given, { runDir: run("whole") }).outcome;
  await grpo(given, { runDir: run("parts"), until: 5 }).outcome;
  await grpo(given, { runDir: run("parts"), until: 10, resume: true }).outcome;
  const rest = await grpo(given, { runDir: run("parts"), resume: true }).outcome;
  expect(rest.hash).toBe(whole.hash);
  expect(rest.evalLoss).toBe(whole.evalLoss);
});

test("the reference stays what the model was, and is not part of what comes after it", async () => {
  const run = at("held");
  await grpo({ ...recipe({ steps: 5 }), reward, grpo: settings }, { runDir: run, until: 0 }).outcome;
  const before = (await loadLatest(run))!.checkpoint.tensors;
  await grpo({ ...recipe({ steps: 5 }), reward, grpo: settings }, { runDir: run, resume: true }).outcome;
  const after = (await loadLatest(run))!.checkpoint.tensors;
  const values = (tensors: typeof after, name: string) => toNumbers(tensors.get(name)!);
  const names = [...after.keys()].filter((name) => name.startsWith("reference."));
  expect(names.length).toBeGreaterThan(10);
  for (const name of names) {
    const own = name.slice("reference.".length);
    expect(values(after, name), name).toEqual(values(before, own));
    if (own.endsWith("weight")) expect(values(after, own), own).not.toEqual(values(before, own));
  }
  expect([...after.keys()].filter((name) => /^adam\..*reference/.test(name))).toEqual([]);
  // another run goes on from the model alone
  const path = at("prompts.jsonl");
  writeFileSync(path, rows.map((row) => JSON.stringify(row)).join("\n"));
  const dpo = {
    ...recipe({
      steps: 1,
      batch: 16,
      data: { rows: rows.map((row) => ({ ...row, chosen: row.last, rejected: "ab\n" })) },
    }),
  };
  await train({ ...dpo, loss: "dpo" }, { runDir: at("after"), initFrom: run }).outcome;
  expect(
    [...(await loadLatest(at("after")))!.checkpoint.tensors.keys()].some((name) => name.startsWith("reference.")),
  ).toBe(false);
});

test.each([{}, { magnitude: true }, { init: "pissa" }] as const)(
  "beside an adapter (%j) the model itself is the reference, and no copy is kept",
  async (kind) => {
    const name = JSON.stringify(kind).replaceAll(/\W/g, "");
    const base = at(`base ${name}`);
    await grpo({ ...recipe({ steps: 10 }), reward, grpo: settings }, { runDir: base }).outcome;
    const adapter = { lora: { rank: 4, targets: ["*.c_attn", "*.c_fc"], ...kind } };
    const tuned = async (lr: number) => {
      const run = at(`adapted ${name} ${lr}`);
      const given = recipe({ steps: 2, adapter, optimizer: { adamw: { lr } }, eval: { every: 2, batch: 16 } });
      let kl = Number.NaN;
      const onEvent = (event: RunEvent) => {
        if (event.type === "eval") kl = event.metrics!.kl!;
      };
      await grpo({ ...given, reward, grpo: settings }, { runDir: run, initFrom: base, onEvent }).outcome;
      const { tensors } = (await loadLatest(run))!.checkpoint;
      expect([...tensors.keys()].some((one) => one.startsWith("reference."))).toBe(false);
      return kl;
    };
    expect(await tuned(1e-9)).toBeLessThan(1e-9);
    expect(await tuned(1e-2)).toBeGreaterThan(1e-5);
  },
);

test("a recipe names the reward's module, and its run can be evaluated", async () => {
  writeFileSync(at("prompts.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
  writeFileSync(
    at("reward.ts"),
    `export const reward = (p: string, c: string, row: { last: string }): number => (c === row.last ? 1 : 0);`,
  );
  const { outcome } = train(
    {
      ...recipe({ steps: 3, data: { path: at("prompts.jsonl") } }),
      loss: { grpo: { ...settings, reward: at("reward.ts") } },
    },
    { runDir: at("module") },
  );
  const { evalLoss } = await outcome;
  expect((await evaluateRun(at("module"))).loss).toBe(evalLoss);
});

test("what cannot be is refused before the run", async () => {
  const refused = (changes: object, more: object = {}) =>
    grpo({ ...recipe(changes), reward, grpo: { ...settings, ...more } }, { runDir: at("refused") }).outcome;
  await expect(refused({ batch: 60 })).rejects.toThrow(/config\/grpo.*\n.*batch\.size/);
  await expect(refused({}, { end: "ab" })).rejects.toThrow("[align/end]");
  await expect(refused({ data: { rows: [...rows, { text: "x" }] } })).rejects.toThrow("[data/prompt-row]");
  await expect(refused({ data: { rows: [...rows, { prompt: "abcdabcdabcd>" }] } })).rejects.toThrow(
    "[data/prompt-long]",
  );
  await expect(refused({}, { group: 1 })).rejects.toThrow("loss.grpo.group");
  const none = train({ ...recipe(), loss: { grpo: settings } }, { runDir: at("refused") }).outcome;
  await expect(none).rejects.toThrow("[config/reward]");
  writeFileSync(at("empty.ts"), "export const other = 1;");
  const empty = train({ ...recipe(), loss: { grpo: { reward: at("empty.ts") } } }, { runDir: at("refused") }).outcome;
  await expect(empty).rejects.toThrow("the module exports no reward");
  const gone = train({ ...recipe(), loss: { grpo: { reward: at("gone.ts") } } }, { runDir: at("refused") }).outcome;
  await expect(gone).rejects.toMatchObject({
    code: "config/reward",
    got: "no such file",
    fix: expect.stringContaining("check the path"),
  });
  const bad = grpo({ ...recipe(), reward: () => Number.NaN, grpo: settings }, { runDir: at("bad") }).outcome;
  await expect(bad).rejects.toThrow("[align/reward]");
});

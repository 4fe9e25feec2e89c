// Runs that learn from pairs: where they begin, what they reach, how they go on and are evaluated, and what is refused.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { type PreferenceName, preferenceMethod, preferenceSchemas } from "../../src/align/index.ts";
import { evaluateRun, train } from "../../src/api/index.ts";
import { toNumbers } from "../../src/base/index.ts";
import { loadLatest } from "../../src/checkpoint/index.ts";
import type { RecipeInput } from "../../src/recipe/index.ts";

const folder = mkdtempSync(join(tmpdir(), "athanor-pairs-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
/** The letter that came is repeated by the chosen completion, and not by the other. */
const rows = Array.from({ length: 64 }, (_, at) => {
  const letters = ["a", "b", "c", "d"];
  const [own, other] = [letters[at % 4]!, letters[(at + 1 + (at >> 2)) % 4]!];
  return { prompt: `${own}:`, chosen: own.repeat(1 + (at % 3)), rejected: other === own ? "ab" : other };
});
const recipe = (changes: Partial<RecipeInput> = {}): RecipeInput => ({
  data: { rows, heldOut: 0.25 },
  tokenizer: "char",
  model: { gpt: { layers: 1, heads: 2, width: 16, context: 8 } },
  loss: { dpo: {} },
  optimizer: { adamw: { lr: 1e-2 } },
  batch: 16,
  steps: 30,
  eval: { every: 30 },
  checkpoint: { every: 15 },
  engine: { name: "native" },
  ...changes,
});

test.each(Object.keys(preferenceSchemas) as PreferenceName[])(
  "by %s prefers what was chosen, of held-out pairs too",
  async (name) => {
    const steps: number[] = [];
    const evaluations: { loss: number; metrics?: { readonly [name: string]: number } | undefined }[] = [];
    await train(recipe({ loss: { [name]: {} } }), {
      runDir: join(folder, name),
      onEvent: (event) => {
        if (event.type === "step") steps.push(event.loss);
        if (event.type === "eval") evaluations.push(event);
      },
    }).outcome;
    const { lossAtFirst } = preferenceMethod({ [name]: preferenceSchemas[name].parse({}) })!;
    if (lossAtFirst !== undefined) expect(steps[0]).toBeCloseTo(lossAtFirst, 5); // the model is its reference
    expect(steps.at(-1)).toBeLessThan(steps[0]!);
    expect(evaluations[0]!.metrics!.accuracy).toBeGreaterThan(0.9);
    expect(evaluations[0]!.metrics!.margin).toBeGreaterThan(0);
  },
);

test("keeps what the reference thinks: a run that was paused ends alike, and is evaluated alike", async () => {
  const whole = await train(recipe(), { runDir: join(folder, "whole") }).outcome;
  await train(recipe(), { runDir: join(folder, "parts"), until: 20 }).outcome;
  const rest = await train(recipe(), { runDir: join(folder, "parts"), resume: true }).outcome;
  expect(rest.hash).toBe(whole.hash);
  expect(rest.evalLoss).toBe(whole.evalLoss);
});

test("with an adapter is held by the model without it", async () => {
  const base = join(folder, "base");
  await train(recipe({ steps: 10, loss: { orpo: {} } }), { runDir: base }).outcome;
  const referenceIn = async (run: string) =>
    Buffer.from((await loadLatest(run))!.checkpoint.files.get("reference.json")!).toString();
  const whole = { runDir: join(folder, "whole-from"), initFrom: base };
  const beside = { runDir: join(folder, "adapted"), initFrom: base };
  await train(recipe({ steps: 3 }), whole).outcome;
  const adapter = { lora: { rank: 2, targets: ["*.c_attn"] } };
  await train(recipe({ steps: 20, adapter }), beside).outcome;
  expect(await referenceIn(beside.runDir)).toBe(await referenceIn(whole.runDir));
  const [before, after] = await Promise.all([base, beside.runDir].map(async (run) => (await loadLatest(run))!));
  const name = "h.0.attn.c_attn.weight";
  expect(toNumbers(after!.checkpoint.tensors.get(name)!)).toEqual(toNumbers(before!.checkpoint.tensors.get(name)!));
});

test("refuses what it has no use for, and to be evaluated on pairs that its reference has not seen", async () => {
  const refused = (changes: object) => train(recipe(changes), { runDir: join(folder, "refused") }).outcome;
  await expect(refused({ data: { rows, cache: "x" } })).rejects.toThrow("[config/unread]");
  const records = Array.from({ length: 40 }, (_, at) => ({ x: at, y: at % 2 ? "odd" : "even" }));
  const table = { data: { rows: records }, model: { mlp: {} }, tokenizer: undefined };
  await expect(refused(table)).rejects.toThrow("dpo is no loss of");
  await expect(refused({ loss: { dpo: { beta: 0 } } })).rejects.toThrow("loss.dpo.beta");
  const path = join(folder, "pairs.jsonl");
  writeFileSync(path, rows.map((row) => JSON.stringify(row)).join("\n"));
  const run = join(folder, "from-file");
  const { evalLoss } = await train(recipe({ data: { path, heldOut: 0.25 }, steps: 5 }), { runDir: run }).outcome;
  expect((await evaluateRun(run)).loss).toBe(evalLoss);
  await expect(evaluateRun(run, { set: ["data.heldOut=0.5"] })).rejects.toThrow("[align/reference]");
});

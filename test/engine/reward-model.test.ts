// Reward models: they learn which of two texts is preferred, from fresh weights or from a language model's, and score texts.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { load, type NumberPrediction, train } from "../../src/api/index.ts";
import { toNumbers } from "../../src/base/index.ts";
import { loadLatest } from "../../src/checkpoint/index.ts";
import type { RecipeInput } from "../../src/recipe/index.ts";

const folder = mkdtempSync(join(tmpdir(), "athanor-reward-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

const letters = ["a", "b", "c", "d"];
const rows = Array.from({ length: 96 }, (_, row) => {
  const [own, other] = [letters[row % 4]!, letters[(row + 1 + (Math.floor(row / 4) % 3)) % 4]!];
  return { prompt: `${letters[(row >> 2) % 4]}${own}:`, chosen: own.repeat(1 + (row % 3)), rejected: other };
});
const models = {
  gpt: { gpt: { layers: 1, heads: 2, width: 32, context: 12, tiedHead: false } },
  llama: { llama: { layers: 1, heads: 2, width: 32, context: 12 } },
};
const recipe = (changes: Partial<RecipeInput> = {}): RecipeInput => ({
  data: { rows, heldOut: 0.25 },
  tokenizer: "char",
  model: models.gpt,
  loss: "bradleyTerry",
  optimizer: { adamw: { lr: 3e-3 } },
  batch: 24,
  steps: 150,
  eval: { every: 150, batch: 10 },
  checkpoint: { every: 0 },
  engine: { name: "native" },
  ...changes,
});
const value = (prediction: unknown) => (prediction as NumberPrediction).value;

test.each(Object.entries(models))(
  "%s scores what is preferred higher, and a text by itself as in its pair",
  async (name, model) => {
    const losses: number[] = [];
    const run = train(recipe({ model }), {
      runDir: at(name),
      onEvent: (event) => {
        if (event.type === "step") losses.push(event.loss);
        if (event.type === "eval") expect(event.metrics!.accuracy).toBeGreaterThan(0.9);
      },
    });
    const scorer = await run;
    expect(losses[0]).toBeCloseTo(Math.LN2, 1); // scores begin near 0
    const scores = await scorer.predict(["ab:b", "ab:c", "ab:bb"]);
    expect(value(scores[0])).toBeGreaterThan(value(scores[1]) + 1);
    expect(value(scores[2])).toBeGreaterThan(value(scores[1]) + 1);
    expect(value(await scorer.predict("ab:b"))).toBeCloseTo(value(scores[0]), 4);
    await scorer.save(at(`${name} saved`));
    expect(value(await (await load(at(`${name} saved`))).predict("ab:b"))).toBe(value(await scorer.predict("ab:b")));
    await expect(scorer.generate("ab:")).rejects.toThrow("[model/task]");
  },
);

test("one begins with a language model's weights, and a head of its own", async () => {
  await train(recipe({ loss: "orpo", steps: 5 }), { runDir: at("base") }).outcome;
  const notes: string[] = [];
  const onNote = (text: string) => void notes.push(text);
  await train(recipe({ steps: 0 }), { runDir: at("scorer"), initFrom: at("base"), onNote }).outcome;
  expect(notes.join()).toContain("trained for another task: 1 tensors of the head begin anew, score.weight");
  const [before, after] = await Promise.all(["base", "scorer"].map(async (run) => (await loadLatest(at(run)))!));
  const tensorsOf = (one: typeof before) => one!.checkpoint.tensors;
  expect(toNumbers(tensorsOf(after).get("wte.weight")!)).toEqual(toNumbers(tensorsOf(before).get("wte.weight")!));
  expect([tensorsOf(before).has("lm_head.weight"), tensorsOf(after).has("lm_head.weight")]).toEqual([true, false]);
});

test("what cannot be is refused", async () => {
  const refused = (changes: object) => train(recipe(changes), { runDir: at("refused") }).outcome;
  await expect(refused({ data: { rows, chat: {} } })).rejects.toThrow("[config/unread]");
  await expect(refused({ samples: {} })).rejects.toThrow("[config/unread]");
});

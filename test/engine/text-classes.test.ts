// Classes of texts by models that write text: from fresh weights or a language model's, saved, exported and read again.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { type ClassPrediction, load, train } from "../../src/api/index.ts";
import type { RecipeInput } from "../../src/recipe/index.ts";

const folder = mkdtempSync(join(tmpdir(), "athanor-text-classes-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const at = (name: string) => join(folder, name);

// what a text begins with decides, what follows does not
const texts = Array.from({ length: 96 }, (_, row) => ({
  text: `${"xyz"[row % 3]}${"abcab".slice(0, row % 6)}${"ba".repeat(row % 4)}`,
  label: ["good", "bad", "odd"][row % 3]!,
}));
const sizes = { layers: 1, heads: 2, width: 32, context: 16 };
const models = { gpt: { gpt: sizes }, llama: { llama: sizes } };
const recipe = (changes: Partial<RecipeInput> = {}): RecipeInput => ({
  data: { rows: texts, task: "classification", heldOut: 0.25 },
  tokenizer: "char",
  model: models.gpt,
  optimizer: { adamw: { lr: 3e-3 } },
  batch: 24,
  steps: 120,
  eval: { every: 120, batch: 24 },
  checkpoint: { every: 0 },
  engine: { name: "native" },
  ...changes,
});
const asked = texts.slice(-3).map(({ text }) => text); // 93, 94, 95: one of each class
const classesOf = (predictions: unknown) => (predictions as ClassPrediction[]).map(({ label }) => label);

test.each(Object.entries(models))(
  "%s tells classes apart, whatever stands beside a text in its batch",
  async (name, model) => {
    let accuracy = 0;
    const run = train(recipe({ model }), {
      runDir: at(name),
      onEvent: (event) => {
        if (event.type === "eval") accuracy = event.metrics!.accuracy!;
      },
    });
    const classifier = await run;
    expect(accuracy).toBe(1);
    const together = await classifier.predict(asked);
    expect(classesOf(together)).toEqual(["good", "bad", "odd"]);
    const alone = (await classifier.predict(asked[2]!)) as ClassPrediction;
    expect(alone.probabilities.odd).toBeCloseTo((together as unknown as ClassPrediction[])[2]!.probabilities.odd!, 5);
    await classifier.save(at(`${name} published`), { layout: "huggingface" });
    const again = await load(at(`${name} published`));
    expect(again.description.task).toBe("classification");
    expect(await again.predict(asked)).toEqual(together);
    await expect(classifier.generate("x")).rejects.toThrow("[model/task]");
  },
);

test("one begins with a language model's weights, and a head of its own", async () => {
  const { data: _, ...rest } = recipe({ steps: 5 });
  const words = texts.map(({ text }) => text);
  const notes: string[] = [];
  const onNote = (text: string) => void notes.push(text);
  const pooled = { gpt: { ...sizes, pooling: "mean" } } as const;
  const base = await train({ ...rest, data: { rows: words, heldOut: 0.2 } }, { runDir: at("base") });
  await base.save(at("saved"));
  const tokenizer = at("saved/tokenizer.json");
  await train(recipe({ tokenizer, model: pooled, steps: 1 }), { runDir: at("tuned"), initFrom: at("saved"), onNote })
    .outcome;
  expect(notes.join()).toContain("trained for another task: 1 tensors of the head begin anew, score.weight");
});

test("what cannot be is refused", async () => {
  const refused = (changes: object) => train(recipe(changes), { runDir: at("refused") }).outcome;
  await expect(refused({ model: { rnn: { width: 8, context: 8 } } })).rejects.toThrow("[config/task]");
  await expect(refused({ model: { gpt: { ...sizes, outputs: 2 } } })).rejects.toThrow("[model/outputs]");
  await expect(refused({ samples: {} })).rejects.toThrow("[config/unread]");
});

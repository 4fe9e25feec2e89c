// Mixtures in recipes: conversations and texts of several files, one tokenizer, one held-out part, weights on the clock; what is refused.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { toNumbers } from "../base/index.ts";
import { coursesOf } from "./courses.ts";
import { type Prepared, prepare } from "./prepare.ts";
import { parseRecipe } from "./read.ts";
import type { RecipeInput } from "./schema.ts";

const folder = mkdtempSync(join(tmpdir(), "athanor-mixture-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Rows that ask `letter` and are answered by it. */
const ask = (letter: string, count: number) =>
  Array.from({ length: count }, () => `${JSON.stringify({ prompt: "q", completion: letter })}\n`).join("");
beforeAll(() => {
  writeFileSync(join(folder, "a.jsonl"), ask("a", 20));
  writeFileSync(join(folder, "b.jsonl"), ask("b", 60));
  writeFileSync(join(folder, "a.txt"), "a".repeat(400));
  writeFileSync(join(folder, "b.txt"), "b".repeat(300));
});

type Mix = NonNullable<RecipeInput["data"]["mix"]>;
const read = (mix: Mix, changes: Partial<RecipeInput> = {}, chat: object = { chat: {} }) =>
  parseRecipe(
    {
      data: { mix, ...chat },
      model: { gpt: { layers: 1, heads: 1, width: 8, context: 48 } },
      tokenizer: "byte",
      batch: 8,
      eval: { batch: 4 },
      ...changes,
    },
    { cwd: folder },
  );
/** How often each letter is learnt in so many batches. */
async function letters({ source }: Prepared, batches: number): Promise<{ a: number; b: number }> {
  const counts = { a: 0, b: 0 };
  for (let at = 0; at < batches; at++) {
    for (const id of toNumbers((await source.next(8)).targets!)) {
      if (id === 97 - 33) counts.a++; // bytes from 33 on come first in the alphabet
      if (id === 98 - 33) counts.b++;
    }
  }
  return counts;
}

test("conversations are drawn by their weights, and held out from each source", async () => {
  const notes: string[] = [];
  const prepared = await prepare(read([{ path: "a.jsonl", weight: 3 }, { path: "b.jsonl" }]), {
    onNote: (note) => void notes.push(note),
  });
  const { a, b } = await letters(prepared, 50);
  expect(a + b).toBe(400);
  expect(Math.abs(a / 400 - 3 / 4)).toBeLessThan(5 * Math.sqrt((3 / 4) * (1 / 4) * (1 / 400)));
  expect(prepared.source.samplesPerEpoch).toBe(18 + 54);
  let heldOut = 0;
  for await (const { targets } of prepared.heldOut()) heldOut += toNumbers(targets!).filter((id) => id === 64).length;
  expect(heldOut).toBe(2); // a tenth of 20
  expect(notes.at(-1)).toBe(`mixture: ${join(folder, "a.jsonl")} 75.0 %, ${join(folder, "b.jsonl")} 25.0 %`);
});

test("weights follow their course, which plan draws", async () => {
  const weight = { piecewise: { values: [0, 1e9], boundaries: [80] } };
  const recipe = read([{ path: "a.jsonl" }, { path: "b.jsonl", weight }]);
  const prepared = await prepare(recipe);
  expect(await letters(prepared, 10)).toEqual({ a: 80, b: 0 });
  expect(await letters(prepared, 10)).toEqual({ a: 0, b: 80 });
  expect(coursesOf(recipe).map(([path]) => path)).toEqual(["data.mix.1.weight"]);
});

test("texts: windows of each, and a tokenizer of the first", async () => {
  const mix = [{ path: "a.txt" }, { path: "b.txt" }];
  const prepared = await prepare(read(mix, {}, {}));
  const { a, b } = await letters(prepared, 20);
  expect(a + b).toBe(20 * 8 * 48);
  expect(Math.abs(a / (a + b) - 1 / 2)).toBeLessThan(5 * Math.sqrt(1 / 4 / 160)); // of 160 windows
  await prepared.close?.();
  await expect(prepare(read(mix, { tokenizer: "char" }, {}))).rejects.toMatchObject({
    code: "tokenizer/unknown-character",
  });
});

test.each<[string, Mix, Partial<RecipeInput>, string, string]>([
  [
    "weights by steps",
    [{ path: "a.jsonl" }, { path: "b.jsonl", weight: { linear: { from: 0, to: 1, end: 10, unit: "steps" } } }],
    {},
    "config/invalid",
    "data.mix.1.weight",
  ],
  [
    "weights that may all be 0",
    [
      { path: "a.jsonl", weight: 0 },
      { path: "b.jsonl", weight: { linear: { from: 1, to: 0, end: 10 } } },
    ],
    {},
    "data/mix",
    "data.mix",
  ],
  ["a batch of all rows", [{ path: "a.jsonl" }, { path: "b.jsonl" }], { batch: "all" }, "data/mix", "batch.size"],
  [
    "data named twice",
    [{ path: "a.jsonl" }, { path: "b.jsonl" }],
    { data: { path: "a.jsonl", mix: [{ path: "a.jsonl" }, { path: "b.jsonl" }], chat: {} } },
    "config/data",
    "data",
  ],
])("%s: refused", async (_, mix, changes, code, where) => {
  await expect(prepare(read(mix, changes))).rejects.toMatchObject({ code, where, fix: expect.any(String) });
});

test("texts whose words are hidden are mixed too", async () => {
  const model = { bert: { layers: 1, heads: 1, width: 8, context: 10 } };
  const mix = [{ path: "a.txt", weight: 3 }, { path: "b.txt" }];
  const { a, b } = await letters(await prepare(read(mix, { model }, { task: "masked-language-model" })), 50);
  expect(a + b).toBe(400); // one of eight tokens is to be guessed
  expect(Math.abs(a / 400 - 3 / 4)).toBeLessThan(5 * Math.sqrt((3 / 4) * (1 / 4) * (1 / 400)));
});

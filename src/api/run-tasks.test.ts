// Pairs of texts that a model is scored on: how a file of them is read, and what is advised where its columns have other names.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { taskOfFile, train } from "./index.ts";

let folder: string;
const pairsOfFile = (run: string, path: string, options: { readonly set?: readonly string[] } = {}) =>
  taskOfFile(run, path, { task: "sequence-to-sequence", ...options });
const at = (name: string) => join(folder, name);
const rows = Array.from({ length: 20 }, (_, row) => JSON.stringify({ from: `a ${row}`, to: `b ${row}` }));
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "athanor-pairs-"));
  writeFileSync(at("pairs.txt"), rows.join("\n"));
  const data = { path: at("pairs.txt"), format: "jsonl", text: "from", target: "to" } as const;
  const model = { transformer: { layers: 1, heads: 1, width: 8, context: 8, targetContext: 8 } };
  await train({ data, tokenizer: "char", model, steps: 1, batch: 4 }, { runDir: at("run") }).outcome;
});
afterAll(() => rmSync(folder, { recursive: true }));

test("by the file's ending, else in the run's format; --set asks for one", async () => {
  writeFileSync(at("more.txt"), rows.slice(0, 2).join("\n"));
  writeFileSync(at("more.csv"), rows.slice(0, 2).join("\n"));
  writeFileSync(at("more.tsv"), "from\tto\na 0\tb 0\na 1\tb 1\n");
  const wanted = [0, 1].map((row) => ({ source: `a ${row}`, target: [`b ${row}`] }));
  for (const name of ["more.txt", "more.tsv"])
    expect(await pairsOfFile(at("run"), at(name))).toEqual({ kind: "pairs", rows: wanted });
  const asked = await pairsOfFile(at("run"), at("more.csv"), { set: ["data.format=jsonl"] });
  expect(asked).toEqual({ kind: "pairs", rows: wanted });
});

test("texts and numbers are read in columns of the run's names, else text and label; other tasks as they are trained on", async () => {
  writeFileSync(at("numbers.tsv"), "from\tto\na 0\t0.5\n");
  writeFileSync(at("plain.csv"), "text,label\na 0,0.5\n");
  const wanted = { kind: "numbers", rows: [{ text: "a 0", value: 0.5 }] };
  expect(await taskOfFile(at("run"), at("numbers.tsv"), { task: "regression" })).toEqual(wanted);
  expect(await taskOfFile(folder, at("plain.csv"), { task: "regression" })).toEqual(wanted);
  await expect(taskOfFile(folder, at("numbers.tsv"), { task: "regression" })).rejects.toMatchObject({
    fix: "--task reads columns named as those of the model's data were: call them text and label",
  });
  writeFileSync(at("choices.jsonl"), JSON.stringify({ question: "?", choices: ["a", "b"], answer: "B" }));
  expect(await taskOfFile(at("run"), at("choices.jsonl"), { task: "multiple-choice" })).toMatchObject({
    rows: [{ answer: 1 }],
  });
  expect(await taskOfFile(at("run"), at("choices.jsonl"), { task: "language-model" })).toBeUndefined();
});

test("columns of other names are told as a task names them", async () => {
  writeFileSync(at("other.jsonl"), '{"en": "a", "de": "b"}\n');
  await expect(pairsOfFile(at("run"), at("other.jsonl"))).rejects.toMatchObject({
    code: "data/unknown-column",
    expected: "one of en, de",
    got: "from",
    fix: "--task reads columns named as those of the model's data were: call them from and to, or name others with --set data.text=COLUMN --set data.target=COLUMN",
  });
  await expect(pairsOfFile(folder, at("other.jsonl"))).rejects.toMatchObject({
    fix: "--task reads columns named as those of the model's data were: call them source and target",
  });
  await expect(pairsOfFile(folder, at("other.jsonl"), { set: ["data.text=en"] })).rejects.toMatchObject({
    code: "run/missing",
    fix: "leave out --set, and name the file's columns source and target",
  });
});

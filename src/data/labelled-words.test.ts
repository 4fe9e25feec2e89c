// Words with labels: read from columns and records, and as tokens whose first of each word carries the label.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { byteTokenizer, encodeSentence, LabelledWordDataset, readLabelledWords, specialIds } from "./index.ts";

const scratch = mkdtempSync(join(tmpdir(), "athanor-labelled-"));
afterAll(() => rmSync(scratch, { recursive: true }));
const sentences = [
  { words: ["Ada", "met", "Babbage"], labels: ["B-per", "O", "B-per"] },
  { words: ["London"], labels: ["B-loc"] },
];

test("columns and records say the same", async () => {
  const columns = join(scratch, "words.conll");
  writeFileSync(columns, "-DOCSTART- -X- O\n\nAda NNP B-per\nmet VBD O\nBabbage NNP B-per\n\n\nLondon\tNNP\tB-loc");
  const records = join(scratch, "words.jsonl");
  const rows = [
    { tokens: sentences[0]!.words, ner_tags: sentences[0]!.labels },
    { words: sentences[1]!.words, labels: sentences[1]!.labels },
  ];
  writeFileSync(records, rows.map((row) => JSON.stringify(row)).join("\n"));
  for (const path of [columns, records]) expect((await readLabelledWords({ path })).sentences).toEqual(sentences);
  expect((await readLabelledWords({ records: rows })).sentences).toEqual(sentences);
});

test.each([
  ["a line without a label", "one.txt", "Ada B-per\nmet\n", "line 2"],
  ["labels that are fewer", "two.jsonl", '{"tokens":["a","b"],"tags":["O"]}', "2 words, 1 labels"],
  ["ids in place of labels", "three.jsonl", '{"tokens":["a"],"tags":[0]}', "no lists of texts"],
])("%s is refused", async (_, name, text, words) => {
  writeFileSync(join(scratch, name), text);
  await expect(readLabelledWords({ path: join(scratch, name) })).rejects.toThrow(words);
});

test("the first token of each word carries its label; what is cut off carries none", () => {
  const tokenizer = byteTokenizer();
  const { cls, sep } = specialIds(tokenizer);
  const bytes = (text: string) => Array.from(tokenizer.encode(text));
  const { tokens, places } = encodeSentence(sentences[0]!.words, tokenizer, { length: 12 });
  expect(Array.from(tokens)).toEqual([cls, ...bytes("Ada met Ba"), sep]);
  expect(places).toEqual([1, 4, 8]); // a word begins with the space before it
  const classes = ["B-loc", "B-per", "O"];
  const dataset = (length: number) =>
    new LabelledWordDataset(sentences, { tokenizer, classes, length, fingerprint: "x" });
  const { targets } = dataset(12).collate([1, 0]);
  expect(Array.from(targets.data as Int32Array)).toEqual([
    ...[-1, 0, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1],
    ...[-1, 1, -1, -1, 2, -1, -1, -1, 1, -1, -1, -1],
  ]);
  expect([dataset(12).cut, dataset(9).cut]).toEqual([0, 1]);
  const other = () => new LabelledWordDataset(sentences, { tokenizer, classes: ["O"], length: 9, fingerprint: "x" });
  expect(other).toThrow("not among those");
});

// Pairs of texts that a model is scored on: how a file of them is read, and what is advised where its columns have other names.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pairsOfFile, train } from "./index.ts";

let folder: string;
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

test("columns of other names are told as a task names them", async () => {
  writeFileSync(at("other.jsonl"), '{"en": "a", "de": "b"}\n');
  await expect(pairsOfFile(at("run"), at("other.jsonl"))).rejects.toMatchObject({
    code: "data/unknown-column",
    expected: "one of en, de",
    got: "from",
    fix: "--task reads columns named as the model's pairs were: call them from and to, or name others with --set data.text=COLUMN --set data.target=COLUMN",
  });
  await expect(pairsOfFile(folder, at("other.jsonl"))).rejects.toMatchObject({
    fix: "--task reads columns named as the model's pairs were: call them source and target",
  });
  await expect(pairsOfFile(folder, at("other.jsonl"), { set: ["data.text=en"] })).rejects.toMatchObject({
    code: "run/missing",
    fix: "leave out --set, and name the file's columns source and target",
  });
});

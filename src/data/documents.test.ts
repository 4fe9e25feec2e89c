// Documents from files and rows: ended, cut into pieces in which every token is predicted once, held out whole; what is refused.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { prepareDocuments } from "./documents.ts";
import { PackedSequences, PaddedSequences } from "./token-sequences.ts";

const folder = mkdtempSync(join(tmpdir(), "athanor-documents-"));
afterAll(() => rmSync(folder, { recursive: true }));

const texts = ["one", "a longer one", "the longest of them all, in pieces"];
const options = { tokenizer: "byte", context: 10, validation: 0 } as const;

test("text files, rows with a column and texts in memory are the same documents", async () => {
  mkdirSync(join(folder, "files"));
  for (const [at, text] of texts.entries()) writeFileSync(join(folder, "files", `${at}.txt`), text);
  writeFileSync(join(folder, "rows.jsonl"), texts.map((body) => `${JSON.stringify({ body })}\n`).join(""));
  const all = [
    await prepareDocuments({ records: texts }, options),
    await prepareDocuments({ path: join(folder, "files") }, options),
    await prepareDocuments({ path: join(folder, "rows.jsonl") }, { ...options, text: "body" }),
  ];
  for (const { sha256, documents, train } of all) {
    expect([sha256, documents]).toEqual([all[0]!.sha256, 3]);
    expect(train.fingerprint).toBe(all[0]!.train.fingerprint);
  }
});

test("every token but a document's first is a target once, and the last is the end", async () => {
  const { train, tokenizer } = await prepareDocuments({ records: texts }, options);
  const { tokens, targets } = await new PaddedSequences(train, 10).collate(
    Array.from({ length: train.length }, (_, at) => at),
  );
  const counted = Array.from(targets.data as Int32Array).filter((id) => id !== -1);
  expect(tokenizer.decode(counted)).toBe(texts.map((text) => `${text.slice(1)}<|endoftext|>`).join(""));
  const inputs = Array.from(tokens.data as Int32Array).filter((_, at) => targets.data[at] !== -1);
  expect(tokenizer.decode(inputs)).toBe(texts.join(""));
  expect(new PackedSequences(train, 10).length).toBe(5); // of 3, 10 + 2 and 10 + 10 + 10 + 4 positions
});

test.each<[string, readonly unknown[], object, string]>([
  ["an empty text", ["a", ""], {}, "data/empty-text"],
  ["a row without the column", [{ body: "a" }], {}, "data/empty-text"],
  ["a tokenizer that ends nothing", ["a", "b"], { tokenizer: "char" }, "data/end-token"],
])("%s: refused", async (_, records, changes, code) => {
  await expect(prepareDocuments({ records }, { ...options, ...changes })).rejects.toMatchObject({
    code,
    expected: expect.any(String),
    fix: expect.any(String),
  });
});

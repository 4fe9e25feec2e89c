// Mutated files of models, a few of each kind: nothing but an error with a code comes of them. The full amount is in
// test/slow/hostile-files.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { byteTokenizer, loadTokenizer } from "../../src/data/index.ts";
import { readHubModel } from "../../src/hub/index.ts";
import { mutate, readHostile } from "../support/hostile.ts";

const scratch = mkdtempSync(join(tmpdir(), "athanor-hostile-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const golden = JSON.parse(readFileSync("test/golden/hub.json", "utf8"));
const llama = Object.fromEntries(
  Object.entries<string>(golden.cases.llama.files).map(([name, text]) => [name, Buffer.from(text, "base64")] as const),
);
const tokenizer = { "tokenizer.json": Buffer.from(JSON.stringify(byteTokenizer())) };

test.each([
  ["model.safetensors", llama, readHubModel, 80],
  ["config.json", llama, readHubModel, 80],
  ["tokenizer.json", tokenizer, (folder: string) => loadTokenizer(join(folder, "tokenizer.json")), 40],
] as const)("%s", async (mutated, files, read, count) => {
  const {
    read: ok,
    refused,
    crashes,
  } = await readHostile({ folder: join(scratch, mutated), files, mutated, count, read });
  expect(crashes).toEqual([]);
  expect(ok + refused).toBe(count);
  expect(refused).toBeGreaterThan(count / 2);
});

test("mutations differ from the file and from each other, and come again", () => {
  const bytes = llama["config.json"]!;
  const some = Array.from({ length: 50 }, (_, seed) => mutate(bytes, seed).toString("latin1"));
  expect(new Set([bytes.toString("latin1"), ...some]).size).toBeGreaterThan(45);
  expect(mutate(bytes, 7).toString("latin1")).toBe(some[7]);
});

// Ten thousand mutated files of each kind that comes from elsewhere: nothing but an error with a code comes of them, none takes long,
// none takes memory beyond the file's own size, and no process stays behind.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import {
  BpeTokenizer,
  loadTokenizer,
  openTokenFolder,
  tokenizeDocuments,
  trainBpe,
  WordCounter,
} from "../../src/data/index.ts";
import { readHubModel } from "../../src/hub/index.ts";
import { amount } from "../amount.ts";
import { readHostile } from "../support/hostile.ts";

const scratch = mkdtempSync(join(tmpdir(), "athanor-hostile-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const golden = JSON.parse(readFileSync("test/golden/hub.json", "utf8")) as {
  readonly cases: { readonly [name: string]: { readonly files: { readonly [name: string]: string } } };
};
const names = Object.keys(golden.cases);
const filesOf = (name: string) =>
  Object.fromEntries(
    Object.entries(golden.cases[name]!.files).map(([file, text]) => [file, Buffer.from(text, "base64")] as const),
  );
const count = amount(10_000, 300);

async function check(
  mutated: string,
  files: { readonly [name: string]: Buffer },
  read: (folder: string) => Promise<unknown>,
  share = 1,
) {
  const before = process.memoryUsage().arrayBuffers;
  const times = Math.ceil(count * share);
  const folder = join(scratch, mutated);
  const result = await readHostile({ folder, files, mutated, count: times, read });
  expect(result.crashes.slice(0, 5)).toEqual([]);
  expect(result.read + result.refused).toBe(times);
  expect(result.refused).toBeGreaterThan(times / 2);
  const known = /^(safetensors|hub|config|model|checkpoint|tokenizer|data)\//;
  expect([...result.codes].filter((code) => !known.test(code))).toEqual([]);
  expect(result.slowestMs).toBeLessThan(5000);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(2 ** 28);
  rmSync(folder, { recursive: true });
}

test.each(names.filter((name) => "model.safetensors" in golden.cases[name]!.files).slice(0, 4))(
  "safetensors and config.json: %s",
  async (name) => {
    await check("model.safetensors", filesOf(name), readHubModel, 0.25);
    await check("config.json", filesOf(name), readHubModel, 0.25);
  },
  1_800_000,
);

test("an index of shards", async () => {
  const name = names.find((one) => "model.safetensors.index.json" in golden.cases[one]!.files)!;
  await check("model.safetensors.index.json", filesOf(name), readHubModel, 0.1);
});

test("a folder of token shards", async () => {
  const place = join(scratch, "tokens");
  await tokenizeDocuments("README.md", { tokenizer: "byte", output: place });
  const files = Object.fromEntries(readdirSync(place).map((name) => [name, readFileSync(join(place, name))]));
  rmSync(place, { recursive: true });
  const read = async (folder: string) => await (await openTokenFolder(folder, 0)).tokens.close();
  await check("shard-00000.bin", files, read, 0.1);
  await check("manifest.json", files, read, 0.25);
}, 1_800_000);

test("tokenizer.json", async () => {
  const counter = new WordCounter();
  counter.add("to be or not to be that is the question ".repeat(20));
  const vocabulary = await trainBpe(counter.counts, { vocabSize: 300, specialTokens: ["<|endoftext|>"] });
  const files = { "tokenizer.json": Buffer.from(JSON.stringify(new BpeTokenizer(vocabulary))) };
  await check("tokenizer.json", files, async (folder) => {
    const tokenizer = await loadTokenizer(join(folder, "tokenizer.json"));
    tokenizer.decode(tokenizer.encode("to be <|endoftext|> 中文"));
  });
  expect(readdirSync(scratch)).toEqual([]);
}, 3_600_000);

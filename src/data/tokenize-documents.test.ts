// Token shards: the same bytes however they are made, exactly what encoding each document gives, gone on with where a call ended; and what is
// refused.
import { createHash } from "node:crypto";
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { byteTokenizer } from "./bpe-tokenizer.ts";
import { prepareDocuments } from "./documents.ts";
import { splitRows } from "./split.ts";
import { StoredSequences } from "./stored-sequences.ts";
import { openTokenFolder, readTokenManifest } from "./token-folder.ts";
import { PackedSequences } from "./token-sequences.ts";
import { type TokenizeProgress, tokenizeDocuments } from "./tokenize-documents.ts";

const folder = mkdtempSync(join(tmpdir(), "athanor-shards-"));
afterAll(() => rmSync(folder, { recursive: true }));
const at = (...names: string[]) => join(folder, ...names);

const rows = Array.from({ length: 300 }, (_, row) => `row ${row} ${"says 好😀 and more, ".repeat(row % 40)}`);
const long = Array.from({ length: 300_000 }, (_, word) => `${(word * 7919) % 1000}é`).join(" "); // more than one piece
const documents = at("documents");
beforeAll(() => {
  mkdirSync(documents);
  const lines = (texts: readonly string[]) => texts.map((text) => `${JSON.stringify({ text, id: 1 })}\n`).join("");
  writeFileSync(join(documents, "a.jsonl"), lines(rows.slice(0, 150)));
  writeFileSync(join(documents, "b.jsonl.gz"), gzipSync(lines(rows.slice(150, 250))));
  writeFileSync(join(documents, "c.json"), JSON.stringify(rows.slice(250)));
  writeFileSync(join(documents, "d.txt"), long);
  writeFileSync(join(documents, "e.txt"), "the last <|endoftext|>, which is text");
});
const all = () => [...rows, long, "the last <|endoftext|>, which is text"];

const settings = { tokenizer: "byte", shardBytes: 2 ** 20 } as const;
const tokenize = (name: string, more: object = {}) =>
  tokenizeDocuments(documents, { ...settings, output: at(name), ...more });

/** At once: element by element it takes seconds. */
const same = (a: Int32Array, b: Int32Array) => expect(Buffer.from(a.buffer).equals(Buffer.from(b.buffer))).toBe(true);

/** Every file and its hash. */
const contents = (name: string) =>
  readdirSync(at(name)).map((file) => [
    file,
    createHash("sha256")
      .update(readFileSync(at(name, file)))
      .digest("hex"),
  ]);

/** Ends a call once so many shards are there. */
async function stopAt(shards: number, name: string): Promise<void> {
  const stop = new AbortController();
  const onProgress = ({ stage, shards: now }: TokenizeProgress) =>
    void (stage === "encode" && now >= shards && stop.abort());
  await expect(tokenize(name, { signal: stop.signal, onProgress })).rejects.toThrow("aborted");
}

test("shards hold the ids of each document and its end, as encoding them one by one gives them", async () => {
  const manifest = await tokenize("whole");
  expect(manifest.shards.length).toBeGreaterThan(2);
  expect(manifest).toMatchObject({
    dtype: "u16",
    sources: [{ documents: 150 }, { documents: 100 }, { documents: 50 }, { documents: 1 }, { documents: 1 }],
  });
  const tokenizer = byteTokenizer(["<|endoftext|>"]);
  const end = tokenizer.specialTokens.get("<|endoftext|>")!;
  const wanted = all().map((text) => [...tokenizer.encode(text), end]);
  const bytes = Buffer.concat(manifest.shards.map(({ file }) => readFileSync(at("whole", file))));
  expect(bytes.equals(Buffer.from(Uint16Array.from(wanted.flat()).buffer))).toBe(true);
  for (const { file, sha256, bytes } of manifest.shards) {
    const shard = readFileSync(at("whole", file));
    expect([createHash("sha256").update(shard).digest("hex"), shard.length]).toEqual([sha256, bytes]);
    expect(bytes).toBeLessThanOrEqual(Math.max(settings.shardBytes, 2 * 2 ** 21));
  }
  const { ends, tokens } = await openTokenFolder(at("whole"));
  let position = 0;
  expect([...ends]).toEqual(wanted.map((ids) => (position += ids.length)));
  expect(tokens.length).toBe(position);
});

test("stopped after any shard, the same call ends with the same bytes; finished, it changes nothing", async () => {
  await tokenize("straight");
  const { shards } = (await readTokenManifest(at("straight")))!;
  for (let stop = 0; stop < shards.length; stop++) {
    await stopAt(stop, `stopped-${stop}`);
    expect((await readTokenManifest(at(`stopped-${stop}`)))?.shards.length).toBe(stop);
    writeFileSync(at(`stopped-${stop}`, `shard-0000${stop}.bin.partial`), "of a killed process");
    writeFileSync(at(`stopped-${stop}`, `shard-0000${stop}.bin`), "renamed, and killed before the manifest");
    await tokenize(`stopped-${stop}`);
    expect(contents(`stopped-${stop}`)).toEqual(contents("straight"));
  }
  const before = contents("straight");
  await tokenize("straight");
  expect(contents("straight")).toEqual(before);
});

test("read in ranges from the files, ids are those of memory", async () => {
  await tokenize("ranges");
  const [kept, read] = [await openTokenFolder(at("ranges")), await openTokenFolder(at("ranges"), 0)];
  expect(read.tokens.fingerprint).toBe(kept.tokens.fingerprint);
  const { length } = kept.tokens;
  const first = kept.manifest.shards[0]!.tokens;
  for (const [start, count] of [
    [0, 10],
    [first - 5, 10],
    [first, 1],
    [0, length],
    [length, 0],
  ] as const)
    same(await read.tokens.read(start, count), await kept.tokens.read(start, count));
  await expect(read.tokens.read(length - 1, 2)).rejects.toMatchObject({ code: "data/range" });
  await read.tokens.close();
});

test("packed rows are those of the same documents in memory", async () => {
  const records = all().slice(0, 300);
  writeFileSync(at("packed.jsonl"), records.map((text) => `${JSON.stringify({ text })}\n`).join(""));
  await tokenizeDocuments(at("packed.jsonl"), { tokenizer: "byte", output: at("packed") });
  for (const memoryBytes of [0, 2 ** 26]) {
    const stored = await openTokenFolder(at("packed"), memoryBytes);
    const split = splitRows(stored.ends.length, { validation: 0.2, seed: 3 });
    const memory = await prepareDocuments({ records }, { tokenizer: "byte", context: 64, validation: 0.2, seed: 3 });
    for (const part of ["train", "validation"] as const) {
      const [ours, theirs] = [new StoredSequences(stored, split[part], 64), memory[part]].map(
        (one) => new PackedSequences(one, 64),
      );
      expect(ours!.length).toBe(theirs!.length);
      const positions = Array.from({ length: ours!.length }, (_, row) => row);
      const [got, wanted] = [await ours!.collate(positions), await theirs!.collate(positions)];
      for (const name of ["tokens", "targets", "documents", "positions"] as const)
        same(got[name].data as Int32Array, wanted[name].data as Int32Array);
    }
    await stored.tokens.close();
  }
});

describe("refused", () => {
  const refusal = (code: string) => ({
    code,
    where: expect.any(String),
    expected: expect.any(String),
    got: expect.any(String),
    fix: expect.any(String),
  });

  test("a source that changed, came or went, and settings or a tokenizer that are others", async () => {
    const copy = at("copy");
    cpSync(documents, copy, { recursive: true });
    const again = (more: object = {}) => tokenizeDocuments(copy, { ...settings, output: at("changing"), ...more });
    await again();
    const untouched = contents("changing");
    await expect(again({ shardBytes: 2 ** 21 })).rejects.toMatchObject(refusal("data/settings"));
    await expect(again({ tokenizer: { bpe: 300 }, invalid: "skip" })).rejects.toMatchObject({
      ...refusal("data/settings"),
      expected: "tokenizer: byte, invalid: error",
      got: "tokenizer: {bpe: 300}, invalid: skip",
      fix: "give tokenizer, invalid as before, or another --output",
    });
    const other = byteTokenizer(["</s>"]);
    await tokenizeDocuments(copy, { ...settings, output: at("given"), tokenizer: byteTokenizer(["<eos>"]) });
    await expect(tokenizeDocuments(copy, { ...settings, output: at("given"), tokenizer: other })).rejects.toMatchObject(
      refusal("data/stale-tokens"),
    );
    writeFileSync(join(copy, "f.txt"), "new");
    await expect(again()).rejects.toMatchObject({ ...refusal("data/changed"), where: join(copy, "f.txt") });
    rmSync(join(copy, "f.txt"));
    writeFileSync(join(copy, "e.txt"), "The last <|endoftext|>, which is text");
    await expect(again()).rejects.toMatchObject({ ...refusal("data/changed"), where: join(copy, "e.txt") });
    rmSync(join(copy, "e.txt"));
    await expect(again()).rejects.toMatchObject({ ...refusal("data/changed"), where: join(copy, "e.txt") });
    expect(contents("changing")).toEqual(untouched);
  });

  test("a source that is written to meanwhile", async () => {
    const copy = at("copy2");
    cpSync(documents, copy, { recursive: true });
    const onProgress = ({ stage }: { stage: string }) =>
      void (
        stage === "encode" &&
        utimesSync(join(copy, "e.txt"), 1, 1) === undefined &&
        utimesSync(join(copy, "d.txt"), 1, Math.random() * 1e9)
      );
    await expect(tokenizeDocuments(copy, { ...settings, output: at("meanwhile"), onProgress })).rejects.toMatchObject(
      refusal("data/changed"),
    );
  });

  test.each<[string, (file: string) => void]>([
    [
      "a bit is another",
      (file) => {
        const bytes = readFileSync(file);
        bytes[100]! ^= 1;
        writeFileSync(file, bytes);
      },
    ],
    ["it is shorter", (file) => truncateSync(file, 1000)],
    ["it is gone", (file) => rmSync(file)],
  ])("a shard of which %s, by a recipe and by the call that goes on", async (_, damage) => {
    rmSync(at("damaged"), { recursive: true, force: true });
    await stopAt(2, "damaged");
    damage(at("damaged", "shard-00001.bin"));
    await expect(tokenize("damaged")).rejects.toMatchObject({
      ...refusal("data/shard"),
      where: at("damaged", "shard-00001.bin"),
    });
    rmSync(at("damaged"), { recursive: true });
    await tokenize("damaged");
    damage(at("damaged", "shard-00001.bin"));
    await expect(openTokenFolder(at("damaged"))).rejects.toMatchObject(refusal("data/shard"));
  });

  test("a manifest that lies, and one that is not finished", async () => {
    await stopAt(1, "lies");
    await expect(openTokenFolder(at("lies"))).rejects.toMatchObject(refusal("data/unfinished-tokens"));
    await tokenize("lies");
    const path = at("lies", "manifest.json");
    const good = readFileSync(path, "utf8");
    const { shards, tokenizer } = (await readTokenManifest(at("lies")))!;
    for (const [code, wrong, right] of [
      ["data/token-manifest", '"../../etc/passwd"', '"shard-00000.bin"'],
      ["data/token-manifest", '"version": 2', '"version": 1'],
      ["data/token-manifest", '"dtype": "u32"', '"dtype": "u16"'],
      ["data/shard", `"documents": ${shards[0]!.documents + 1}`, `"documents": ${shards[0]!.documents}`],
      ["data/shard", `"tokens": ${shards[0]!.tokens - 1}`, `"tokens": ${shards[0]!.tokens}`],
      ["data/shard", '"documents": 9007199254740991', `"documents": ${shards[0]!.documents}`],
      ["data/shard", '"vocabSize": 100', `"vocabSize": ${tokenizer.vocabSize}`],
      ["data/stale-tokens", `"sha256": "${"0".repeat(64)}"`, `"sha256": "${tokenizer.sha256}"`],
    ] as const) {
      expect(good).toContain(right);
      // of what stands in sources and shards alike, the shard's comes last
      const place = wrong.includes("documents")
        ? good.lastIndexOf(right, good.indexOf("shard-00001"))
        : good.indexOf(right);
      writeFileSync(path, good.slice(0, place) + wrong + good.slice(place + right.length));
      await expect(openTokenFolder(at("lies")), wrong).rejects.toMatchObject(refusal(code));
    }
    writeFileSync(path, good.slice(0, 100));
    await expect(tokenize("lies")).rejects.toMatchObject(refusal("data/token-manifest"));
  });

  test("a full disk: what is finished stays, and the same call goes on", async () => {
    await stopAt(1, "full");
    symlinkSync("/dev/full", at("full", "shard-00001.bin.partial"));
    await expect(tokenize("full")).rejects.toMatchObject({ ...refusal("data/output"), got: "ENOSPC" });
    await tokenize("full");
    expect(contents("full")).toEqual(contents("straight"));
  });

  test("folders that hold something else, or lie among the documents", async () => {
    mkdirSync(at("taken"));
    writeFileSync(at("taken", "thesis.txt"), "mine");
    await expect(tokenize("taken")).rejects.toMatchObject({ ...refusal("data/output"), got: "thesis.txt" });
    await expect(tokenizeDocuments(documents, { ...settings, output: folder })).rejects.toMatchObject(
      refusal("data/output"),
    );
    expect(readdirSync(at("taken"))).toEqual(["thesis.txt"]);
  });

  test("texts that are none, before anything is encoded; left out where that is asked for", async () => {
    writeFileSync(at("some.jsonl"), '{"text": "one"}\n{"body": "two"}\n{"text": ""}\n{"text": "four"}\n');
    const call = (more: object) =>
      tokenizeDocuments(at("some.jsonl"), { tokenizer: "byte", output: at("some"), ...more });
    await expect(call({})).rejects.toMatchObject({
      ...refusal("data/empty-text"),
      where: `${at("some.jsonl")}, row 2`,
    });
    await expect(call({ tokenizer: "char" })).rejects.toMatchObject(refusal("data/end-token"));
    const { skipped, sources } = await call({ invalid: "skip" });
    expect([skipped.map(({ name }) => name), sources[0]!.documents]).toEqual([
      [2, 3].map((row) => `${at("some.jsonl")}, row ${row}`),
      2,
    ]);
    await expect(call({ output: at("none"), text: "nothing", invalid: "skip" })).rejects.toMatchObject(
      refusal("data/empty"),
    );
  });
});

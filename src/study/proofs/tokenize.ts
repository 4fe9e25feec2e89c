// Tokenizers: what is trained here is what the `tokenizers` library trains, it reads what is written, and text comes back.
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Tokenizer as LibraryTokenizer } from "tokenizers";
import { RandomStream } from "../../base/index.ts";
import {
  BpeTokenizer,
  byteTokenizer,
  CharTokenizer,
  openTrainer,
  type Tokenizer,
  type TokenizerFile,
  type TrainedTokenizerSpec,
  trainBpe,
  trainUnigram,
  trainWordPiece,
  WordCounter,
} from "../../data/index.ts";
import { atMost, equal, type Figure, type Proof } from "../proof.ts";

const english = `It is a truth universally acknowledged, that a single man in possession of a good fortune, must be in want of a wife.
However little known the feelings or views of such a man may be on his first entering a neighbourhood, this truth is so well fixed in
the minds of the surrounding families, that he is considered the rightful property of some one or other of their daughters.
"My dear Mr. Bennet," said his lady to him one day, "have you heard that Netherfield Park is let at last?"
Mr. Bennet replied that he had not. "But it is," returned she; "for Mrs. Long has just been here, and she told me all about it."
`; // Jane Austen, 1813
const chinese = `子曰：“学而时习之，不亦说乎？有朋自远方来，不亦乐乎？人不知而不愠，不亦君子乎？”
有子曰：“其为人也孝弟，而好犯上者，鲜矣；不好犯上，而好作乱者，未之有也。君子务本，本立而道生。孝弟也者，其为仁之本与！”
曾子曰：“吾日三省吾身：为人谋而不忠乎？与朋友交而不信乎？传不习乎？”
子曰：“吾十有五而志于学，三十而立，四十而不惑，五十而知天命，六十而耳顺，七十而从心所欲，不逾矩。”
`; // 论语

/** Source code: some of this file, compiled or not. */
const code = () => [libraryTraining, train, different, randomStrings, lost].map(String).join("\n\n");

const linesOf = (text: string) => text.match(/[^\n]*\n|[^\n]+$/g) ?? [];

type Library = typeof LibraryTokenizer;

/** The library's own training at its defaults, and the words that it learns from. */
async function libraryTraining(Library: Library, around: TokenizerFile, model: object, text: string, folder: string) {
  const empty = { ...around, added_tokens: [], post_processor: null, model };
  const library = Library.fromString(JSON.stringify(empty));
  const [normalizer, splitter] = [library.getNormalizer(), library.getPreTokenizer()!];
  const counts = new Map<string, number>();
  for (const line of linesOf(text))
    for (const [word] of splitter.preTokenizeString(normalizer?.normalizeString(line) ?? line))
      counts.set(word, (counts.get(word) ?? 0) + 1);
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "text.txt"), text);
  library.train([join(folder, "text.txt")]);
  library.save(join(folder, "trained.json"));
  const trained = JSON.parse(await readFile(join(folder, "trained.json"), "utf8")) as {
    model: Record<string, unknown>;
  };
  return { model: trained.model, counts };
}

async function train(spec: TrainedTokenizerSpec, text: string): Promise<Tokenizer> {
  const trainer = await openTrainer(spec);
  for (const line of linesOf(text)) trainer.add(line);
  return trainer.train();
}

/** How many of one list are not in another, both ways. */
function different(a: Iterable<string>, b: Iterable<string>): number {
  const [left, right] = [new Set(a), new Set(b)];
  return [...left].filter((one) => !right.has(one)).length + [...right].filter((one) => !left.has(one)).length;
}

async function sameTraining(Library: Library, text: string, folder: string): Promise<Figure[]> {
  const partsOf = async (spec: TrainedTokenizerSpec) => (await train(spec, text)).toJSON();

  const bpe = await libraryTraining(
    Library,
    byteTokenizer().toJSON(),
    { type: "BPE", vocab: {}, merges: [] },
    text,
    join(folder, "bpe"),
  );
  const unseen = 256 - Object.keys(bpe.model.vocab as object).filter((token) => token.length === 1).length;
  const words = new WordCounter();
  for (const line of linesOf(text)) words.add(line);
  const { tokens, merges } = await trainBpe(words.counts, { vocabSize: 30_000 + unseen });
  const ours = merges.map(([left, right]) => `${tokens[left]} ${tokens[right]}`);
  const theirs = (bpe.model.merges as string[][]).map((pair) => pair.join(" "));

  const pieces = { type: "WordPiece", vocab: {}, unk_token: "[UNK]", continuing_subword_prefix: "##" };
  const wordpiece = await libraryTraining(
    Library,
    await partsOf({ wordpiece: 2000 }),
    { ...pieces, max_input_chars_per_word: 100 },
    text,
    join(folder, "wordpiece"),
  );
  const byId = Object.entries(wordpiece.model.vocab as Record<string, number>)
    .sort(([, a], [, b]) => a - b)
    .map(([token]) => token);
  const order = byId.filter((token) => /^##.$/su.test(token)); // of chance there
  const wordPieces = await trainWordPiece(wordpiece.counts, { vocabSize: 30_000, order });

  const unigram = await libraryTraining(
    Library,
    await partsOf({ unigram: 2000 }),
    { type: "Unigram", vocab: [], unk_id: null },
    text,
    join(folder, "unigram"),
  );
  const scores = new Map(unigram.model.vocab as [string, number][]);
  const learned = await trainUnigram(unigram.counts, { vocabSize: 8000 });
  const apart = learned.map(([token, score]) => ([...token].length === 1 ? 0 : Math.abs(score - scores.get(token)!)));
  return [
    equal(
      "bpe: merges of the library's own trainer",
      ours.join("\n") === theirs.join("\n") ? theirs.length : -1,
      ours.length,
    ),
    equal(
      "wordpiece: tokens of the library's own trainer",
      wordPieces.join("\n") === byId.join("\n") ? byId.length : -1,
      wordPieces.length,
    ),
    equal(
      "unigram: tokens of one trainer alone",
      different(
        scores.keys(),
        learned.map(([token]) => token),
      ),
      0,
    ),
    atMost("unigram: largest difference of scores", Math.max(...apart), 1e-6),
  ];
}

/** Random strings of characters from all planes, with what pre-tokenizers tell apart. */
function randomStrings(count: number, alphabet?: readonly string[]): string[] {
  const stream = new RandomStream(1, "strings");
  const textual = [" ", "  ", "\n", "'s", "12", "the", "中", "😀", "e\u0301", "\u00a0", "#", "_"];
  const character = (i: number, j: number) => {
    if (alphabet !== undefined) return alphabet[stream.below(alphabet.length, i, j)]!;
    if (stream.uniform(i, j, 1) < 0.3) return textual[stream.below(textual.length, i, j)]!;
    const code = stream.below([0x80, 0x3000, 0x10000, 0x110000][stream.below(4, i, j, 2)]!, i, j);
    return String.fromCodePoint((code & 0x1ff800) === 0xd800 ? 0x4e00 : code); // surrogates are no characters
  };
  return Array.from({ length: count }, (_, i) =>
    Array.from({ length: 1 + stream.below(12, i) }, (_, j) => character(i, j)).join(""),
  );
}

function lost(tokenizer: Tokenizer, texts: readonly string[]): number {
  return texts.filter((text) => tokenizer.decode(tokenizer.encode(text)) !== text).length;
}

/** By hundreds: what another process encodes costs by the call. */
function joined(strings: readonly string[]): string[] {
  return Array.from({ length: strings.length / 100 }, (_, i) => strings.slice(100 * i, 100 * i + 100).join(" "));
}

async function back(Library: Library, texts: readonly string[]): Promise<Figure[]> {
  const text = texts.join("\n");
  const counter = new WordCounter();
  counter.add(text);
  const bpe = new BpeTokenizer(await trainBpe(counter.counts, { vocabSize: 600 }));
  const gpt4 = await train({ bpe: { vocab: 600, split: "cl100k" } }, text);
  const char = CharTokenizer.train(text);
  const unigram = await train({ unigram: { vocab: 600, normalizer: "none" } }, text);
  const wordpiece = await train({ wordpiece: { vocab: 600, normalizer: "bertCased" } }, text);
  const characters = [...new Set(text)];
  const { vocab } = wordpiece.toJSON().model as { readonly vocab: { readonly [token: string]: number } };
  const letters = characters.filter((one) => one in vocab && `##${one}` in vocab && /[A-Za-z]/.test(one));
  const random = randomStrings(100_000);
  const words = randomStrings(
    100_000,
    characters.filter((one) => one !== " "),
  );
  const differently = async (tokenizer: Tokenizer) => {
    const library = Library.fromString(JSON.stringify(tokenizer));
    const ids = await library.encodeBatch([...texts], { addSpecialTokens: false });
    return texts.filter((one, i) => tokenizer.encode(one).join() !== ids[i]!.getIds().join()).length;
  };
  const figures = [
    ["bpe", bpe, [...texts, ...random], "prose, code, 100,000 random Unicode strings"],
    ["bpe as GPT-4", gpt4, [...texts, ...joined(random)], "prose, code, 100,000 random Unicode strings"],
    ["byte", byteTokenizer(), [...texts, ...random], "prose, code, 100,000 random Unicode strings"],
    [
      "char",
      char,
      [...texts, ...randomStrings(100_000, characters)],
      "prose, code, 100,000 random strings of its characters",
    ],
    ["unigram", unigram, [...texts, ...joined(words)], "prose, code, 100,000 random strings of its characters"],
    ["wordpiece", wordpiece, joined(randomStrings(100_000, letters)), "100,000 random words of its letters"],
  ] as const;
  const checked: Figure[] = [];
  for (const [name, tokenizer, strings, which] of figures) {
    checked.push(equal(`${name}: texts that the library encodes in another way`, await differently(tokenizer), 0));
    checked.push(equal(`${name}: lost of ${which}`, lost(tokenizer, strings), 0));
  }
  return checked;
}

export const tokenizeProofs: readonly Proof[] = [
  {
    id: "pre.tokenize",
    doc: "bpe, wordpiece, unigram and char: trained as the tokenizers library trains, loaded by it, and text comes back",
    run: async ({ folder }) => {
      const { Tokenizer: Library } = await import("tokenizers");
      const texts = [english, chinese, code()];
      return [...(await sameTraining(Library, texts.join("\n"), folder)), ...(await back(Library, texts))];
    },
  },
];

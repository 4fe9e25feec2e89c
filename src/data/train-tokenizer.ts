// Trains a tokenizer on texts: counts their words, cut as the `tokenizers` library cuts them, and learns a vocabulary. The result is
// a `tokenizer.json` like any other.
import { BpeTokenizer } from "./bpe-tokenizer.ts";
import { trainBpe, WordCounter } from "./bpe-trainer.ts";
import { alphabetBytes } from "./byte-alphabet.ts";
import { parseTokenizer } from "./load-tokenizer.ts";
import type { Tokenizer } from "./tokenizer.ts";
import {
  type CompleteSettings,
  completeSettings,
  partsAround,
  type TrainedTokenizerSpec,
} from "./training-settings.ts";
import { trainUnigram } from "./unigram-trainer.ts";
import { continuing, trainWordPiece } from "./wordpiece-trainer.ts";

/** Takes texts, then learns from all of them. */
export interface TokenizerTrainer {
  /** True where a text is to be a line, its end included, as that library reads files. */
  readonly byLine: boolean;
  add(text: string): void;
  /** Errors with `tokenizer/vocab-size`, `tokenizer/special-token`. `pause` may wait, to leave the thread to others. */
  train(pause?: () => Promise<void> | void): Promise<Tokenizer>;
}

/**
 * Opens a trainer. Errors with `tokenizer/split`.
 *
 * ```ts run
 * const trainer = await openTrainer({ wordpiece: 40 });
 * for (const text of ["to be or", "not to be"]) trainer.add(text);
 * const tokenizer = await trainer.train();
 * tokenizer.decode(tokenizer.encode("Not or to be")); // "not or to be"
 * ```
 */
export async function openTrainer(spec: TrainedTokenizerSpec): Promise<TokenizerTrainer> {
  const settings = completeSettings(spec);
  const plain = settings.family === "bpe" && settings.normalizer === "none" && settings.split === "gpt2";
  const words = plain ? new WordCounter() : await openLibraryWords(settings);
  return {
    byLine: !plain,
    add: (text) => words.add(text),
    train: (pause) => learn(words.counts, settings, plain, pause),
  };
}

/** Counts words as the library normalizes and cuts text; it runs here, for its patterns are ours. */
export async function openLibraryWords(settings: CompleteSettings): Promise<Pick<WordCounter, "add" | "counts">> {
  const { Tokenizer: Library } = await import("tokenizers");
  const model = { type: "WordLevel", vocab: {}, unk_token: "" };
  const library = Library.fromString(
    JSON.stringify({ ...partsAround(settings), added_tokens: [], post_processor: null, model }),
  );
  const [normalizer, splitter] = [library.getNormalizer(), library.getPreTokenizer()!];
  const counts = new Map<string, number>();
  const add = (text: string) => {
    const normalized = normalizer?.normalizeString(text) ?? text;
    for (const [word] of splitter.preTokenizeString(normalized)) counts.set(word, (counts.get(word) ?? 0) + 1);
  };
  return { counts, add };
}

async function learn(
  counts: ReadonlyMap<string, number>,
  settings: CompleteSettings,
  plain: boolean,
  pause?: () => Promise<void> | void,
): Promise<Tokenizer> {
  const { family, vocab: vocabSize, specialTokens, minFrequency } = settings;
  const options = { vocabSize, specialTokens, minFrequency, ...(pause ? { pause } : {}) };
  const file = (model: object) => parseTokenizer({ ...partsAround(settings), model });
  if (family === "wordpiece") {
    const tokens = await trainWordPiece(counts, options);
    return file({
      type: "WordPiece",
      unk_token: "[UNK]",
      continuing_subword_prefix: continuing,
      max_input_chars_per_word: 100,
      vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
    });
  }
  if (family === "unigram") {
    const vocab = await trainUnigram(counts, options);
    return file({ type: "Unigram", unk_id: specialTokens.indexOf("<unk>"), vocab, byte_fallback: false });
  }
  // the library's words are written in the alphabet of bytes
  const text = (word: string) => Buffer.from(alphabetBytes(word)!).toString("utf8");
  const words = plain ? counts : new Map([...counts].map(([word, count]) => [text(word), count]));
  const tokenizer = new BpeTokenizer(await trainBpe(words, options));
  return plain ? tokenizer : file(tokenizer.toJSON().model as object);
}

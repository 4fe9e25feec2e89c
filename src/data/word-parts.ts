// Which tokens make up a word: what whole words are hidden by. Han, Hiragana and Katakana stand alone, a character a word.
import type { Tokenizer } from "./tokenizer.ts";

/** By id, 1 or 0. Two tokens are of one word where the first is open at its end and the second goes on. */
export interface WordParts {
  readonly goesOn: Uint8Array;
  readonly isOpen: Uint8Array;
}

/** A letter, digit or mark, or a character that is not whole yet. */
const part = "(?:(?![\\p{sc=Han}\\p{sc=Hiragana}\\p{sc=Katakana}])[\\p{L}\\p{N}\\p{M}]|\\uFFFD)";
const begins = new RegExp(`^${part}`, "u");
const ends = new RegExp(`${part}$`, "u");

/** The parts of a tokenizer's words: `##` of WordPiece goes on; `▁` and `Ġ` of a library's tokenizers begin. */
export function wordParts(tokenizer: Tokenizer): WordParts {
  const parts = {
    goesOn: new Uint8Array(tokenizer.vocabSize),
    isOpen: new Uint8Array(tokenizer.vocabSize),
  };
  for (const [id, text, isWordPiece] of textsOf(tokenizer)) {
    parts.goesOn[id] = Number(isWordPiece ? text.startsWith("##") : begins.test(text));
    parts.isOpen[id] = Number(isWordPiece || ends.test(text));
  }
  for (const id of tokenizer.specialTokens.values()) parts.goesOn[id] = parts.isOpen[id] = 0;
  return parts;
}

function* textsOf(tokenizer: Tokenizer): Generator<readonly [id: number, text: string, isWordPiece: boolean]> {
  const { type, vocab } = tokenizer.toJSON().model as { type?: string; vocab?: unknown };
  if (tokenizer.kind !== "foreign") {
    for (let id = 0; id < tokenizer.vocabSize; id++) yield [id, tokenizer.decode([id]), false];
  } else if (Array.isArray(vocab)) {
    for (const [id, [text]] of (vocab as [string, number][]).entries()) yield [id, text, false];
  } else {
    for (const [text, id] of Object.entries((vocab ?? {}) as Record<string, number>))
      yield [id, text, type === "WordPiece"];
  }
}

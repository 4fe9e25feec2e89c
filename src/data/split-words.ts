// A text cut into words whose places are known: runs of letters and digits, Han characters and signs one by one. Tokens of a word stand for
// its place, whatever a tokenizer makes of it.
import type { Tokenizer } from "./tokenizer.ts";

export interface Word {
  /** Where it stands in the text: from `start` to before `end`. */
  readonly start: number;
  readonly end: number;
  /** The word with the white space before it, as tokenizers of text want it. */
  readonly piece: string;
}

const pattern = /(\s*)(\p{sc=Han}|(?:(?!\p{sc=Han})[\p{L}\p{N}\p{M}])+|\S)/gu;

export function splitWords(text: string): Word[] {
  return Array.from(text.matchAll(pattern), ({ index, 0: piece, 1: space }) => ({
    start: index + space!.length,
    end: index + piece.length,
    piece,
  }));
}

/** Token ids of words one after the other, and the word that each belongs to. */
export function encodeWords(tokenizer: Tokenizer, pieces: readonly string[]): { ids: Int32Array; words: Int32Array } {
  const encoded = pieces.map((piece) => tokenizer.encode(piece));
  return {
    ids: Int32Array.from(encoded.flatMap((ids) => [...ids])),
    words: Int32Array.from(encoded.flatMap((ids, word) => new Array<number>(ids.length).fill(word))),
  };
}

// The tokens of an encoder's vocabulary that are no text: what frames a text, and what hides a word.
import type { Tokenizer } from "./tokenizer.ts";

export interface SpecialIds {
  /** `[CLS]`, before a text. */
  readonly cls: number;
  /** `[SEP]`, behind it. */
  readonly sep: number;
  /** `[MASK]`, in a hidden word's place. */
  readonly mask: number;
  /** Rows that a model's table of tokens needs. */
  readonly size: number;
}

/** The tokenizer's own ids; those that it lacks follow its vocabulary. */
export function specialIds({ specialTokens, vocabSize }: Tokenizer): SpecialIds {
  let size = vocabSize;
  const [cls, sep, mask] = ["[CLS]", "[SEP]", "[MASK]"].map((name) => specialTokens.get(name) ?? size++);
  return { cls: cls!, sep: sep!, mask: mask!, size };
}

/** `[CLS] text [SEP]`, the text cut so that both find room in `length` tokens. */
export function frameTokens(ids: Int32Array, { cls, sep }: SpecialIds, length: number): Int32Array {
  return Int32Array.of(cls, ...ids.subarray(0, length - 2), sep);
}

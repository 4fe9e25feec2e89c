// How well a language model knows a text: loss, perplexity and bits per byte, by windows that slide over it.
import { fail } from "../base/index.ts";
import type { ScoredRow, TokenScorer } from "./token-scorer.ts";

export interface TextScore {
  /** Mean of −ln p over the tokens scored. */
  readonly loss: number;
  readonly perplexity: number;
  /** −log₂ p of the text over its bytes: comparable between tokenizers. */
  readonly bitsPerByte: number;
  readonly numTokens: number;
}

export interface SlidingOptions {
  /** Tokens from window to window; default half the context. The smaller, the more of the context every token has. */
  readonly stride?: number;
}

/**
 * Windows of up to the context, each of which scores what those before did not: every token but the first of a text is scored once
 * (the fixed-length perplexity of Transformers' documentation).
 */
export function slidingWindows(tokens: readonly number[], context: number, stride: number): ScoredRow[] {
  const rows: ScoredRow[] = [];
  let scored = 1; // nothing is before the first
  for (let begin = 0; scored < tokens.length; begin += stride) {
    const end = Math.min(begin + context, tokens.length);
    if (end > scored) rows.push({ tokens: tokens.slice(begin, end), from: scored - begin });
    scored = end;
  }
  return rows;
}

/** Scores texts given as tokens; `numBytes` are all their bytes. Errors with `eval/stride`, `eval/text`. */
export async function scoreTexts(
  scorer: TokenScorer,
  texts: { readonly tokens: readonly (readonly number[])[]; readonly numBytes: number },
  { stride = Math.ceil((scorer.longest - 1) / 2) }: SlidingOptions = {},
): Promise<TextScore> {
  const context = scorer.longest - 1;
  if (!(Number.isInteger(stride) && stride >= 1 && stride < context))
    fail("eval/stride", "windows must overlap", {
      expected: `a whole number from 1 to ${context - 1}`,
      got: String(stride),
      fix: "leave it out: half the context",
    });
  const rows = texts.tokens.flatMap((tokens) => slidingWindows(tokens, context, stride));
  if (rows.length === 0)
    fail("eval/text", "there is no token to score", {
      expected: "a text of two tokens or more",
      got: `${texts.tokens.length} texts`,
      fix: "give more text",
    });
  const scores = await scorer.score(rows);
  const numTokens = scores.reduce((sum, { count }) => sum + count, 0);
  const total = -scores.reduce((sum, { logProbability }) => sum + logProbability, 0);
  const loss = total / numTokens;
  return { loss, perplexity: Math.exp(loss), bitsPerByte: total / Math.LN2 / texts.numBytes, numTokens };
}

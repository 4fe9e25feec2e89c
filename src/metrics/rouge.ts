// ROUGE (Lin 2004): how much of a reference summary is in the one written, by words, by pairs of words, or in order.
import { failEmpty, Sum } from "./metric.ts";
import { countNgrams, overlap, referencesOf, type TextMetric } from "./ngrams.ts";

export const rougeKinds = ["rouge1", "rouge2", "rougeL"] as const;
/** Words, pairs of neighbouring words, or the longest common subsequence of words. */
export type RougeKind = (typeof rougeKinds)[number];

export interface RougeScore {
  readonly precision: number;
  readonly recall: number;
  /** Harmonic mean of both. */
  readonly f1: number;
}

/** The mean of F over all texts, from 0 to 100; of several references the one that gives most. */
export function rouge(kind: RougeKind): TextMetric {
  const sum = new Sum();
  const metric = {
    name: kind as string,
    count: 0,
    add: (text: string, references: string | readonly string[]) => {
      sum.add(Math.max(...referencesOf(kind, references).map((one) => rougeScore(kind, text, one).f1)));
      metric.count++;
    },
    value: () => (metric.count === 0 ? failEmpty(kind) : (100 * sum.total()) / metric.count),
  };
  return metric;
}

/** Precision, recall and F of one text against one reference, from 0 to 1. */
export function rougeScore(kind: RougeKind, text: string, reference: string): RougeScore {
  const [own, wanted] = [rougeWords(text), rougeWords(reference)];
  const n = kind === "rouge2" ? 2 : 1;
  const common =
    kind === "rougeL" ? longestCommonSubsequence(own, wanted) : overlap(countNgrams(own, n), countNgrams(wanted, n));
  const share = (of: readonly string[]) => (of.length < n ? 0 : common / (of.length - n + 1));
  const [precision, recall] = [share(own), share(wanted)];
  return { precision, recall, f1: common === 0 ? 0 : (2 * precision * recall) / (precision + recall) };
}

/**
 * Runs of letters and digits in small letters, and each Chinese or Japanese character by itself; nothing is cut to its stem. Of ASCII
 * these are the words of `rouge_score`, which knows no others.
 */
function rougeWords(text: string): string[] {
  const apart = text.toLowerCase().replace(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/gu, " $& ");
  return apart.match(/[\p{L}\p{M}\p{N}]+/gu) ?? [];
}

function longestCommonSubsequence(a: readonly string[], b: readonly string[]): number {
  let before = new Array<number>(b.length + 1).fill(0); // of all of a so far, with each beginning of b
  for (const word of a) {
    const after = [0];
    for (const [at, other] of b.entries())
      after.push(word === other ? before[at]! + 1 : Math.max(before[at + 1]!, after[at]!));
    before = after;
  }
  return before[b.length]!;
}

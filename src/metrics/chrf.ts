// chrF (Popović 2015) and chrF++ (2017): n-grams of characters, which need no words and serve Chinese as well as German. sacrebleu's values.
import { failEmpty } from "./metric.ts";
import { countNgrams, overlap, referencesOf, splitAtSpaces, type TextMetric } from "./ngrams.ts";

const characters = 6; // of the longest n-gram
const recallWeight = 2 ** 2; // β²: recall counts twice as much as precision

export interface ChrfOptions {
  /** Words of the longest n-gram of words that counts beside those of characters; 2 is chrF++. Default 0. */
  readonly words?: number;
}

/** Of each order: n-grams written, wanted, and in both. */
type Counts = readonly { readonly written: number; readonly wanted: number; readonly common: number }[];

/** chrF2 over all texts together; of several references the one that a text is nearest to. */
export function chrf({ words = 0 }: ChrfOptions = {}): TextMetric {
  const sums = Array.from({ length: characters + words }, () => ({ written: 0, wanted: 0, common: 0 }));
  const metric = {
    name: words === 0 ? "chrf" : "chrf++",
    count: 0,
    add: (text: string, references: string | readonly string[]) => {
      const own = ngramsOf(text, words);
      const candidates = referencesOf(metric.name, references).map((one) => countsOf(own, ngramsOf(one, words)));
      const best = candidates.reduce((a, b) => (scoreOf(b) > scoreOf(a) ? b : a));
      for (const [at, { written, wanted, common }] of best.entries()) {
        const sum = sums[at]!;
        sum.written += written;
        sum.wanted += wanted;
        sum.common += common;
      }
      metric.count++;
    },
    value: () => (metric.count === 0 ? failEmpty(metric.name) : scoreOf(sums)),
  };
  return metric;
}

function ngramsOf(text: string, words: number): Map<string, number>[] {
  const letters = Array.from(splitAtSpaces(text).join(""));
  const orders = (items: readonly string[], most: number) =>
    Array.from({ length: most }, (_, at) => countNgrams(items, at + 1));
  return [...orders(letters, characters), ...orders(words === 0 ? [] : splitWords(text), words)];
}

/** Words, of which a mark of punctuation at the end, or else at the beginning, is one by itself. */
function splitWords(text: string): string[] {
  const punctuation = /[!-/:-@[-`{-~]/u;
  return splitAtSpaces(text).flatMap((word) => {
    if (word.length === 1) return [word];
    if (punctuation.test(word.at(-1)!)) return [word.slice(0, -1), word.slice(-1)];
    return punctuation.test(word[0]!) ? [word[0]!, word.slice(1)] : [word];
  });
}

function countsOf(text: readonly Map<string, number>[], reference: readonly Map<string, number>[]): Counts {
  const total = (counts: Map<string, number>) => [...counts.values()].reduce((sum, count) => sum + count, 0);
  return text.map((own, at) => {
    const wanted = total(reference[at]!);
    return { written: wanted === 0 ? 0 : total(own), wanted, common: overlap(own, reference[at]!) };
  });
}

/** F of the mean precision and the mean recall, over the orders that both texts have. */
function scoreOf(counts: Counts): number {
  const present = counts.filter(({ written, wanted }) => written > 0 && wanted > 0);
  if (present.length === 0) return 0;
  const mean = (of: (one: Counts[number]) => number) => present.reduce((sum, one) => sum + of(one), 0) / present.length;
  const precision = mean(({ common, written }) => common / written);
  const recall = mean(({ common, wanted }) => common / wanted);
  if (precision + recall === 0) return 0;
  return (100 * (1 + recallWeight) * precision * recall) / (recallWeight * precision + recall);
}

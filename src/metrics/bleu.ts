// BLEU (Papineni et al. 2002) of a whole set of texts, and of one: sacrebleu's values (Post 2018).
import { type BleuTokenization, bleuTokens } from "./bleu-tokens.ts";
import { failEmpty } from "./metric.ts";
import { countNgrams, overlap, referencesOf, type TextMetric } from "./ngrams.ts";

const longest = 4; // words of an n-gram

export interface BleuOptions {
  /** Default `13a`; `zh` for Chinese. */
  readonly tokenization?: BleuTokenization;
  /** Default false. */
  readonly lowercase?: boolean;
}

/** What is counted: words written and in the closest reference, and of each order the n-grams written and those that are right. */
interface BleuCounts {
  written: number;
  wanted: number;
  readonly total: number[];
  readonly correct: number[];
}

const none = (): BleuCounts => ({ written: 0, wanted: 0, total: [0, 0, 0, 0], correct: [0, 0, 0, 0] });

/** BLEU over all texts together: precisions of 1- to 4-grams, smoothed where none is right, and a penalty for what is too short. */
export function bleu(options: BleuOptions = {}): TextMetric {
  const counts = none();
  const metric = {
    name: "bleu",
    count: 0,
    add: (text: string, references: string | readonly string[]) => {
      addTo(counts, text, references, options);
      metric.count++;
    },
    value: () => (metric.count === 0 ? failEmpty("bleu") : scoreOf(counts, longest)),
  };
  return metric;
}

/** BLEU of one text, over the orders that it is long enough for. */
export function sentenceBleu(text: string, references: string | readonly string[], options: BleuOptions = {}): number {
  const counts = none();
  addTo(counts, text, references, options);
  const orders = counts.total.indexOf(0);
  return scoreOf(counts, orders < 0 ? longest : Math.max(1, orders));
}

function addTo(
  counts: BleuCounts,
  text: string,
  given: string | readonly string[],
  { tokenization = "13a", lowercase = false }: BleuOptions,
): void {
  const tokens = (one: string) => bleuTokens(lowercase ? one.toLowerCase() : one, tokenization);
  const written = tokens(text);
  const references = referencesOf("bleu", given).map(tokens);
  counts.written += written.length;
  const lengths = references.map(({ length }) => length).sort((a, b) => a - b);
  const distance = (length: number) => Math.abs(length - written.length);
  counts.wanted += lengths.reduce((best, length) => (distance(length) < distance(best) ? length : best));
  for (let order = 1; order <= longest; order++) {
    const most = new Map<string, number>();
    for (const reference of references)
      for (const [key, count] of countNgrams(reference, order)) most.set(key, Math.max(count, most.get(key) ?? 0));
    counts.total[order - 1]! += Math.max(0, written.length - order + 1);
    counts.correct[order - 1]! += overlap(countNgrams(written, order), most);
  }
}

/** Each order of which nothing is right counts half of the one before that was so (Chen & Cherry 2014, method 3). */
function scoreOf({ written, wanted, total, correct }: BleuCounts, orders: number): number {
  if (correct.every((count) => count === 0)) return 0;
  let [logs, smoothing] = [0, 1];
  for (let at = 0; at < orders; at++) {
    if (total[at] === 0) return 0;
    if (correct[at] === 0) smoothing *= 2;
    logs += Math.log(correct[at] === 0 ? 1 / (smoothing * total[at]!) : correct[at]! / total[at]!);
  }
  const brevity = written < wanted ? Math.exp(1 - wanted / written) : 1;
  return 100 * brevity * Math.exp(logs / orders);
}

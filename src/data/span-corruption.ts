// Span corruption (Raffel et al. 2020, section 3.1.4): of a text some spans are hidden behind sentinels, and to be written is what each of
// them stands for. Counts and draws are those of the published code, t5's `random_spans_noise_mask`. No datasets.
import type { SampleDraws } from "./sample-draws.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface SpanShares {
  /** Share of the tokens that is hidden; published: 0.15. */
  readonly noise: number;
  /** Mean length of a hidden span; published: 3. */
  readonly meanLength: number;
}

export interface SpanCounts {
  /** Tokens that are hidden, and in how many spans. */
  readonly hidden: number;
  readonly spans: number;
  /** Lengths of what is read and of what is written, sentinels and the end token counted. */
  readonly source: number;
  readonly target: number;
}

/** Half to even, as NumPy and TensorFlow round. */
function round(x: number): number {
  const near = Math.round(x);
  return near - x === 0.5 && near % 2 !== 0 ? near - 1 : near;
}

/** What becomes of a text of `length` tokens, at least 2, whatever is drawn. */
export function spanCounts(length: number, { noise, meanLength }: SpanShares): SpanCounts {
  const hidden = Math.min(Math.max(round(length * noise), 1), length - 1);
  const spans = Math.min(Math.max(round(hidden / meanLength), 1), hidden, length - hidden);
  return { hidden, spans, source: length - hidden + spans + 1, target: hidden + spans + 1 };
}

/** The longest text of which no more than `context` tokens are read; 1 where none fits. */
export function spanWindow(context: number, shares: SpanShares): number {
  let length = 1;
  while (spanCounts(length + 1, shares).source <= context) length++;
  return length;
}

/** Lengths of spans by turns kept and hidden, the first one kept; all that there can be are equally likely. */
export function drawSpans(length: number, shares: SpanShares, { uniform }: Pick<SampleDraws, "uniform">): number[] {
  const { hidden, spans } = spanCounts(length, shares);
  const hiddenLengths = compose(hidden, spans, uniform);
  const keptLengths = compose(length - hidden, spans, (at) => uniform(hidden + at));
  return keptLengths.flatMap((kept, at) => [kept, hiddenLengths[at]!]);
}

/** `items` in `parts` parts of at least one: cut at some of the places between two items. */
function compose(items: number, parts: number, uniform: (at: number) => number): number[] {
  const keys = Array.from({ length: items - 1 }, (_, at) => uniform(at));
  const order = [...keys.keys()].sort((a, b) => keys[a]! - keys[b]! || a - b);
  const ends = order.slice(0, parts - 1).map((at) => at + 1);
  return [...ends.sort((a, b) => a - b), items].map((end, at, all) => end - (all[at - 1] ?? 0));
}

/** A text whose spans are by turns kept and hidden, as what is read and what is written: each has a sentinel where the other has a span. */
export function hideSpans(
  ids: Int32Array,
  lengths: readonly number[],
  sentinels: readonly number[],
): readonly [source: Int32Array, target: Int32Array] {
  const [source, target]: [number[], number[]] = [[], []];
  let at = 0;
  lengths.forEach((length, span) => {
    const [has, lacks] = span % 2 === 0 ? [source, target] : [target, source];
    has.push(...ids.subarray(at, at + length));
    lacks.push(sentinels[Math.floor(span / 2)]!);
    at += length;
  });
  return [Int32Array.from(source), Int32Array.from(target)];
}

/** The tokenizer's own `<extra_id_0>`, `<extra_id_1>`, …; those that it lacks follow its vocabulary. `size`: rows of a table of tokens. */
export function sentinelIds(
  { specialTokens, vocabSize }: Tokenizer,
  count: number,
): { readonly ids: readonly number[]; readonly size: number } {
  let size = vocabSize;
  const ids = Array.from({ length: count }, (_, at) => specialTokens.get(`<extra_id_${at}>`) ?? size++);
  return { ids, size };
}

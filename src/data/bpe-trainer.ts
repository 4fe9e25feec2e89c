// Learns byte-level BPE merges (Sennrich et al. 2016; byte alphabet of GPT-2) from word counts. Encodes nothing.
//
// Follows the `tokenizers` library's BpeTrainer step by step, so that at equal settings the merges are equal: the most
// frequent pair first, ties to the smaller ids, and two habits that matter only together: a merged pair keeps its count,
// and a pair that arises again later waits in the queue a second time, with only its new places.
import { fail } from "../base/index.ts";
import { alphabetOrder, byteToChar } from "./byte-alphabet.ts";
import { PairTable } from "./pair-table.ts";
import { wordEnd } from "./pre-tokenizer.ts";

export interface BpeTrainingOptions {
  /** Greatest number of tokens, special tokens and the 256 bytes included. Small data may yield fewer. */
  readonly vocabSize: number;
  /** A pair seen fewer times is never merged. Default 0. */
  readonly minFrequency?: number;
  /** Tokens that no text becomes; they take the first ids. */
  readonly specialTokens?: readonly string[];
  /** Called about every 10 ms; may wait, to keep the thread free for others. */
  readonly pause?: () => Promise<void> | void;
}

/** What training gives: tokens by id (in the byte alphabet) and merges by rank, as pairs of ids. */
export interface BpeVocabulary {
  readonly tokens: readonly string[];
  readonly merges: readonly (readonly [left: number, right: number])[];
  readonly specialTokens: readonly string[];
}

/** Counts the words of texts. */
export class WordCounter {
  readonly counts = new Map<string, number>();

  /** Adds the words of `text`, which must not end within a word that goes on in the next call. */
  add(text: string): void {
    const { counts } = this;
    for (let at = 0; at < text.length; ) {
      const end = wordEnd(text, at);
      const word = text.slice(at, end);
      counts.set(word, (counts.get(word) ?? 0) + 1);
      at = end;
    }
  }
}

/** Learns merges. Errors with `tokenizer/vocab-size` when there is no room for the bytes. */
export async function trainBpe(
  wordCounts: ReadonlyMap<string, number>,
  options: BpeTrainingOptions,
): Promise<BpeVocabulary> {
  const { specialTokens = [] } = options;
  const tokens = [...specialTokens, ...alphabetOrder.map((byte) => byteToChar[byte])];
  checkAlphabet(tokens, options, "256 bytes");
  const byteIds = new Int32Array(256);
  alphabetOrder.forEach((byte, i) => {
    byteIds[byte] = specialTokens.length + i;
  });
  const words = new Words(wordCounts, (word, into, at) => {
    const bytes = Buffer.from(word, "utf8");
    for (let i = 0; i < bytes.length; i++) into[at + i] = byteIds[bytes[i]];
    return bytes.length;
  });
  const merges = await learnMerges(words, tokens, options, (left, right) => left + right);
  return { tokens, merges, specialTokens };
}

/** Errors with `tokenizer/vocab-size` and `tokenizer/special-token`. */
export function checkAlphabet(tokens: readonly string[], options: BpeTrainingOptions, alphabet: string): void {
  const { vocabSize, specialTokens = [] } = options;
  if (!Number.isInteger(vocabSize) || vocabSize < tokens.length || vocabSize > 2 ** 24) {
    fail("tokenizer/vocab-size", "the vocabulary is too small or too large", {
      where: "tokenizer",
      expected: `an integer from ${tokens.length} (${alphabet} and ${specialTokens.length} special tokens) to 2^24`,
      got: String(vocabSize),
      fix: "name another size",
    });
  }
  if (new Set(tokens).size !== tokens.length)
    fail("tokenizer/special-token", "special tokens must differ from each other and from single characters");
}

/** Merges pairs until `tokens`, to which it adds, are `vocabSize`; returns the merges by rank. `join` names what a pair becomes. */
export async function learnMerges(
  words: Words,
  tokens: string[],
  { vocabSize, minFrequency = 0, specialTokens = [], pause }: BpeTrainingOptions,
  join: (left: string, right: string) => string,
): Promise<BpeVocabulary["merges"]> {
  const ids = new Map(tokens.map((token, id) => [token, id]));
  const reserved = new Set(specialTokens);
  const pairs = new Pairs();
  const queue = new PairQueue(pairs);
  let rested = performance.now();
  const rest = async () => {
    if (pause === undefined || performance.now() - rested < 10) return;
    await pause();
    rested = performance.now();
  };
  for (let word = 0; word < words.length; word++) {
    words.countPairs(word, pairs);
    if (word % 1024 === 0) await rest();
  }
  queue.pushAll(pairs.takeFresh());

  const merges: [number, number][] = [];
  while (tokens.length < vocabSize) {
    const top = queue.pop();
    if (top === undefined) break;
    const count = pairs.counts[top.pair];
    if (top.count !== count) {
      queue.push({ ...top, count });
      continue;
    }
    if (count < 1 || count < minFrequency) break;
    const [left, right] = [pairs.lefts[top.pair], pairs.rights[top.pair]];
    const token = join(tokens[left], tokens[right]);
    if (reserved.has(token)) continue; // text must never become a special token
    let id = ids.get(token);
    if (id === undefined) {
      id = tokens.length;
      tokens.push(token);
      ids.set(token, id);
    }
    merges.push([left, right]);
    for (const word of top.words) words.merge(word, left, right, id, pairs);
    queue.pushAll(pairs.takeFresh());
    await rest();
  }
  return lastOfEach(merges);
}

/** A pair merged twice counts with its later rank. */
function lastOfEach(merges: readonly [number, number][]): [number, number][] {
  const last = new PairTable(merges.length);
  merges.forEach(([left, right], rank) => {
    last.set(left, right, rank);
  });
  return merges.filter(([left, right], rank) => last.get(left, right) === rank);
}

/** The distinct words as sequences of token ids, in one array, shrinking as pairs merge. */
export class Words {
  readonly length: number;
  private readonly symbols: Int32Array;
  private readonly starts: Int32Array;
  private readonly sizes: Int32Array;
  private readonly counts: Float64Array;

  /** `put` writes the ids of a word at a place of an array and returns how many; never more than its bytes as UTF-8. */
  constructor(wordCounts: ReadonlyMap<string, number>, put: (word: string, into: Int32Array, at: number) => number) {
    this.length = wordCounts.size;
    this.starts = new Int32Array(this.length);
    this.sizes = new Int32Array(this.length);
    this.counts = new Float64Array(this.length);
    let total = 0;
    for (const word of wordCounts.keys()) total += Buffer.byteLength(word);
    if (total > 2 ** 30) {
      fail("tokenizer/too-large", "the distinct words are too many to learn merges from", {
        expected: "at most 1 GiB of distinct words",
        fix: "train the tokenizer on a sample of the text",
      });
    }
    this.symbols = new Int32Array(total);
    let [at, index] = [0, 0];
    for (const [word, count] of wordCounts) {
      this.starts[index] = at;
      this.sizes[index] = put(word, this.symbols, at);
      this.counts[index] = count;
      at += this.sizes[index++];
    }
  }

  countPairs(word: number, pairs: Pairs): void {
    const start = this.starts[word];
    const end = start + this.sizes[word];
    for (let i = start + 1; i < end; i++) pairs.add(this.symbols[i - 1], this.symbols[i], this.counts[word], word);
  }

  /** Replaces every (left, right) of a word by `id` and tells `pairs` what that changed. */
  merge(word: number, left: number, right: number, id: number, pairs: Pairs): void {
    const { symbols } = this;
    const count = this.counts[word];
    const start = this.starts[word];
    const end = start + this.sizes[word];
    let write = start;
    for (let read = start; read < end; ) {
      if (symbols[read] !== left || read + 1 >= end || symbols[read + 1] !== right) {
        symbols[write++] = symbols[read++];
        continue;
      }
      if (write > start) {
        pairs.subtract(symbols[write - 1], left, count);
        pairs.add(symbols[write - 1], id, count, word);
      }
      if (read + 2 < end) {
        pairs.subtract(right, symbols[read + 2], count);
        pairs.add(id, symbols[read + 2], count, word);
      }
      symbols[write++] = id;
      read += 2;
    }
    this.sizes[word] = write - start;
  }
}

/** A pair waiting in the queue: its count when it was put there, and the words where it arose. */
interface Candidate {
  readonly pair: number;
  readonly count: number;
  readonly words: readonly number[];
}

/** Every pair ever seen, its count now, and where it arose since the last `takeFresh`. */
class Pairs {
  readonly lefts: number[] = [];
  readonly rights: number[] = [];
  readonly counts: number[] = [];
  private readonly table = new PairTable(2 ** 14);
  private readonly freshWords: (number[] | undefined)[] = [];
  private fresh: number[] = [];

  add(left: number, right: number, count: number, word: number): void {
    const pair = this.index(left, right);
    this.counts[pair] += count;
    const words = this.freshWords[pair];
    if (words === undefined) {
      this.freshWords[pair] = [word];
      this.fresh.push(pair);
    } else if (words[words.length - 1] !== word) words.push(word); // a word's changes come together
  }

  subtract(left: number, right: number, count: number): void {
    this.counts[this.index(left, right)] -= count;
  }

  takeFresh(): Candidate[] {
    const candidates: Candidate[] = [];
    for (const pair of this.fresh) {
      if (this.counts[pair] > 0)
        candidates.push({ pair, count: this.counts[pair], words: this.freshWords[pair] ?? [] });
      this.freshWords[pair] = undefined;
    }
    this.fresh = [];
    return candidates;
  }

  private index(left: number, right: number): number {
    let pair = this.table.get(left, right);
    if (pair < 0) {
      pair = this.counts.length;
      this.table.set(left, right, pair);
      this.lefts.push(left);
      this.rights.push(right);
      this.counts.push(0);
      this.freshWords.push(undefined);
    }
    return pair;
  }
}

/** A binary heap: greatest count first, then the smaller left id, then the smaller right id. */
class PairQueue {
  private readonly heap: Candidate[] = [];
  private readonly pairs: Pairs;

  constructor(pairs: Pairs) {
    this.pairs = pairs;
  }

  pushAll(candidates: readonly Candidate[]): void {
    for (const candidate of candidates) this.push(candidate);
  }

  push(candidate: Candidate): void {
    const { heap } = this;
    let at = heap.length;
    heap.push(candidate);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.before(candidate, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = candidate;
  }

  pop(): Candidate | undefined {
    const { heap } = this;
    const top = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && this.before(heap[child + 1], heap[child])) child++;
      if (!this.before(heap[child], last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return top;
  }

  private before(a: Candidate, b: Candidate): boolean {
    if (a.count !== b.count) return a.count > b.count;
    const { lefts, rights } = this.pairs;
    if (lefts[a.pair] !== lefts[b.pair]) return lefts[a.pair] < lefts[b.pair];
    return rights[a.pair] < rights[b.pair];
  }
}

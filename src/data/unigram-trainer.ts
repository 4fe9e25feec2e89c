// Learns a unigram vocabulary (Kudo 2018): begins with too many pieces and, between rounds of expectation and maximization, drops
// those whose loss costs the text the least. Encodes nothing.
//
// Follows the `tokenizers` library's UnigramTrainer step by step, its liberties too: the normalizer of a dropped piece counts all
// pieces instead of its own alternatives, and a distinct word counts once among the seeds. That library sums in an order of
// chance, so scores agree but for their last digits.
import { fail } from "../base/index.ts";
import { Lattice, PieceTree } from "./unigram-lattice.ts";
import { repeatedSubstrings } from "./unigram-seeds.ts";

export interface UnigramTrainingOptions {
  /** Greatest number of tokens, special tokens included. Small data may yield fewer. */
  readonly vocabSize: number;
  /** Tokens that no text becomes; they take the first ids. */
  readonly specialTokens?: readonly string[];
  /** Called between pieces of work of about 10 ms; may wait. */
  readonly pause?: () => Promise<void> | void;
}

/** Tokens by id, with their log-probabilities; those of special tokens are 0. */
export type UnigramVocabulary = readonly (readonly [token: string, score: number])[];

const maxSeeds = 1_000_000;
const roundsBetweenPrunings = 2;
const keptShare = 0.75;
const leastExpected = 0.5;

/** The text's distinct words as code points, each followed by 0, with their counts. */
interface Words {
  readonly text: Int32Array;
  readonly ends: Int32Array;
  readonly counts: Float64Array;
}

/** Piece 0 is the unknown one. */
interface Pieces {
  readonly names: string[];
  readonly scores: Float64Array;
}

/** Learns a vocabulary from word counts. Errors with `tokenizer/vocab-size` when there is no room for the characters. */
export async function trainUnigram(
  wordCounts: ReadonlyMap<string, number>,
  { vocabSize, specialTokens = [], pause = () => {} }: UnigramTrainingOptions,
): Promise<UnigramVocabulary> {
  const words = readWords(wordCounts);
  const characters = new Set<string>();
  for (const word of wordCounts.keys()) for (const char of word) characters.add(char);
  const room = vocabSize - specialTokens.length;
  if (!Number.isInteger(vocabSize) || room < characters.size || vocabSize > 2 ** 24) {
    fail("tokenizer/vocab-size", "the vocabulary is too small or too large", {
      expected: `an integer from ${characters.size + specialTokens.length} (${characters.size} characters and ${specialTokens.length} special tokens) to 2^24`,
      got: String(vocabSize),
    });
  }
  const enough = Math.floor((vocabSize * 11) / 10);
  let pieces = seedPieces(words);
  for (;;) {
    for (let round = 0; round < roundsBetweenPrunings; round++)
      pieces = maximize(pieces, await expectedCounts(pieces, words, pause));
    if (pieces.names.length <= enough) break;
    const pruned = await prune(pieces, words, enough, pause);
    if (pruned.names.length === pieces.names.length) break; // nothing more can go
    pieces = pruned;
  }
  const learned = finish(pieces, characters, room, new Set(specialTokens));
  return [...specialTokens.map((token) => [token, 0] as const), ...learned];
}

function readWords(wordCounts: ReadonlyMap<string, number>): Words {
  let [length, size, word] = [0, 0, 0];
  for (const letters of wordCounts.keys()) length += letters.length + 1;
  const text = new Int32Array(length);
  const ends = new Int32Array(wordCounts.size);
  for (const letters of wordCounts.keys()) {
    for (const char of letters) text[size++] = char.codePointAt(0)!;
    ends[word++] = size++;
  }
  return { text: text.subarray(0, size), ends, counts: Float64Array.from(wordCounts.values()) };
}

/** Calls `each` with where every word begins and ends, and its number. */
async function forWords(
  { ends }: Words,
  pause: () => Promise<void> | void,
  each: (start: number, end: number, word: number) => void,
): Promise<void> {
  for (let word = 0, start = 0; word < ends.length; start = ends[word++] + 1) {
    each(start, ends[word], word);
    if (word % 1024 === 0) await pause();
  }
}

function seedPieces({ text, ends, counts }: Words): Pieces {
  const characters = new Map<number, number>();
  for (let word = 0, at = 0; word < ends.length; at = ends[word++] + 1)
    for (; at < ends[word]; at++)
      if (text[at] !== 0) characters.set(text[at], (characters.get(text[at]) ?? 0) + counts[word]);
  const singles = [...characters].sort(([a, countA], [b, countB]) => countB - countA || b - a);
  const compare = (a: number, b: number, length: number) => {
    for (let i = 0; i < length; i++) if (text[a + i] !== text[b + i]) return text[b + i] - text[a + i];
    return 0;
  };
  const longer = repeatedSubstrings(text).sort(
    (a, b) =>
      b.count * b.length - a.count * a.length ||
      compare(a.start, b.start, Math.min(a.length, b.length)) ||
      b.length - a.length,
  );
  const seeds = [
    ...singles.map(([char, count]) => [String.fromCodePoint(char), count] as const),
    ...longer
      .slice(0, Math.max(1, maxSeeds - singles.length))
      .map(({ start, length, count }) => [stringOf(text.subarray(start, start + length)), count * length] as const),
  ];
  const logTotal = Math.log(seeds.reduce((sum, [, count]) => sum + count, 0));
  return {
    names: ["", ...seeds.map(([name]) => name)],
    scores: Float64Array.of(Number.NaN, ...seeds.map(([, count]) => Math.log(count) - logTotal)),
  };
}

function stringOf(points: Int32Array): string {
  return String.fromCodePoint(...points);
}

/** How often each piece is to be expected in the text. */
async function expectedCounts(
  { names, scores }: Pieces,
  words: Words,
  pause: () => Promise<void> | void,
): Promise<Float64Array> {
  const lattice = new Lattice(new PieceTree(names), scores);
  const expected = new Float64Array(names.length);
  await forWords(words, pause, (start, end, word) => {
    lattice.read(words.text, start, end);
    lattice.addExpected(words.counts[word], expected);
  });
  return expected;
}

/** Scores by expected counts, under a sparse prior (Liang & Klein 2007); what is hardly to be expected goes. */
function maximize({ names }: Pieces, expected: Float64Array): Pieces {
  const kept = names.map((_, id) => id).filter((id) => id === 0 || expected[id] >= leastExpected);
  const logTotal = digamma(kept.reduce((sum, id) => (id === 0 ? 0 : sum + expected[id]), 0));
  return {
    names: kept.map((id) => names[id]),
    scores: Float64Array.from(kept, (id) => (id === 0 ? Number.NaN : digamma(expected[id]) - logTotal)),
  };
}

/** The pieces without those that are missed the least, of which a quarter goes, but no more than `enough` allows. */
async function prune(pieces: Pieces, words: Words, enough: number, pause: () => Promise<void> | void): Promise<Pieces> {
  const { names, scores } = pieces;
  const lattice = new Lattice(new PieceTree(names), scores);
  const frequency = new Float64Array(names.length);
  let sentences = 0;
  await forWords(words, pause, (start, end, word) => {
    lattice.read(words.text, start, end);
    sentences += words.counts[word];
    for (const id of lattice.best().pieces) frequency[id] += words.counts[word];
  });
  const total = frequency.reduce((sum, one) => sum + one, 0);
  const kept = [0];
  const candidates: { readonly id: number; readonly loss: number }[] = [];
  for (let id = 1; id < names.length; id++) {
    if (id % 1024 === 0) await pause();
    const points = Int32Array.from(names[id], (char) => char.codePointAt(0)!);
    lattice.read(points, 0, points.length);
    const apart = points.length === 1 ? undefined : lattice.best({ whole: false });
    const needed = apart === undefined || scores[id] >= apart.score;
    if (frequency[id] === 0 && !needed) continue;
    if (apart === undefined || !needed) kept.push(id);
    else if (frequency[id] > 0) {
      const logTotal = Math.log(total + frequency[id] * (names.length - 1));
      const without = apart.pieces.reduceRight(
        (sum, other) => sum + Math.log(frequency[other] + frequency[id]) - logTotal,
        0,
      );
      const loss = (frequency[id] / sentences) * (Math.log(frequency[id]) - Math.log(total) - without);
      candidates.push({ id, loss });
    }
  }
  const size = Math.max(enough, Math.floor(names.length * keptShare));
  candidates.sort((a, b) => b.loss - a.loss);
  // where the pieces without alternatives are more than that already, all stay
  const more = kept.length > size ? candidates.length : size - kept.length;
  kept.push(...candidates.slice(0, more).map(({ id }) => id));
  return { names: kept.map((id) => names[id]), scores: Float64Array.from(kept, (id) => scores[id]) };
}

/** The `room` pieces that stay, best first. Every character stays, with the least score where training dropped it. */
function finish(
  { names, scores }: Pieces,
  characters: ReadonlySet<string>,
  room: number,
  reserved: ReadonlySet<string>,
): [token: string, score: number][] {
  const scoreOf = new Map(names.map((name, id) => [name, scores[id]] as const));
  const least = scores.subarray(1).reduce((a, b) => Math.min(a, b), Number.POSITIVE_INFINITY);
  let dropped = 0;
  const chosen = new Map<string, number>();
  for (const char of [...characters].sort()) chosen.set(char, scoreOf.get(char) ?? least + 0.0001 * dropped++);
  for (const [id, name] of names.entries()) {
    if (chosen.size >= room) break;
    if (id > 0 && !chosen.has(name) && !reserved.has(name)) chosen.set(name, scores[id]);
  }
  return [...chosen].sort(([, a], [, b]) => b - a);
}

/** The derivative of log Γ, by recurrence and an asymptotic series in 1/(x − ½). */
function digamma(x: number): number {
  let result = 0;
  for (; x < 7; x++) result -= 1 / x;
  const inverse = 1 / (x - 0.5);
  const square = inverse * inverse;
  const fourth = square * square;
  return (
    result -
    Math.log(inverse) +
    square / 24 -
    (7 / 960) * fourth +
    (31 / 8064) * fourth * square -
    (127 / 30720) * fourth * fourth
  );
}

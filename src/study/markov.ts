// A character source of order 2 whose entropy is known: each character depends on the two before it. No model is as good as it.
import { RandomStream } from "../base/index.ts";

/** Surprise of the true source over a text, in nats per character. */
export interface Surprise {
  readonly mean: number;
  readonly standardError: number;
  readonly count: number;
}

export class MarkovSource {
  readonly alphabet: string;
  /** Probability of character c after a, b: at `(a·n + b)·n + c`. */
  private readonly chances: Float64Array;

  /** Chances are softmaxes of `sharpness` times normal numbers: the greater, the more can be known in advance. */
  constructor(options: { alphabet: string; seed: number; sharpness: number }) {
    const { alphabet, seed, sharpness } = options;
    const n = alphabet.length;
    const stream = new RandomStream(seed, "markov/chances");
    this.alphabet = alphabet;
    this.chances = new Float64Array(n ** 3).map((_, at) => Math.exp(sharpness * stream.normal(at)));
    for (let pair = 0; pair < n * n; pair++) {
      const row = this.chances.subarray(pair * n, (pair + 1) * n);
      const sum = row.reduce((total, chance) => total + chance, 0);
      row.forEach((chance, at) => {
        row[at] = chance / sum;
      });
    }
  }

  /** A text of this length. */
  text(length: number, seed: number): string {
    const n = this.alphabet.length;
    const stream = new RandomStream(seed, "markov/text");
    const characters: string[] = [];
    let pair = 0;
    for (let at = 0; at < length; at++) {
      let left = stream.uniform(at);
      let next = 0;
      for (; next < n - 1; next++) {
        left -= this.chances[pair * n + next]!;
        if (left < 0) break;
      }
      characters.push(this.alphabet[next]!);
      pair = (pair * n + next) % (n * n);
    }
    return characters.join("");
  }

  /** −log of the true chance of each of the last `count` characters, given the two before it. */
  surprise(text: string, count: number): Surprise {
    const n = this.alphabet.length;
    const ids = Array.from(text.slice(-(count + 2)), (character) => this.alphabet.indexOf(character));
    const losses = Array.from({ length: count }, (_, at) => {
      const [a, b, c] = [ids[at]!, ids[at + 1]!, ids[at + 2]!];
      return -Math.log(this.chances[(a * n + b) * n + c]!);
    });
    const mean = losses.reduce((sum, loss) => sum + loss, 0) / count;
    const variance = losses.reduce((sum, loss) => sum + (loss - mean) ** 2, 0) / (count - 1);
    return { mean, standardError: Math.sqrt(variance / count), count };
  }

  /**
   * Chances of each character at each place of a piece from the middle of an endless text, some of whose characters are hidden
   * (undefined, else ids), given all that are not: by messages forward and back (Baum et al. 1970) over pairs.
   */
  posterior(piece: readonly (number | undefined)[]): Float64Array[] {
    const n = this.alphabet.length;
    const fits = (at: number, id: number) => piece[at] === undefined || piece[at] === id;
    const scaled = (values: Float64Array) => {
      const sum = values.reduce((total, value) => total + value, 0);
      return values.map((value) => value / sum);
    };
    const first = this.pairs().map((chance, pair) => (fits(0, Math.floor(pair / n)) && fits(1, pair % n) ? chance : 0));
    const forward = [scaled(first)]; // of the pair that ends at place 1, 2, …
    for (let at = 2; at < piece.length; at++) {
      const next = new Float64Array(n * n);
      this.chances.forEach((chance, from) => {
        if (fits(at, from % n)) next[from % (n * n)]! += forward.at(-1)![Math.floor(from / n)]! * chance;
      });
      forward.push(scaled(next));
    }
    let back = new Float64Array(n * n).fill(1);
    const chances: Float64Array[] = [];
    for (let at = piece.length - 1; at >= 1; at--) {
      const here = scaled(forward[at - 1]!.map((chance, pair) => chance * back[pair]!));
      const margin = (idOf: (pair: number) => number) => {
        const sums = new Float64Array(n);
        here.forEach((chance, pair) => {
          sums[idOf(pair)]! += chance;
        });
        return sums;
      };
      chances.unshift(margin((pair) => pair % n));
      if (at === 1) chances.unshift(margin((pair) => Math.floor(pair / n)));
      const before = new Float64Array(n * n);
      this.chances.forEach((chance, from) => {
        if (fits(at, from % n)) before[Math.floor(from / n)]! += chance * back[from % (n * n)]!;
      });
      back = scaled(before);
    }
    return chances;
  }

  /** Entropy per character of the endless text. */
  entropyRate(): number {
    const n = this.alphabet.length;
    const pairs = this.pairs();
    return this.chances.reduce((sum, chance, at) => sum - pairs[Math.floor(at / n)]! * chance * Math.log(chance), 0);
  }

  /** How often each pair of characters stands in the endless text. */
  private pairs(): Float64Array {
    const n = this.alphabet.length;
    let pairs = new Float64Array(n * n).fill(1 / (n * n));
    for (let round = 0; round < 1000; round++) {
      const after = new Float64Array(n * n);
      this.chances.forEach((chance, at) => {
        after[at % (n * n)]! += pairs[Math.floor(at / n)]! * chance; // (a, b, c) goes on as (b, c)
      });
      pairs = after;
    }
    return pairs;
  }
}

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

  /** Entropy per character of the endless text: by the stationary distribution of pairs. */
  entropyRate(): number {
    const n = this.alphabet.length;
    let pairs = new Float64Array(n * n).fill(1 / (n * n));
    for (let round = 0; round < 1000; round++) {
      const after = new Float64Array(n * n);
      this.chances.forEach((chance, at) => {
        after[at % (n * n)]! += pairs[Math.floor(at / n)]! * chance; // (a, b, c) goes on as (b, c)
      });
      pairs = after;
    }
    return this.chances.reduce((sum, chance, at) => sum - pairs[Math.floor(at / n)]! * chance * Math.log(chance), 0);
  }
}

// A random permutation of 0..length-1 that is computed index by index: nothing is stored, nothing is shuffled.
// Swap-or-not (Hoang, Morris & Rogaway 2012): a round pairs x with key - x and exchanges the two when a coin, which both
// agree on, says so. It works on any length exactly, so any place of an epoch is reached in constant time.
import { fail, RandomStream } from "../base/index.ts";

const numRounds = 64;

/**
 * One permutation per (seed, name, epoch).
 *
 * ```ts run
 * const order = new Permutation(1000, { seed: 7, name: "rows", epoch: 3 });
 * order.at(0); // some row, and no other place has it
 * ```
 */
export class Permutation {
  readonly length: number;
  private readonly keys: Float64Array;
  private readonly coins: Uint32Array;

  /** `length` from 1 to 2^32. Errors with `data/length`. */
  constructor(length: number, key: { readonly seed: number; readonly name: string; readonly epoch?: number }) {
    if (!Number.isInteger(length) || length < 1 || length > 2 ** 32) {
      fail("data/length", "cannot permute this many items", { expected: "1 to 2^32", got: String(length) });
    }
    this.length = length;
    this.keys = new Float64Array(numRounds);
    this.coins = new Uint32Array(numRounds);
    const stream = new RandomStream(key.seed, `permutation/${key.name}`);
    const epoch = key.epoch ?? 0;
    for (let round = 0; round < numRounds; round++) {
      this.keys[round] = stream.below(length, 2 * round, epoch);
      this.coins[round] = stream.word(4 * round + 2, epoch);
    }
  }

  /** The item at place `index`. */
  at(index: number): number {
    const { length, keys, coins } = this;
    let x = index;
    for (let round = 0; round < numRounds; round++) {
      let partner = keys[round] - x;
      if (partner < 0) partner += length;
      if (mix(Math.max(x, partner) ^ coins[round]) & 1) x = partner;
    }
    return x;
  }

  /** The items at places [start, start + count), all of them round by round: several times faster than one by one. */
  range(start: number, count: number): number[] {
    const { length, keys, coins } = this;
    if (length > 2 ** 30) return Array.from({ length: count }, (_, i) => this.at(start + i));
    const items = new Int32Array(count);
    for (let i = 0; i < count; i++) items[i] = start + i;
    for (let round = 0; round < numRounds; round++) {
      const key = keys[round]! | 0;
      const coin = coins[round]! | 0;
      for (let i = 0; i < count; i++) {
        // without a branch: nobody foretells a coin
        const x = items[i]!;
        const difference = (key - x) | 0;
        const partner = (difference + (length & (difference >> 31))) | 0;
        const behind = (x - partner) | 0;
        const larger = (x - (behind & (behind >> 31))) | 0;
        items[i] = x ^ ((x ^ partner) & (0 - (mix(larger ^ coin) & 1)));
      }
    }
    return Array.from(items);
  }
}

/** The finalizer of MurmurHash3 (Appleby, public domain): every output bit depends on every input bit. */
function mix(word: number): number {
  let h = word | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

// The counter-based generator: Philox 4x32 with 10 rounds (Salmon et al. 2011, "Parallel random numbers: as easy
// as 1, 2, 3"). A draw depends on (seed, stream name, step, row, element) and on nothing else: there is no state to
// save, no order of calls, and no split of rows over lanes or processes that could change a mask.
// native/kernels/random.cc computes the same words.
import { fail } from "./error.ts";

/** Four 32-bit words from one counter block and one key. Writes into `out` (length 4). */
export function philox(
  out: Uint32Array,
  c0: number,
  c1: number,
  c2: number,
  c3: number,
  k0: number,
  k1: number,
): Uint32Array {
  for (let round = 0; round < 10; round++) {
    const high0 = multiplyHigh(0xd2511f53, c0);
    const low0 = Math.imul(0xd2511f53, c0);
    const high1 = multiplyHigh(0xcd9e8d57, c2);
    const low1 = Math.imul(0xcd9e8d57, c2);
    c0 = high1 ^ c1 ^ k0;
    c1 = low1;
    c2 = high0 ^ c3 ^ k1;
    c3 = low0;
    k0 = (k0 + 0x9e3779b9) | 0;
    k1 = (k1 + 0xbb67ae85) | 0;
  }
  out[0] = c0;
  out[1] = c1;
  out[2] = c2;
  out[3] = c3;
  return out;
}

/** The upper 32 bits of the 64-bit product of two unsigned words. */
function multiplyHigh(a: number, b: number): number {
  const aLow = a & 0xffff;
  const aHigh = a >>> 16;
  const bLow = b & 0xffff;
  const bHigh = b >>> 16;
  const low = aLow * bLow;
  const middle = aHigh * bLow + (low >>> 16);
  const cross = aLow * bHigh + (middle & 0xffff);
  // every partial sum stays below 2^53, and the result below 2^32
  return (aHigh * bHigh + Math.floor(middle / 0x10000) + Math.floor(cross / 0x10000)) | 0;
}

/** 32-bit FNV-1a of a stream's name. */
export function hashName(name: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < name.length; i++) {
    hash ^= name.charCodeAt(i);
    hash = Math.imul(hash, 0x01000193);
  }
  return hash >>> 0;
}

/** A uniform number in [0, 1) from a 32-bit word: 24 bits, so that f32 holds it exactly. */
export function wordToUniform(word: number): number {
  return (word >>> 8) * 2 ** -24;
}

/**
 * Draws for host code (initialization, shuffles, sampling). `at(element)` is a pure function of its arguments.
 * Counter words are (element / 4, row, step, stream hash), key words the two halves of the seed.
 */
export class RandomStream {
  readonly seed: number;
  readonly stream: number;
  private readonly block = new Uint32Array(4);
  private cachedBlock = -1;
  private cachedRow = -1;
  private cachedStep = -1;

  /** Errors with `config/seed` when the seed is not a safe integer: its bits would be cut off silently. */
  constructor(seed: number, name: string) {
    if (!Number.isSafeInteger(seed)) {
      fail("config/seed", "the seed is not a whole number", {
        expected: "an integer from -(2^53 - 1) to 2^53 - 1",
        got: String(seed),
        fix: "give a whole number, such as 1",
      });
    }
    this.seed = seed;
    this.stream = hashName(name);
  }

  /** The 32-bit word number `element` of `row` at `step`. */
  word(element: number, row = 0, step = 0): number {
    const index = Math.floor(element / 4);
    if (index !== this.cachedBlock || row !== this.cachedRow || step !== this.cachedStep) {
      philox(this.block, index | 0, row | 0, step | 0, this.stream, this.seed | 0, Math.floor(this.seed / 2 ** 32) | 0);
      this.cachedBlock = index;
      this.cachedRow = row;
      this.cachedStep = step;
    }
    return this.block[element % 4]!;
  }

  /** Uniform in [0, 1). */
  uniform(element: number, row = 0, step = 0): number {
    return wordToUniform(this.word(element, row, step));
  }

  /** Standard normal by Box & Muller 1958, from the words 2n and 2n+1 of element n. */
  normal(element: number, row = 0, step = 0): number {
    const u = 1 - this.uniform(2 * element, row, step); // (0, 1]: the logarithm is finite
    const v = this.uniform(2 * element + 1, row, step);
    return Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
  }

  /** An integer in [0, bound), bound at most 2^32, without modulo bias worth the name (64-bit multiply-shift). */
  below(bound: number, element: number, row = 0, step = 0): number {
    const high = this.word(2 * element, row, step);
    const low = this.word(2 * element + 1, row, step);
    return Math.floor(((high * 2 ** 21 + (low >>> 11)) / 2 ** 53) * bound);
  }
}

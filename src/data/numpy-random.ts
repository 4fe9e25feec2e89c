// The numbers of `numpy.random.seed(n)`: so that a port of a NumPy program starts where the original does. Nothing in Athanor draws
// from it; its own randomness has addresses (base/rng.ts).

import { fail } from "../base/index.ts";

const [size, middle] = [624, 397];

/**
 * NumPy's `RandomState`: the Mersenne Twister (Matsumoto & Nishimura 1998, MT19937), doubles of 53 bits, normals by Marsaglia's polar
 * method.
 *
 * @example
 * ```ts run
 * import { NumpyRandom } from "athanor";
 * console.log(new NumpyRandom(0).randn(2)); // [1.764052345967664, 0.4001572083672233]
 * ```
 */
export class NumpyRandom {
  private readonly state = new Uint32Array(size);
  private at = size;
  /** The second of a pair of normals, not handed out yet. */
  private spare: number | undefined;

  /** `seed` is a whole number from 0 and below 2³², as `numpy.random.seed` takes it. Errors with `data/seed`. */
  constructor(seed: number) {
    if (!(Number.isInteger(seed) && seed >= 0 && seed < 2 ** 32))
      fail("data/seed", "NumPy has no such seed", {
        where: `NumpyRandom(${seed})`,
        expected: "a whole number, 0 or more and below 2^32",
        got: String(seed),
        fix: "give the seed of the original program",
      });
    this.state[0] = seed;
    for (let i = 1; i < size; i++) {
      const last = this.state[i - 1]!;
      this.state[i] = Math.imul(1812433253, last ^ (last >>> 30)) + i;
    }
  }

  /** `count` numbers, uniform in [0, 1). */
  rand(count: number): number[] {
    return Array.from({ length: count }, () => this.uniform());
  }

  /** `count` numbers, standard normal. */
  randn(count: number): number[] {
    return Array.from({ length: count }, () => this.normal());
  }

  private uniform(): number {
    const [high, low] = [this.word() >>> 5, this.word() >>> 6];
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  private normal(): number {
    const { spare } = this;
    this.spare = undefined;
    if (spare !== undefined) return spare;
    for (;;) {
      const [x, y] = [2 * this.uniform() - 1, 2 * this.uniform() - 1];
      const square = x * x + y * y;
      if (square >= 1 || square === 0) continue;
      const factor = Math.sqrt((-2 * Math.log(square)) / square);
      this.spare = factor * x;
      return factor * y;
    }
  }

  private word(): number {
    if (this.at === size) this.twist();
    let y = this.state[this.at++]!;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  private twist(): void {
    const { state } = this;
    for (let i = 0; i < size; i++) {
      const y = (state[i]! & 0x80000000) | (state[(i + 1) % size]! & 0x7fffffff);
      state[i] = state[(i + middle) % size]! ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    this.at = 0;
  }
}

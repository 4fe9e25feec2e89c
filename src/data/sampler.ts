// Which row is drawn as sample number n. Pure functions of (seed, n): no state, no order of calls, and nothing that depends
// on batch size, lanes or processes.
import { RandomStream } from "../base/index.ts";
import { Permutation } from "./permutation.ts";

/** `random`: any row at any time, as language models draw windows. `shuffled`: each row once an epoch. `sequential`: in order. */
export const sampleOrders = ["random", "shuffled", "sequential"] as const;
export type SampleOrder = (typeof sampleOrders)[number];

/** A sequence of row positions without end. */
export interface Sampler {
  /** The row position (0 to length - 1) of global sample `id`, an integer from 0 to 2^53. */
  at(id: number): number;
  /** Those of `count` samples from `first` on. */
  range(first: number, count: number): number[];
}

const sampler = (at: Sampler["at"]): Sampler => ({
  at,
  range: (first, count) => Array.from({ length: count }, (_, i) => at(first + i)),
});

/** A sampler over `length` rows. */
export function makeSampler(order: SampleOrder, length: number, seed: number): Sampler {
  if (order === "sequential") return sampler((id) => id % length);
  if (order === "random") {
    const stream = new RandomStream(seed, "data/random");
    return sampler((id) => stream.below(length, 0, id % 2 ** 32, Math.floor(id / 2 ** 32)));
  }
  let [permutation, cachedEpoch] = [undefined as Permutation | undefined, -1];
  const ofEpoch = (epoch: number): Permutation => {
    if (permutation === undefined || epoch !== cachedEpoch) {
      permutation = new Permutation(length, { seed, name: "data/shuffled", epoch });
      cachedEpoch = epoch;
    }
    return permutation;
  };
  return {
    at: (id) => ofEpoch(Math.floor(id / length)).at(id % length),
    range(first, count) {
      const rows: number[] = [];
      while (rows.length < count) {
        const id = first + rows.length;
        const inEpoch = Math.min(count - rows.length, length - (id % length));
        rows.push(...ofEpoch(Math.floor(id / length)).range(id % length, inEpoch));
      }
      return rows;
    },
  };
}

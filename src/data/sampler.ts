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
}

/** A sampler over `length` rows. */
export function makeSampler(order: SampleOrder, length: number, seed: number): Sampler {
  if (order === "sequential") return { at: (id) => id % length };
  if (order === "random") {
    const stream = new RandomStream(seed, "data/random");
    return { at: (id) => stream.below(length, 0, id % 2 ** 32, Math.floor(id / 2 ** 32)) };
  }
  let [permutation, cachedEpoch] = [undefined as Permutation | undefined, -1];
  return {
    at(id) {
      const epoch = Math.floor(id / length);
      if (permutation === undefined || epoch !== cachedEpoch) {
        permutation = new Permutation(length, { seed, name: "data/shuffled", epoch });
        cachedEpoch = epoch;
      }
      return permutation.at(id % length);
    },
  };
}

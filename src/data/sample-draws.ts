// Random numbers of one sample: what is hidden of a window, or where it is cut, follows from the seed and the sample's number alone.
import { RandomStream } from "../base/index.ts";

export interface SampleDraws {
  /** In [0, 1), by its number. */
  uniform(at: number): number;
  /** A whole number below `bound`, by its number. */
  below(bound: number, at: number): number;
}

/** The draws of a sample under a name. */
export function sampleDraws(seed: number, name: string, sample: number): SampleDraws {
  const stream = new RandomStream(seed, name);
  const [row, step] = [sample % 2 ** 32, Math.floor(sample / 2 ** 32)];
  return {
    uniform: (at) => stream.uniform(at, row, step),
    below: (bound, at) => stream.below(bound, at, row, step),
  };
}

// The one clock: everything that changes over a run is a function of it. Counted in updates done, rows and items seen.

import type { Clock } from "../base/index.ts";

/** The clock after one more step. `samplesPerEpoch` is the number of rows of one pass. */
export function advance(clock: Clock, rows: number, itemsPerRow: number, samplesPerEpoch: number): Clock {
  const samples = clock.samples + rows;
  return {
    step: clock.step + 1,
    samples,
    tokens: clock.tokens + rows * itemsPerRow,
    epoch: samplesPerEpoch > 0 ? samples / samplesPerEpoch : 0,
  };
}

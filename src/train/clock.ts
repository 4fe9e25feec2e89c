// The one clock: everything that changes over a run is a function of it. Counted in updates done, rows and items seen.

export interface Clock {
  /** Optimizer updates done. */
  readonly step: number;
  /** Rows seen in training. */
  readonly samples: number;
  /** Tokens seen (rows, for models without tokens). */
  readonly tokens: number;
  /** Passes over the training data, fractional. */
  readonly epoch: number;
}

export const clockStart: Clock = { step: 0, samples: 0, tokens: 0, epoch: 0 };

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

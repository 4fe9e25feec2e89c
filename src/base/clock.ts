// How far a run has come, and the units it is counted in. What changes over a run is a function of this.

/** How far a run has come, before the step that is about to be made. */
export interface Clock {
  /** Optimizer updates made. */
  readonly step: number;
  /** Rows seen in training. */
  readonly samples: number;
  /** Tokens seen (rows, for models without tokens). */
  readonly tokens: number;
  /** Passes over the training data, with fractions. */
  readonly epoch: number;
}

/** Before the first step. */
export const clockStart: Clock = { step: 0, samples: 0, tokens: 0, epoch: 0 };

export const clockUnits = ["steps", "samples", "tokens", "epochs"] as const;
export type ClockUnit = (typeof clockUnits)[number];

const fieldOf = { steps: "step", samples: "samples", tokens: "tokens", epochs: "epoch" } as const;

/** The clock read in one unit. */
export function positionOf(clock: Clock, unit: ClockUnit): number {
  return clock[fieldOf[unit]];
}

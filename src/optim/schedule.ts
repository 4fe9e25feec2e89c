// Schedules: pure functions of the clock, in f64 on the host. They are fed to a step as a scalar and never recompile it.
// Nothing here reads a device, a loss, or the time of day.
import { fail } from "../base/index.ts";

/** How far a run has come, before the step that is about to be made. */
export interface Clock {
  /** Optimizer updates made. */
  readonly step: number;
  readonly samples: number;
  readonly tokens: number;
  /** Passes over the data, with fractions. */
  readonly epoch: number;
}

export const clockUnits = ["steps", "samples", "tokens", "epochs"] as const;
export type ClockUnit = (typeof clockUnits)[number];

/** A number that depends on the clock: a learning rate, a dropout rate, a coefficient. */
export interface Schedule {
  /** What positions are counted in. */
  readonly unit: ClockUnit;
  at(clock: Clock): number;
  /** One line for people, with the positions at which something changes. */
  describe(): string;
  /** True when the schedule is meant to be 0 at its first position: a warm-up from nothing. */
  readonly startsAtZero: boolean;
  /** Where the schedule is meant to reach 0 for good, in its unit. */
  readonly endsAtZero: number | undefined;
}

const fieldOf = { steps: "step", samples: "samples", tokens: "tokens", epochs: "epoch" } as const;

/** The clock read in one unit. */
export function positionOf(clock: Clock, unit: ClockUnit): number {
  return clock[fieldOf[unit]];
}

/** How fast the samples, tokens and epochs of a run pass. */
export interface ClockRates {
  readonly samplesPerStep: number;
  readonly tokensPerStep: number;
  readonly samplesPerEpoch: number;
}

/** The clock of a run whose batch has one size throughout. */
export function clockAt(step: number, rates: ClockRates): Clock {
  const samples = step * rates.samplesPerStep;
  return { step, samples, tokens: step * rates.tokensPerStep, epoch: samples / rates.samplesPerEpoch };
}

/** The same value always. */
export function constantSchedule(value: number): Schedule {
  return { unit: "steps", at: () => value, describe: () => `${value}`, startsAtZero: false, endsAtZero: undefined };
}

export interface DecayOptions {
  /** The largest value, where the decay begins. */
  readonly peak: number;
  /** Where the decay ends. */
  readonly total: number;
  /** The value from `total` on; default 0. */
  readonly floor?: number;
  /** Where the decay begins; default 0. */
  readonly start?: number;
  /** Of `total` and `start`; default steps. */
  readonly unit?: ClockUnit;
}

function decay(name: string, options: DecayOptions, shape: (progress: number) => number): Schedule {
  const { peak, total, floor = 0, start = 0, unit = "steps" } = options;
  if (!(start >= 0 && total > start)) {
    fail("optim/schedule", "a decay must end after it begins", {
      where: name,
      expected: `0 ≤ start < total`,
      got: `start ${start}, total ${total}`,
    });
  }
  return {
    unit,
    at: (clock) => {
      const progress = Math.min(1, Math.max(0, (positionOf(clock, unit) - start) / (total - start)));
      return progress === 1 ? floor : floor + (peak - floor) * shape(progress);
    },
    describe: () => `${name} from ${peak} to ${floor}, ${unit} ${start} to ${total}`,
    startsAtZero: false,
    endsAtZero: floor === 0 ? total : undefined,
  };
}

/** Half a cosine from `peak` to `floor` (Loshchilov & Hutter 2017, equation 5, without restarts). */
export function cosineSchedule(options: DecayOptions): Schedule {
  return decay("cosine", options, (progress) => (1 + Math.cos(Math.PI * progress)) / 2);
}

/** A straight line from `peak` to `floor`. */
export function linearSchedule(options: DecayOptions): Schedule {
  return decay("linear", options, (progress) => 1 - progress);
}

/**
 * A straight line from 0 to the value that `then` has at `length`, then `then`, which counts from the run's beginning.
 * The first step of all has rate 0; position `length` has the full rate.
 */
export function warmUp(length: number, then: Schedule): Schedule {
  if (length === 0) return then;
  const { unit } = then;
  const end = then.at({ step: length, samples: length, tokens: length, epoch: length });
  return {
    unit,
    at: (clock) => {
      const position = positionOf(clock, unit);
      return position < length ? (end * position) / length : then.at(clock);
    },
    describe: () => `warm-up over ${length} ${unit}, then ${then.describe()}`,
    startsAtZero: true,
    endsAtZero: then.endsAtZero,
  };
}

/** One schedule after the other: `schedules[i]` holds up to `boundaries[i]`. All count from the run's beginning. */
export function joinSchedules(
  schedules: readonly Schedule[],
  boundaries: readonly number[],
  unit: ClockUnit,
): Schedule {
  const ordered = boundaries.every((boundary, at) => boundary > (boundaries[at - 1] ?? 0));
  if (schedules.length !== boundaries.length + 1 || !ordered) {
    fail("optim/schedule", "joined schedules need rising boundaries between them", {
      expected: `${schedules.length - 1} positions, each greater than the one before`,
      got: boundaries.join(", "),
    });
  }
  return {
    unit,
    at: (clock) => {
      const position = positionOf(clock, unit);
      const index = boundaries.findIndex((boundary) => position < boundary);
      return schedules[index < 0 ? boundaries.length : index]!.at(clock);
    },
    describe: () =>
      schedules
        .map((one, at) => (at === 0 ? one.describe() : `from ${boundaries[at - 1]} ${unit} ${one.describe()}`))
        .join("; "),
    startsAtZero: schedules[0]!.startsAtZero,
    endsAtZero: schedules.at(-1)!.endsAtZero,
  };
}

/**
 * Evaluates a learning-rate schedule at every step of a run before the run begins. Errors with `optim/learning-rate` at the
 * first value that is negative or not finite, and at a 0 that is neither the declared start of a warm-up nor, at the last
 * step, the declared end of a decay.
 */
export function validateSchedule(schedule: Schedule, totalSteps: number, rates?: ClockRates): void {
  const needed = rates ?? { samplesPerStep: 1, tokensPerStep: 1, samplesPerEpoch: 1 };
  if (schedule.unit !== "steps" && rates === undefined)
    fail("optim/schedule", `a schedule in ${schedule.unit} needs to know how fast they pass`, {
      where: schedule.describe(),
    });
  for (let step = 0; step < totalSteps; step++) {
    const clock = clockAt(step, needed);
    const value = schedule.at(clock);
    if (value > 0 && Number.isFinite(value)) continue;
    const position = positionOf(clock, schedule.unit);
    const ended = schedule.endsAtZero !== undefined && position >= schedule.endsAtZero;
    if (value === 0 && ((step === 0 && schedule.startsAtZero) || (step === totalSteps - 1 && ended))) continue;
    fail(
      "optim/learning-rate",
      value === 0 ? "the learning rate becomes 0" : "the learning rate is not a positive number",
      {
        where: `lr (${schedule.describe()})`,
        expected: "a positive number at every step; 0 only where a warm-up starts or a decay ends",
        got: `${value} at step ${step} of ${totalSteps}`,
        fix: ended ? "make total as long as the run, or give a floor" : "change the numbers, or give a floor",
      },
    );
  }
}

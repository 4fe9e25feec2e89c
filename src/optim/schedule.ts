// Schedules and their algebra: pure functions of the clock and of the evaluations made, in f64 on the host. They are fed to a
// step as a scalar and never recompile it. Nothing here reads a device or the time of day; the shapes are in schedule-shapes.ts.
import { type Clock, type ClockUnit, fail, positionOf } from "../base/index.ts";

/** A held-out loss and the step it was measured at; null when it was not finite. */
export interface EvaluatedLoss {
  readonly step: number;
  readonly loss: number | null;
}

/** A position at which a schedule changes its course, in the schedule's unit. */
export interface Boundary {
  readonly position: number;
  readonly what: string;
  /** True where the rate is meant to be 0: a warm-up from nothing. */
  readonly isZero?: boolean;
}

/** A number that depends on the clock: a learning rate, a dropout rate, a coefficient. */
export interface Schedule {
  /** What positions are counted in. */
  readonly unit: ClockUnit;
  /** `evaluations` are those made so far, in their order: what a plateau is seen from. */
  at(clock: Clock, evaluations?: readonly EvaluatedLoss[]): number;
  /** True for a schedule that only evaluations move. */
  readonly needsEvaluations?: boolean;
  /** One line for people, with the positions at which something changes. */
  describe(): string;
  /** True when the schedule is meant to be 0 at its first position: a warm-up from nothing. */
  readonly startsAtZero: boolean;
  /** Where the schedule is meant to reach 0 for good, in its unit. */
  readonly endsAtZero: number | undefined;
  /** Where it changes its course, rising, perhaps without end; left out, nowhere. */
  readonly boundaries?: (() => Iterable<Boundary>) | undefined;
}

/** The same value always. */
export function constantSchedule(value: number): Schedule {
  return { unit: "steps", at: () => value, describe: () => `${value}`, startsAtZero: false, endsAtZero: undefined };
}

/** The clock as it stands when one unit has come to `position`, as far as a schedule in that unit reads it. */
const clockIn = (position: number): Clock => ({
  step: position,
  samples: position,
  tokens: position,
  epoch: position,
});

const boundariesOf = (schedule: Schedule): Iterable<Boundary> => schedule.boundaries?.() ?? [];

/**
 * A straight line from 0 to the value that `then` has at `length`, then `then`, which counts from the run's beginning.
 * The first step of all has rate 0; position `length` has the full rate.
 */
export function warmUp(length: number, then: Schedule): Schedule {
  if (length === 0) return then;
  const { unit } = then;
  const end = then.at(clockIn(length));
  return {
    ...then,
    at: (clock, evaluations) => {
      const position = positionOf(clock, unit);
      return position < length ? (end * position) / length : then.at(clock, evaluations);
    },
    describe: () => `warm-up over ${length} ${unit}, then ${then.describe()}`,
    startsAtZero: true,
    *boundaries() {
      yield { position: 0, what: "warm-up begins", isZero: true };
      yield { position: length, what: "warm-up ends" };
      for (const boundary of boundariesOf(then)) if (boundary.position > length) yield boundary;
    },
  };
}

/** The same schedule counted from position `start` on; before it, its first value. */
export function startAt(start: number, schedule: Schedule): Schedule {
  if (start === 0) return schedule;
  const { unit, endsAtZero } = schedule;
  return {
    ...schedule,
    at: (clock, evaluations) => schedule.at(clockIn(Math.max(0, positionOf(clock, unit) - start)), evaluations),
    describe: () => `counted from ${start} ${unit}: ${schedule.describe()}`,
    endsAtZero: endsAtZero === undefined ? undefined : endsAtZero + start,
    *boundaries() {
      for (const { position, ...rest } of boundariesOf(schedule)) yield { ...rest, position: position + start };
    },
  };
}

/** A schedule times a positive number. */
export function scaleSchedule(by: number, schedule: Schedule): Schedule {
  return {
    ...schedule,
    at: (clock, evaluations) => by * schedule.at(clock, evaluations),
    describe: () => `${by} × (${schedule.describe()})`,
  };
}

/** A schedule kept between two bounds, either of which may be left out. */
export function clampSchedule(bounds: { readonly min?: number; readonly max?: number }, schedule: Schedule): Schedule {
  const { min = Number.NEGATIVE_INFINITY, max = Number.POSITIVE_INFINITY } = bounds;
  if (!(min <= max))
    fail("optim/schedule", "a clamp's bounds are the wrong way round", {
      expected: "min ≤ max",
      got: `min ${min}, max ${max}`,
    });
  return {
    ...schedule,
    at: (clock, evaluations) => Math.min(max, Math.max(min, schedule.at(clock, evaluations))),
    describe: () => `${schedule.describe()}, within ${min} and ${max}`,
  };
}

/**
 * One schedule after the other: `schedules[i]` holds up to `boundaries[i]`. All count from the run's beginning; what those in
 * another unit do within their part is no boundary of the whole.
 */
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
    needsEvaluations: schedules.some(({ needsEvaluations }) => needsEvaluations === true),
    at: (clock, evaluations) => {
      const position = positionOf(clock, unit);
      const index = boundaries.findIndex((boundary) => position < boundary);
      return schedules[index < 0 ? boundaries.length : index]!.at(clock, evaluations);
    },
    describe: () =>
      schedules
        .map((one, at) => (at === 0 ? one.describe() : `from ${boundaries[at - 1]} ${unit} ${one.describe()}`))
        .join("; "),
    startsAtZero: schedules[0]!.startsAtZero,
    endsAtZero: schedules.at(-1)!.endsAtZero,
    *boundaries() {
      for (const [index, part] of schedules.entries()) {
        const [from, to] = [boundaries[index - 1] ?? 0, boundaries[index] ?? Number.POSITIVE_INFINITY];
        if (index > 0) yield { position: from, what: `part ${index + 1} begins` };
        for (const boundary of part.unit === unit ? boundariesOf(part) : []) {
          if (boundary.position >= to) break;
          if (boundary.position >= from) yield boundary;
        }
      }
    },
  };
}

/**
 * Evaluates a learning-rate schedule at every step of a run before the run begins. Errors with `optim/learning-rate` at the
 * first value that is negative or not finite, and at a 0 that is neither the declared start of a warm-up nor, at the last
 * step, the declared end of a decay. `onClock` gives the clock before a step. Of a schedule that evaluations move, only its course without any is known.
 */
export function validateSchedule(schedule: Schedule, totalSteps: number, onClock?: (step: number) => Clock): void {
  if (schedule.unit !== "steps" && onClock === undefined)
    fail("optim/schedule", `a schedule in ${schedule.unit} needs to know how fast they pass`, {
      where: schedule.describe(),
    });
  for (let step = 0; step < totalSteps; step++) {
    const clock = onClock?.(step) ?? clockIn(step);
    const value = schedule.at(clock);
    if (value > 0 && Number.isFinite(value)) continue;
    const position = positionOf(clock, schedule.unit);
    const ended = schedule.endsAtZero !== undefined && position >= schedule.endsAtZero;
    const starts = (step === 0 && schedule.startsAtZero) || isZeroAt(schedule, position);
    if (value === 0 && (starts || (step === totalSteps - 1 && ended))) continue;
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

function isZeroAt(schedule: Schedule, position: number): boolean {
  for (const boundary of boundariesOf(schedule)) {
    if (boundary.position > position) break;
    if (boundary.position === position && boundary.isZero) return true;
  }
  return false;
}

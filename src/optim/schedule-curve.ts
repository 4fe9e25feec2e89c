// A quantity's whole course over a run as a table, before any step: what is drawn and what is read by programs. Draws nothing.
import { type Clock, type ClockUnit, type Course, positionOf, valueAt } from "../base/index.ts";
import type { Boundary, Schedule } from "./schedule.ts";

/** A quantity of one step, and what has been seen before it. */
export interface CurvePoint {
  readonly step: number;
  readonly samples: number;
  readonly tokens: number;
  readonly value: number;
}

/** A boundary on the run's clock: the first step at or past its position. Null where the run ends before it. */
export interface CurveBoundary extends Boundary {
  readonly unit: ClockUnit;
  readonly point: CurvePoint | null;
}

export interface ScheduleCurve {
  /** Of what: `learning rate`, `model.mlp.dropout`. */
  readonly name: string;
  /** In words. */
  readonly schedule: string;
  readonly unit: ClockUnit;
  /** True where evaluations move it: the curve is then its course without any. */
  readonly needsEvaluations: boolean;
  /** Up to the first that the run does not reach, at most `mostBoundaries`. */
  readonly boundaries: readonly CurveBoundary[];
  /** Evenly spaced steps from first to last, and the steps on both sides of each boundary. */
  readonly points: readonly CurvePoint[];
}

export const mostBoundaries = 1000;

/** What can be drawn: a learning rate, the rows of a batch, a setting that changes. */
export interface Quantity extends Pick<Schedule, "unit" | "needsEvaluations" | "boundaries" | "describe"> {
  readonly name: string;
  at(clock: Clock): number;
}

/** A setting that changes over a run. */
export function quantityOf(name: string, course: Course): Quantity {
  const { linear, cosine, piecewise } = course;
  const at = (clock: Clock) => valueAt(course, clock);
  if (piecewise !== undefined) {
    const { values, boundaries, unit } = piecewise;
    const describe = () =>
      values.map((value, piece) => (piece === 0 ? value : `${value} from ${boundaries[piece - 1]} ${unit}`)).join(", ");
    return {
      name,
      unit,
      at,
      describe,
      boundaries: () => boundaries.map((position, one) => ({ position, what: `${values[one + 1]}` })),
    };
  }
  const { from, to, start, end, unit } = (linear ?? cosine)!;
  return {
    name,
    unit,
    at,
    describe: () => `${from} to ${to} as a ${linear === undefined ? "cosine" : "line"}, ${unit} ${start} to ${end}`,
    boundaries: () => [
      { position: start, what: "begins to change" },
      { position: end, what: "has changed" },
    ],
  };
}

/** The course of `schedule` over `steps` steps, at `evenly` evenly spaced ones and around the boundaries. */
export function scheduleCurve(
  schedule: Quantity,
  steps: number,
  clockAt: (step: number) => Clock,
  evenly = 121,
): ScheduleCurve {
  const pointAt = (step: number): CurvePoint => {
    const clock = clockAt(step);
    return { step, samples: clock.samples, tokens: clock.tokens, value: schedule.at(clock) };
  };
  const { unit } = schedule;
  const boundaries: CurveBoundary[] = [];
  for (const boundary of schedule.boundaries?.() ?? []) {
    const step = stepAt(boundary.position, unit, steps, clockAt);
    boundaries.push({ ...boundary, unit, point: step === undefined ? null : pointAt(step) });
    if (step === undefined || boundaries.length === mostBoundaries) break;
  }
  const last = Math.max(0, steps - 1);
  const even = Array.from({ length: evenly }, (_, at) => Math.round((at * last) / (evenly - 1)));
  const around = boundaries.flatMap(({ point }) => (point === null ? [] : [point.step - 1, point.step]));
  const shown = new Set([...even, ...around].filter((step) => step >= 0 && step <= last));
  return {
    name: schedule.name,
    schedule: schedule.describe(),
    unit,
    needsEvaluations: schedule.needsEvaluations ?? false,
    boundaries,
    points: [...shown].sort((a, b) => a - b).map(pointAt),
  };
}

/** The first of the steps 0 … `steps` at which `position` is reached. */
function stepAt(
  position: number,
  unit: ClockUnit,
  steps: number,
  clockAt: (step: number) => Clock,
): number | undefined {
  let [low, high] = [0, steps];
  if (positionOf(clockAt(high), unit) < position) return undefined;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (positionOf(clockAt(middle), unit) < position) low = middle + 1;
    else high = middle;
  }
  return low;
}

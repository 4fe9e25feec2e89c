// The shapes that schedules have: closed forms of a position, each with its source. How they are put together is in schedule.ts.
import { type ClockUnit, fail, positionOf } from "../base/index.ts";
import type { Boundary, Schedule } from "./schedule.ts";

/** Where a shape begins and what it counts. */
export interface Placed {
  /** The position that the shape counts from; before it, its first value. Default 0. */
  readonly start?: number;
  /** Of all positions and lengths; default steps. */
  readonly unit?: ClockUnit;
}

/** A schedule by a function of the position, and its boundaries, both counted from `start`. */
function shaped(
  description: string,
  { start = 0, unit = "steps" }: Placed,
  at: (position: number) => number,
  boundaries: () => Iterable<Boundary> = () => [],
): Schedule {
  return {
    unit,
    at: (clock) => at(Math.max(0, positionOf(clock, unit) - start)),
    describe: () => (start === 0 ? description : `${description}, from ${start} ${unit} on`),
    startsAtZero: false,
    endsAtZero: undefined,
    *boundaries() {
      for (const { position, what } of boundaries()) yield { position: start + position, what };
    },
  };
}

/** The same change at `every`, 2·`every`, …, without end. */
function* again(every: number, what: (times: number) => string): Iterable<Boundary> {
  for (let times = 1; ; times++) yield { position: times * every, what: what(times) };
}

export interface DecayOptions extends Placed {
  /** The largest value, where the decay begins. */
  readonly peak: number;
  /** Where the decay ends. */
  readonly total: number;
  /** The value from `total` on; default 0. */
  readonly floor?: number;
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
    ...shaped(name, { start, unit }, (position) => {
      const progress = Math.min(1, position / (total - start));
      return progress === 1 ? floor : floor + (peak - floor) * shape(progress);
    }),
    describe: () => `${name} from ${peak} to ${floor}, ${unit} ${start} to ${total}`,
    endsAtZero: floor === 0 ? total : undefined,
    boundaries: () => [{ position: total, what: "decay ends" }],
  };
}

/** Half a cosine wave from 1 to 0. */
const halfCosine = (progress: number): number => (1 + Math.cos(Math.PI * progress)) / 2;

/** Half a cosine from `peak` to `floor` (Loshchilov & Hutter 2017, equation 5, without restarts). */
export function cosineSchedule(options: DecayOptions): Schedule {
  return decay("cosine", options, halfCosine);
}

/** A straight line from `peak` to `floor`. */
export function linearSchedule(options: DecayOptions): Schedule {
  return decay("linear", options, (progress) => 1 - progress);
}

/** `floor + (peak − floor) · (1 − progress)^power` (Liu et al. 2015, ParseNet; power 1 is a line). */
export function polynomialSchedule(options: DecayOptions & { readonly power: number }): Schedule {
  return decay(`polynomial of power ${options.power}`, options, (progress) => (1 - progress) ** options.power);
}

/** Forms of the fall that ends a run. `sqrt` is 1 − √progress, steep at first (Hägele et al. 2024, equation 1). */
export const decayShapes = { linear: (p: number) => 1 - p, cosine: halfCosine, sqrt: (p: number) => 1 - Math.sqrt(p) };

/**
 * Warm-up, stable, decay without its warm-up: `peak` up to `total − decay`, then down to `floor` (Hu et al. 2024, MiniCPM). A run
 * can go on from its stable part without having known how long it will be.
 */
export function stableDecaySchedule(
  options: DecayOptions & { readonly decay: number; readonly shape?: keyof typeof decayShapes },
): Schedule {
  const { peak, total, decay: length, shape = "linear", start = 0, unit = "steps" } = options;
  const begin = Math.max(start, total - length);
  const fall = decay(shape, { ...options, start: begin }, decayShapes[shape]);
  return {
    ...fall,
    describe: () => `${peak}, over the last ${length} ${unit} ${fall.describe()}`,
    boundaries: () => [{ position: begin, what: "decay begins" }, ...fall.boundaries!()],
  };
}

export interface RepeatedOptions extends Placed {
  readonly peak: number;
  /** Length after which the change has been made once, and is made again. */
  readonly every: number;
  /** The value it never falls below; left out, none. */
  readonly floor?: number;
  /** Change at `every`, 2·`every`, … alone; default all the time. */
  readonly staircase?: boolean;
}

function repeated(name: string, options: RepeatedOptions, value: (times: number) => number): Schedule {
  const { peak, every, floor = Number.NEGATIVE_INFINITY, staircase = false, unit = "steps" } = options;
  const text = `${name} ${staircase ? "at once " : ""}every ${every} ${unit}, from ${peak}`;
  const rate = (position: number) => {
    const times = position / every;
    return Math.max(floor, value(staircase ? Math.floor(times) : times));
  };
  return shaped(text, options, rate, () => (staircase ? again(every, () => name) : []));
}

/** `peak · factor^(t / every)`; as a staircase `peak · factor^⌊t / every⌋`, step decay. A factor above 1 rises. */
export function exponentialSchedule(options: RepeatedOptions & { readonly factor: number }): Schedule {
  const { peak, factor } = options;
  return repeated(`× ${factor}`, options, (times) => peak * factor ** times);
}

/** `peak − amount · ⌊t / every⌋`, not below `floor`. Without a floor it may sink below 0, which `validateSchedule` refuses. */
export function subtractSchedule(options: Omit<RepeatedOptions, "staircase"> & { readonly amount: number }): Schedule {
  const { peak, amount } = options;
  return repeated(`− ${amount}`, { ...options, staircase: true }, (times) => peak - amount * times);
}

/** `peak / (1 + rate · t / every)` (Robbins & Monro 1951, in Keras' InverseTimeDecay's terms). */
export function inverseTimeSchedule(options: RepeatedOptions & { readonly rate: number }): Schedule {
  const { peak, rate } = options;
  return repeated(`÷ (1 + ${rate} t)`, options, (times) => peak / (1 + rate * times));
}

/** `peak · √(timescale / (timescale + t))`; after a warm-up of length `timescale` this is peak·√(w / t) (Vaswani et al. 2017). */
export function inverseSqrtSchedule(options: Placed & { readonly peak: number; readonly timescale: number }): Schedule {
  const { peak, timescale } = options;
  return shaped(
    `${peak} × √(${timescale} / (${timescale} + t))`,
    options,
    (position) => peak * Math.sqrt(timescale / (timescale + position)),
  );
}

export interface RestartsOptions extends Placed {
  readonly peak: number;
  /** Length of the first period. */
  readonly period: number;
  /** Each period is so many times as long as the one before; at least 1, the default. */
  readonly growth?: number;
  /** Each peak is so many times the one before; default 1. */
  readonly peakFactor?: number;
  /** The value that each period ends at; default 0, which it comes near and restarts. */
  readonly floor?: number;
}

/** Cosines that start again, with growing periods (Loshchilov & Hutter 2017, SGDR; `peakFactor` as Keras' m_mul). */
export function cosineRestartsSchedule(options: RestartsOptions): Schedule {
  const { peak, period, growth = 1, peakFactor = 1, floor = 0, unit = "steps" } = options;
  const text = `cosine from ${peak} to ${floor} again and again, the first over ${period} ${unit}`;
  const rate = (position: number) => {
    let cycle = growth === 1 ? Math.floor(position / period) : 0;
    let [begin, length] = [cycle * period, period];
    for (; position >= begin + length; cycle++) [begin, length] = [begin + length, length * growth];
    const top = peak * peakFactor ** cycle;
    return floor + (top - floor) * halfCosine((position - begin) / length);
  };
  function* restarts() {
    let [position, length] = [period, period];
    for (let cycle = 1; ; cycle++) {
      yield { position: growth === 1 ? cycle * period : position, what: `restart ${cycle}` };
      [position, length] = [position + length * growth, length * growth];
    }
  }
  return shaped(growth === 1 ? text : `${text}, each ${growth} times as long`, options, rate, restarts);
}

export interface OneCycleOptions extends DecayOptions {
  /** The first value; default peak / 25. */
  readonly from?: number;
  /** Share of the whole in which it rises; default 0.3. */
  readonly rise?: number;
  readonly shape?: "linear" | "cosine";
}

/**
 * Up from `from` to `peak` and down to `floor`, default `from` / 10,000 (Smith & Topin 2018). PyTorch counts to its last step:
 * its `total_steps` T is `total` T − 1 here, its `pct_start` p a `rise` of (p·T − 1) / (T − 1).
 */
export function oneCycleSchedule(options: OneCycleOptions): Schedule {
  const { peak, from = peak / 25, floor = from / 1e4, rise = 0.3, shape = "cosine", start = 0, total } = options;
  const top = start + rise * (total - start);
  const up = decay(shape, { ...options, peak: from, floor: peak, total: top }, decayShapes[shape]);
  const down = decay(shape, { ...options, start: top, floor }, decayShapes[shape]);
  return {
    ...down,
    at: (clock) => (positionOf(clock, down.unit) < top ? up : down).at(clock),
    describe: () => `one cycle: ${up.describe()}, ${down.describe()}`,
    boundaries: () => [{ position: top, what: "peak" }, ...down.boundaries!()],
  };
}

/** What becomes of the height of a cycle: nothing, halved with each, or times `factor` with each position. */
export const cyclicModes = ["triangular", "triangular2", "exponential"] as const;

export interface CyclicOptions extends Placed {
  readonly floor: number;
  readonly peak: number;
  /** Length of the way up. */
  readonly rise: number;
  /** Length of the way down; default that of the way up. */
  readonly fall?: number;
  readonly mode?: (typeof cyclicModes)[number];
  /** Of the mode `exponential`. */
  readonly factor?: number;
}

/** Straight up and down between `floor` and `peak` (Smith 2017). */
export function cyclicSchedule(options: CyclicOptions): Schedule {
  const { floor, peak, rise, fall = rise, mode = "triangular", factor = 1, unit = "steps" } = options;
  const text = `${mode} cycles from ${floor} to ${peak}, ${rise} ${unit} up and ${fall} down`;
  const rate = (position: number) => {
    const cycle = Math.floor(position / (rise + fall));
    const within = position - cycle * (rise + fall);
    const height = within <= rise ? within / rise : (rise + fall - within) / fall;
    const shrunk = { triangular: 1, triangular2: 0.5 ** cycle, exponential: factor ** position }[mode];
    return floor + (peak - floor) * height * shrunk;
  };
  function* turns() {
    for (let cycle = 0; ; cycle++) {
      if (cycle > 0) yield { position: cycle * (rise + fall), what: `cycle ${cycle + 1} begins` };
      yield { position: cycle * (rise + fall) + rise, what: `peak ${cycle + 1}` };
    }
  }
  return shaped(text, options, rate, turns);
}

export interface TableScheduleOptions extends Placed {
  /** Rising, the first at which the table begins. */
  readonly positions: readonly number[];
  readonly values: readonly number[];
  /** Between two positions: the earlier one's value (default), or the straight line to the next. */
  readonly between?: "hold" | "line";
}

/** Values given one by one; the first holds before the table and the last after it. */
export function tableSchedule(options: TableScheduleOptions): Schedule {
  const { positions, values, between = "hold", unit = "steps" } = options;
  const rising = positions.every((position, at) => at === 0 || position > positions[at - 1]!);
  if (positions.length === 0 || positions.length !== values.length || !rising) {
    fail("optim/schedule", "a table needs rising positions and a value for each", {
      where: "table",
      expected: `as many positions as values, each greater than the one before`,
      got: `${positions.length} positions, ${values.length} values`,
    });
  }
  const text = `table of ${values.length} values, ${unit} ${positions[0]} to ${positions.at(-1)}`;
  const rate = (position: number) => {
    const next = positions.findIndex((one) => position < one);
    if (next <= 0) return values.at(next)!; // before the table its first value, after it its last
    const [from, to, a, b] = [positions[next - 1]!, positions[next]!, values[next - 1]!, values[next]!];
    return between === "hold" ? a : a + ((b - a) * (position - from)) / (to - from);
  };
  return shaped(text, options, rate, () =>
    positions.map((position, at) => ({ position, what: `value ${at + 1} of ${values.length}` })),
  );
}

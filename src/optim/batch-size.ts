// How many rows each step has: one number, or a function of the samples, tokens, steps or epochs seen, or of the gradient's noise. Sizes
// are whole numbers of microbatches, so that no program is ever made anew. What a rate does with the size is its coupling.
import { z } from "zod";
import { type Clock, type ClockUnit, clockUnits, fail, oneOf, positionOf } from "../base/index.ts";
import { type GradientNoise, gradientNoise, type NormPair, scaleOf } from "./noise.ts";
import type { Boundary } from "./schedule.ts";

const rows = z.number().int().positive();
const length = z.number().positive();
const unit = z.enum(clockUnits).default("samples").describe("what lengths and positions are counted in");
const from = rows.describe("rows of the first step");

/** More are no schedule but a slip of the pen: each is a boundary that is kept. */
const mostChanges = 10_000;

const growth = z
  .strictObject({
    from,
    to: rows.describe("rows that it stops at"),
    factor: length.describe("the size times it, at every, 2·every, …; below 1 it falls"),
    every: length.describe("length after which the size has changed once, and changes again"),
    unit,
  })
  .check(({ value: { from, to, factor }, issues }) => {
    const changes = Math.log(to / from) / Math.log(factor);
    if (factor !== 1 && factor > 1 === to > from && changes <= mostChanges) return;
    const way = changes > mostChanges ? `${from} to ${to} in at most ${mostChanges} changes` : `${from} to ${to}`;
    const message = `must lead from ${way}, got ${factor}`;
    issues.push({ code: "custom", path: ["factor"], message, input: factor });
  });

const families = {
  staged: z
    .strictObject({
      sizes: z.array(rows).min(1).describe("rows in each stage"),
      boundaries: z.array(length).describe("where each next stage begins, rising"),
      unit,
    })
    .check(({ value: { sizes, boundaries }, issues }) => {
      const rising = boundaries.every((position, at) => position > (boundaries[at - 1] ?? 0));
      if (rising && boundaries.length === sizes.length - 1) return;
      const message = `expected ${sizes.length - 1} rising positions, one fewer than sizes, got [${boundaries.join(", ")}]`;
      issues.push({ code: "custom", path: ["boundaries"], message, input: boundaries });
    }),
  exponential: growth,
  ramp: z.strictObject({
    from,
    to: rows.describe("rows at the end of the way, which may be fewer"),
    over: length.describe("length of the straight way"),
    unit,
  }),
  adaptive: z
    .strictObject({
      from: rows.describe("rows of the first step, and the fewest"),
      to: rows.describe("the most rows"),
      every: length.describe("length from one decision to the next: at most twice or half as many rows"),
      smoothing: z.number().min(0).lt(1).default(0.95).describe("of the running means that decisions go by, per step"),
      unit,
    })
    .check(({ value: { from, to }, issues }) => {
      if (to <= from)
        issues.push({ code: "custom", path: ["to"], message: `must be above from (${from}), got ${to}`, input: to });
    }),
};

/** Rows of a step: a number or a schedule. */
export const batchSizeSchema = z.union([rows, oneOf(families)]);
export type BatchSizeConfig = z.output<typeof batchSizeSchema>;

/** What an adaptive size has measured and decided so far. Plain JSON, part of a run's state. */
export interface BatchState extends GradientNoise {
  readonly rows: number;
  /** Decisions that were due. */
  readonly decided: number;
}

/** What a step tells about the noise of its gradient: squared norms, over all of its rows and over its microbatches. */
export interface MeasuredStep {
  readonly norms: NormPair;
  readonly rows: number;
  readonly microbatch: number;
}

/** The sizes of a run's batches. */
export interface BatchSizes {
  /** All that a step may have, rising. */
  readonly sizes: readonly number[];
  readonly unit: ClockUnit;
  /** Rows of the step that begins at `clock`; `state` is what an adaptive size has come to. */
  at(clock: Clock, state?: BatchState): number;
  /** The state after a step that ended at `clock`. Only of adaptive sizes. */
  measure?(state: BatchState | undefined, step: MeasuredStep, clock: Clock): BatchState;
  /** One line for people. */
  describe(): string;
  /** Where the size changes, rising, perhaps without end. */
  boundaries(): Iterable<Boundary>;
}

export interface BatchSizeOptions {
  /** What every size is a multiple of. Default 1. */
  readonly multipleOf?: number;
  /** No size is above it: rows of data that is short. */
  readonly most?: number;
}

/** The sizes named in a configuration, in its order. */
export function namedSizes(config: BatchSizeConfig): number[] {
  if (typeof config === "number") return [config];
  const { staged, exponential, ramp, adaptive } = config;
  if (staged !== undefined) return staged.sizes;
  const { from, to } = (exponential ?? ramp ?? adaptive)!;
  return [from, to];
}

/** The sizes that a configuration describes. Errors with `config/microbatch` where one is no multiple of `multipleOf`. */
export function createBatchSizes(config: BatchSizeConfig, options: BatchSizeOptions = {}): BatchSizes {
  const { multipleOf: grain = 1, most = Number.POSITIVE_INFINITY } = options;
  const uneven = namedSizes(config).find((size) => size <= most && size % grain !== 0);
  if (uneven !== undefined) {
    fail("config/microbatch", "a batch is not made of whole microbatches", {
      where: "batch.size",
      expected: `multiples of ${grain}, which is batch.lanes × batch.microbatch`,
      got: String(uneven),
      fix: "choose another size, or a batch.microbatch that divides all of them",
    });
  }
  const cut = (size: number): number => Math.min(size, Math.floor(most / grain) * grain);
  const made = make(config, grain);
  return {
    ...made,
    sizes: [...new Set(made.sizes.map(cut))].sort((a, b) => a - b),
    at: (clock, state) => cut(made.at(clock, state)),
  };
}

function make(config: BatchSizeConfig, grain: number): BatchSizes {
  if (typeof config === "number")
    return {
      unit: "samples",
      sizes: [config],
      at: () => config,
      describe: () => `${config} rows`,
      boundaries: () => [],
    };
  const { staged, exponential, ramp, adaptive } = config;
  if (staged !== undefined) return stages(staged.sizes, staged.boundaries, staged.unit);
  if (exponential !== undefined) return grown(exponential, grain);
  return ramp === undefined ? adaptiveSizes(adaptive!, grain) : ramped(ramp, grain);
}

function stages(sizes: readonly number[], boundaries: readonly number[], unit: ClockUnit): BatchSizes {
  return {
    unit,
    sizes,
    at: (clock) => {
      const position = positionOf(clock, unit);
      const stage = boundaries.findIndex((boundary) => position < boundary);
      return sizes.at(stage)!; // −1 behind the last boundary
    },
    describe: () =>
      sizes.map((size, at) => (at === 0 ? `${size} rows` : `${size} from ${boundaries[at - 1]} ${unit}`)).join(", "),
    boundaries: () => boundaries.map((position, at) => ({ position, what: `${sizes[at + 1]} rows` })),
  };
}

/** from · factor^⌊t / every⌋ in whole grains, up to `to` (Smith et al. 2018: a growing batch does what a falling rate does). */
function grown({ from, to, factor, every, unit }: z.output<typeof growth>, grain: number): BatchSizes {
  const bound = factor > 1 ? Math.min : Math.max;
  const sizes = [from];
  while (sizes.at(-1) !== to) sizes.push(bound(to, Math.floor((from * factor ** sizes.length) / grain) * grain));
  const boundaries = sizes.slice(1).map((_, at) => (at + 1) * every);
  return {
    ...stages(sizes, boundaries, unit),
    describe: () => `${from} rows × ${factor} every ${every} ${unit}, to ${to}`,
  };
}

/** A straight line in whole grains; from `over` on, `to`. */
function ramped({ from, to, over, unit }: z.output<typeof families.ramp>, grain: number): BatchSizes {
  const [first, last] = [from, to].map((rows) => Math.floor(rows / grain)) as [number, number]; // ends beyond the data may be uneven
  const count = Math.abs(last - first);
  const sizes = Array.from({ length: count + 1 }, (_, at) => (first + Math.sign(last - first) * at) * grain);
  return {
    ...stages(sizes, [], unit),
    at: (clock) => sizes[Math.min(count, Math.floor((count * positionOf(clock, unit)) / over))]!,
    describe: () => `${from} rows to ${to} over ${over} ${unit}`,
    boundaries: () => sizes.slice(1).map((size, at) => ({ position: ((at + 1) * over) / count, what: `${size} rows` })),
  };
}

/** Towards the noise scale (McCandlish et al. 2018, section 3.2), from running means of |G|² and tr(Σ). */
function adaptiveSizes(config: z.output<typeof families.adaptive>, grain: number): BatchSizes {
  const { from, to, every, smoothing, unit } = config;
  const decide = (now: number, noise: GradientNoise): number => {
    const wanted = Math.min(2 * now, Math.max(now / 2, scaleOf(noise)));
    return Math.min(to, Math.max(from, Math.round(wanted / grain) * grain));
  };
  return {
    unit,
    sizes: Array.from({ length: (to - from) / grain + 1 }, (_, at) => from + at * grain),
    at: (_, state) => state?.rows ?? from,
    measure: (state, { norms, rows, microbatch }, clock) => {
      const fresh = gradientNoise(norms, { small: microbatch, large: rows });
      const mean = (key: keyof GradientNoise) =>
        state === undefined ? fresh[key] : smoothing * state[key] + (1 - smoothing) * fresh[key];
      const noise = { squaredNorm: mean("squaredNorm"), variance: mean("variance") };
      const decided = Math.floor(positionOf(clock, unit) / every);
      const isDue = decided > (state?.decided ?? 0);
      return { ...noise, decided, rows: isDue ? decide(state?.rows ?? from, noise) : (state?.rows ?? from) };
    },
    describe: () => `${from} to ${to} rows by the noise of the gradient, every ${every} ${unit}`,
    boundaries: () => [],
  };
}

/** What a learning rate is multiplied by when a batch has so many rows instead of the first step's. */
export const couplings = {
  none: () => 1,
  linear: (rows: number, first: number) => rows / first,
  sqrt: (rows: number, first: number) => Math.sqrt(rows / first),
};
export type Coupling = keyof typeof couplings;

/** The clock of a run before each of its steps; sizes that adapt stay at their first. Steps are counted through once. */
export function clockOf(
  { at, sizes }: BatchSizes,
  { itemsPerRow, samplesPerEpoch }: { readonly itemsPerRow: number; readonly samplesPerEpoch: number },
): (step: number) => Clock {
  const seen = [0];
  const clock = (step: number): Clock => {
    const samples = sizes.length === 1 ? step * sizes[0]! : seen[step]!;
    return { step, samples, tokens: samples * itemsPerRow, epoch: samplesPerEpoch > 0 ? samples / samplesPerEpoch : 0 };
  };
  return (step) => {
    if (sizes.length > 1) while (seen.length <= step) seen.push(seen.at(-1)! + at(clock(seen.length - 1)));
    return clock(step);
  };
}

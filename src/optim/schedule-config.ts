// Schedules as a recipe writes them: a number, or `{ cosine: { peak: 3e-4, warmup: 100 } }`. The functions are in schedule.ts and
// schedule-shapes.ts; a family here is its settings and the call that they become.
import { z } from "zod";
import { clockUnits, fail, oneOf, parseConfig } from "../base/index.ts";
import { plateauSchedule } from "./plateau.ts";
import {
  clampSchedule,
  constantSchedule,
  joinSchedules,
  type Schedule,
  scaleSchedule,
  startAt,
  warmUp,
} from "./schedule.ts";
import {
  cosineRestartsSchedule,
  cosineSchedule,
  cyclicModes,
  cyclicSchedule,
  exponentialSchedule,
  inverseSqrtSchedule,
  inverseTimeSchedule,
  linearSchedule,
  oneCycleSchedule,
  polynomialSchedule,
  stableDecaySchedule,
  subtractSchedule,
  tableSchedule,
} from "./schedule-shapes.ts";

const rate = z.number().positive();
const count = z.number().int();
const unit = z.enum(clockUnits).default("steps").describe("what lengths and positions are counted in");
const warmup = z
  .number()
  .nonnegative()
  .default(0)
  .describe("length of the straight rise from 0, before the rest begins");
const placed = { warmup, unit };
const peak = rate.describe("the largest rate");
const total = rate.optional().describe("where it ends, warm-up included; left out, the length of the run");
const end = z.number().nonnegative().default(0).describe("the rate at the end");
const floor = rate.optional().describe("the rate is never below it; left out, no floor");
const every = rate.describe("length after which the change has been made once, and is made again");
const staircase = z.boolean().default(false).describe("change at every, 2·every, … alone");
const growing = rate.min(1).default(1);
const positions = z.array(z.number().nonnegative());

interface Issues {
  readonly issues: z.core.$ZodRawIssue[];
}
const complain = ({ issues }: Issues, key: string, message: string, input: unknown) =>
  issues.push({ code: "custom", path: [key], message, input });

interface Span {
  readonly peak: number;
  readonly warmup: number;
  readonly total?: number | undefined;
  readonly floor?: number | undefined;
}
/** Of all decays: they end after the warm-up, and not above where they began. */
function checkSpan(context: Issues & { readonly value: Span }): void {
  const { peak, warmup, total, floor } = context.value;
  if (total !== undefined && total <= warmup)
    complain(context, "total", `must be greater than warmup (${warmup}), got ${total}`, total);
  if (floor !== undefined && floor > peak)
    complain(context, "floor", `must not be above peak (${peak}), got ${floor}`, floor);
}
const span = { peak, warmup, total, floor: end, unit };
const rising = (list: readonly number[]) => list.every((position, at) => at === 0 || position > list[at - 1]!);

/** What a family's call is given beside its settings. */
interface Place {
  /** Where the warm-up ends. */
  readonly start: number;
  /** Where a decay ends. Errors with `config/invalid` when nothing says so. */
  readonly total: number;
  /** Length of the whole in a unit, where it is known. */
  length(unit: string): number | undefined;
  /** A schedule inside this one. */
  inner(config: SimpleConfig, length: Place["length"]): Schedule;
}

interface Family<S extends z.ZodType = z.ZodType> {
  readonly schema: S;
  readonly make: (config: never, place: Place) => Schedule;
}
const family = <S extends z.ZodType>(schema: S, make: (config: z.output<S>, place: Place) => Schedule): Family<S> => ({
  schema,
  make,
});

const simple = {
  constant: family(z.strictObject({ value: rate.describe("the rate after the warm-up"), ...placed }), (config) => ({
    ...constantSchedule(config.value),
    unit: config.unit,
  })),
  cosine: family(z.strictObject(span).check(checkSpan), (config, { start, total }) =>
    cosineSchedule({ ...config, start, total }),
  ),
  linear: family(z.strictObject(span).check(checkSpan), (config, { start, total }) =>
    linearSchedule({ ...config, start, total }),
  ),
  polynomial: family(
    z.strictObject({ ...span, power: rate.default(1).describe("1 is a line") }).check(checkSpan),
    (config, { start, total }) => polynomialSchedule({ ...config, start, total }),
  ),
  stableDecay: family(
    z
      .strictObject({
        ...span,
        decay: rate.describe("length of the fall at the end"),
        shape: z.enum(["linear", "cosine", "sqrt"]).default("linear").describe("form of the fall"),
      })
      .check(checkSpan),
    (config, { start, total }) => stableDecaySchedule({ ...config, start, total }),
  ),
  oneCycle: family(
    z
      .strictObject({
        peak,
        total,
        from: rate.optional().describe("the first rate; left out, peak / 25"),
        floor: z.number().nonnegative().optional().describe("the last rate; left out, from / 10,000"),
        rise: z.number().gt(0).lt(1).default(0.3).describe("share of the whole in which it rises"),
        shape: z.enum(["linear", "cosine"]).default("cosine").describe("form of both ways"),
        unit,
      })
      .check(({ value, ...context }) => checkSpan({ ...context, value: { ...value, warmup: 0 } })),
    ({ from, floor, ...config }, { total }) =>
      oneCycleSchedule({ ...config, total, ...(from && { from }), ...(floor !== undefined && { floor }) }),
  ),
  exponential: family(
    z.strictObject({ peak, factor: rate.describe("above 1 it rises"), every, staircase, floor, ...placed }),
    ({ floor, ...config }, { start }) => exponentialSchedule({ ...config, start, ...(floor && { floor }) }),
  ),
  step: family(
    z.strictObject({ peak, factor: rate.describe("the rate times it, at every, 2·every, …"), every, floor, ...placed }),
    ({ floor, ...config }, { start }) =>
      exponentialSchedule({ ...config, start, staircase: true, ...(floor && { floor }) }),
  ),
  subtract: family(
    z.strictObject({ peak, amount: rate.describe("taken off at every, 2·every, …"), every, floor, ...placed }),
    ({ floor, ...config }, { start }) => subtractSchedule({ ...config, start, ...(floor && { floor }) }),
  ),
  inverseTime: family(
    z.strictObject({ peak, rate: rate.describe("peak / (1 + rate · t / every)"), every, staircase, ...placed }),
    (config, { start }) => inverseTimeSchedule({ ...config, start }),
  ),
  inverseSqrt: family(
    z
      .strictObject({
        peak,
        timescale: rate.optional().describe("length after which the rate is peak / √2; left out, the warm-up's"),
        ...placed,
      })
      .check(({ value, ...context }) => {
        if (value.timescale === undefined && value.warmup === 0)
          complain(context, "timescale", "missing; needed where there is no warmup", undefined);
      }),
    ({ timescale, warmup, ...config }, { start }) =>
      inverseSqrtSchedule({ ...config, start, timescale: timescale ?? warmup }),
  ),
  cosineRestarts: family(
    z
      .strictObject({
        peak,
        period: rate.describe("length of the first period"),
        growth: growing.describe("each period is so many times as long as the one before"),
        peakFactor: rate.default(1).describe("each peak is so many times the one before"),
        floor: end.describe("the rate that each period ends at"),
        ...placed,
      })
      .check(checkSpan),
    (config, { start }) => cosineRestartsSchedule({ ...config, start }),
  ),
  cyclic: family(
    z
      .strictObject({
        floor: rate.describe("the smallest rate, with which it begins"),
        peak,
        rise: rate.describe("length of the way up"),
        fall: rate.optional().describe("length of the way down; left out, that of the way up"),
        mode: z.enum(cyclicModes).default("triangular").describe("height of the cycles: equal, halved, times a factor"),
        factor: rate.max(1).default(1).describe("of exponential: the height times it, with each position"),
        ...placed,
      })
      .check(checkSpan),
    ({ fall, ...config }, { start }) => cyclicSchedule({ ...config, start, ...(fall && { fall }) }),
  ),
  plateau: family(
    z
      .strictObject({
        peak,
        factor: rate.lt(1).default(0.5).describe("the rate times it, where the held-out loss does not fall"),
        patience: count.positive().default(5).describe("evaluations in a row without an improvement"),
        threshold: z.number().min(0).lt(1).default(1e-4).describe("what counts as one, as a share of the best loss"),
        cooldown: count.nonnegative().default(0).describe("evaluations after a reduction that count for nothing"),
        floor: end.describe("the rate is never below it"),
        ...placed,
      })
      .check(checkSpan),
    (config) => ({ ...plateauSchedule(config), unit: config.unit }),
  ),
  piecewise: family(
    z
      .strictObject({
        values: z.array(rate).min(1).describe("one rate per piece"),
        boundaries: z.array(rate).describe("where each next piece begins, rising"),
        unit,
      })
      .check(({ value: { values, boundaries }, ...context }) => {
        if (rising(boundaries) && boundaries.length === values.length - 1) return;
        const message = `expected ${values.length - 1} rising positions, one fewer than values, got [${boundaries.join(", ")}]`;
        complain(context, "boundaries", message, boundaries);
      }),
    ({ values, boundaries, unit }) => joinSchedules(values.map(constantSchedule), boundaries, unit),
  ),
  table: family(
    z
      .strictObject({
        positions: positions.min(1).describe("rising; the first rate holds before, the last after them"),
        values: z.array(rate).min(1).describe("the rate at each"),
        between: z.enum(["hold", "line"]).default("hold").describe("between two: the earlier one's rate, or a line"),
        unit,
      })
      .check(({ value: { positions, values }, ...context }) => {
        if (rising(positions) && positions.length === values.length) return;
        const message = `expected ${values.length} rising positions, one per value, got [${positions.join(", ")}]`;
        complain(context, "positions", message, positions);
      }),
    (config) => tableSchedule(config),
  ),
};

const schemasOf = <F extends Record<string, Family>>(families: F) =>
  Object.fromEntries(Object.entries(families).map(([name, { schema }]) => [name, schema])) as {
    [K in keyof F]: F[K]["schema"];
  };
const simpleSchema = z.union([rate, oneOf(schemasOf(simple))]);
type SimpleConfig = z.output<typeof simpleSchema>;

const part = simpleSchema.describe("a number or a schedule, but none made of others");
const bound = rate.optional();

interface Settings {
  readonly warmup?: number | undefined;
  readonly total?: number | undefined;
  readonly unit?: string | undefined;
}
/** What stands under the one name that a configuration gives. */
const settingsOf = (config: SimpleConfig | ScheduleConfig): Settings => {
  const given: unknown = Object.values(config).find((one) => one !== undefined);
  return (given ?? {}) as Settings;
};

const families = {
  ...simple,
  join: family(
    z
      .strictObject({
        parts: z.array(part).min(1).describe("numbers or schedules, each counted from where it begins"),
        boundaries: z.array(rate).describe("where each next part begins, rising"),
        unit,
      })
      .check(({ value: { parts, boundaries }, ...context }) => {
        if (rising(boundaries) && boundaries.length === parts.length - 1) return;
        const message = `expected ${parts.length - 1} rising positions, one fewer than parts, got [${boundaries.join(", ")}]`;
        complain(context, "boundaries", message, boundaries);
      })
      .check(({ value: { parts, unit }, ...context }) => {
        const other = parts.map((part) => settingsOf(part).unit ?? unit).find((one) => one !== unit);
        if (other !== undefined)
          complain(context, "unit", `a part counts ${other}, the boundaries ${unit}; expected one unit`, unit);
      }),
    ({ parts, boundaries, unit }, { length, inner }) => {
      const made = parts.map((part, at) => {
        const [from, to] = [boundaries[at - 1] ?? 0, boundaries[at] ?? length(unit)];
        return startAt(
          from,
          inner(part, () => (to === undefined ? undefined : to - from)),
        );
      });
      return joinSchedules(made, boundaries, unit);
    },
  ),
  scale: family(z.strictObject({ by: rate.describe("the factor"), of: part }), ({ by, of }, { inner, length }) =>
    scaleSchedule(by, inner(of, length)),
  ),
  clamp: family(
    z.strictObject({ min: bound.describe("never below"), max: bound.describe("never above"), of: part }),
    ({ min, max, of }, { inner, length }) =>
      clampSchedule({ ...(min && { min }), ...(max && { max }) }, inner(of, length)),
  ),
};

/** The names of all kinds of schedule. */
export const scheduleNames: readonly string[] = Object.keys(families);

/** A learning rate: a positive number or a schedule. */
export const scheduleSchema = z.union([rate, oneOf(schemasOf(families))]).meta({ id: "schedule" }); // once in a JSON Schema, not per optimizer

/** What a recipe may write for a learning rate. */
export type ScheduleInput = z.input<typeof scheduleSchema>;
/** The same with defaults filled in. */
export type ScheduleConfig = z.output<typeof scheduleSchema>;

/**
 * The schedule that a configuration describes. `steps` is the run's length, which a decay in steps takes as its `total` when it
 * names none. Errors with `config/invalid`.
 */
export function parseSchedule(value: unknown, options: { steps?: number | undefined; where?: string } = {}): Schedule {
  const { steps, where = "lr" } = options;
  return createSchedule(parseConfig(scheduleSchema, value, where), steps, where);
}

/** The same from a configuration that was parsed before. */
export function createSchedule(config: ScheduleConfig, steps?: number, where = "lr"): Schedule {
  return build(config, (unit) => (unit === "steps" ? steps : undefined), where);
}

function build(config: ScheduleConfig | SimpleConfig, length: Place["length"], where: string): Schedule {
  if (typeof config === "number") return constantSchedule(config);
  const [name, settings] = Object.entries(config).find(([, given]) => given !== undefined)!;
  const { warmup = 0, total, unit = "steps" } = settingsOf(config);
  const path = `${where}.${name}`;
  const place: Place = {
    start: warmup,
    get total() {
      return endOf(path, warmup, total ?? length(unit), unit);
    },
    length,
    inner: (part, partLength) => build(part, partLength, path),
  };
  return warmUp(warmup, families[name as keyof typeof families].make(settings as never, place));
}

/** Where a decay ends, which is after its warm-up. */
function endOf(path: string, warmup: number, total: number | undefined, unit: string): number {
  if (total === undefined) {
    return fail("config/invalid", "a decay needs an end", {
      where: `${path}.total`,
      expected: `a number of ${unit} greater than warmup (${warmup})`,
      got: "none",
      fix: unit === "steps" ? "give total, or the run's steps" : `give total, in ${unit}`,
    });
  }
  if (total > warmup) return total;
  const longer = `--set steps=${Math.floor(warmup) + 1} or more`;
  return fail("config/invalid", "the run is over before the warm-up is", {
    where: `${path}.warmup`,
    expected: `a warm-up shorter than the run, which has ${total} steps`,
    got: `${warmup} steps`,
    fix: total > 0 ? `--set ${path}.warmup=${Math.floor(total / 10)}, or ${longer}` : longer,
  });
}

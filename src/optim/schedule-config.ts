// Schedules as a recipe writes them: a number, or `{ cosine: { peak: 3e-4, warmup: 100 } }`. The functions are in schedule.ts.
import { z } from "zod";
import { fail, oneOf, parseConfig } from "../base/index.ts";
import {
  clockUnits,
  constantSchedule,
  cosineSchedule,
  joinSchedules,
  linearSchedule,
  type Schedule,
  warmUp,
} from "./schedule.ts";

const rate = z.number().positive();
const unit = z.enum(clockUnits).default("steps").describe("what warmup, total and boundaries are counted in");
const warmup = z.number().nonnegative().default(0).describe("length of the straight rise from 0");

const decaySchema = z
  .strictObject({
    peak: rate.describe("the largest rate"),
    warmup,
    total: rate.optional().describe("where the decay ends, warm-up included; left out, the length of the run"),
    floor: z.number().nonnegative().default(0).describe("the rate at the end"),
    unit,
  })
  .check(({ value: { peak, warmup, total, floor }, issues }) => {
    const complain = (key: string, message: string, input: unknown) =>
      issues.push({ code: "custom", path: [key], message, input });
    if (total !== undefined && total <= warmup)
      complain("total", `must be greater than warmup (${warmup}), got ${total}`, total);
    if (floor > peak) complain("floor", `must not be above peak (${peak}), got ${floor}`, floor);
  });

const piecewiseSchema = z
  .strictObject({
    values: z.array(rate).min(1).describe("one rate per piece"),
    boundaries: z.array(rate).describe("where each next piece begins, rising"),
    unit,
  })
  .check(({ value: { values, boundaries }, issues }) => {
    const rising = boundaries.every((boundary, at) => at === 0 || boundary > boundaries[at - 1]!);
    if (!rising || boundaries.length !== values.length - 1) {
      const message = `expected ${values.length - 1} rising positions, one fewer than values, got [${boundaries.join(", ")}]`;
      issues.push({ code: "custom", path: ["boundaries"], message, input: boundaries });
    }
  });

/** A learning rate: a positive number or a schedule. */
export const scheduleSchema = z.union([
  rate,
  oneOf({
    constant: z.strictObject({ value: rate.describe("the rate after the warm-up"), warmup, unit }),
    cosine: decaySchema,
    linear: decaySchema,
    piecewise: piecewiseSchema,
  }),
]);

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
  if (typeof config === "number") return constantSchedule(config);
  const { constant, cosine, linear, piecewise } = config;
  if (constant) return warmUp(constant.warmup, { ...constantSchedule(constant.value), unit: constant.unit });
  if (piecewise) return joinSchedules(piecewise.values.map(constantSchedule), piecewise.boundaries, piecewise.unit);
  const decay = cosine ?? linear!;
  const { peak, floor, warmup: start, unit } = decay;
  const total = decay.total ?? (unit === "steps" ? steps : undefined);
  const path = `${where}.${cosine ? "cosine" : "linear"}`;
  if (total === undefined) {
    return fail("config/invalid", "a decay needs an end", {
      where: `${path}.total`,
      expected: `a number of ${unit} greater than warmup (${start})`,
      got: "none",
      fix: unit === "steps" ? "give total, or the run's steps" : `give total, in ${unit}`,
    });
  }
  if (total <= start) {
    const longer = `--set steps=${Math.floor(start) + 1} or more`;
    return fail("config/invalid", "the run is over before the warm-up is", {
      where: `${path}.warmup`,
      expected: `a warm-up shorter than the run, which has ${total} steps`,
      got: `${start} steps`,
      fix: total > 0 ? `--set ${path}.warmup=${Math.floor(total / 10)}, or ${longer}` : longer,
    });
  }
  return warmUp(start, (cosine ? cosineSchedule : linearSchedule)({ peak, floor, start, total, unit }));
}

// Courses: settings that change over a run, such as a dropout rate that rises, as plain data and as functions of the clock. Learning
// rates have more shapes, and rules of their own: optim/schedule.ts.
import { z } from "zod";
import { type Clock, clockUnits, positionOf } from "./clock.ts";
import { oneOf } from "./schema.ts";

const position = z.number().nonnegative();
const unit = z.enum(clockUnits).default("samples").describe("what positions are counted in");

const way = z
  .strictObject({
    from: z.number().describe("the value up to start"),
    to: z.number().describe("the value from end on"),
    start: position.default(0).describe("where it begins to change"),
    end: position.describe("where it has come to the other value"),
    unit,
  })
  .check(({ value: { start, end }, issues }) => {
    if (end > start) return;
    issues.push({
      code: "custom",
      path: ["end"],
      message: `must be greater than start (${start}), got ${end}`,
      input: end,
    });
  });

/** A line or half a cosine from one value to another, or values that hold between boundaries. */
export const courseSchema = oneOf({
  linear: way,
  cosine: way,
  piecewise: z
    .strictObject({
      values: z.array(z.number()).min(1).describe("one value per piece"),
      boundaries: z.array(position).describe("where each next piece begins, rising"),
      unit,
    })
    .check(({ value: { values, boundaries }, issues }) => {
      const rising = boundaries.every((one, at) => one > (boundaries[at - 1] ?? 0));
      if (rising && boundaries.length === values.length - 1) return;
      const message = `expected ${values.length - 1} rising positions, one fewer than values, got [${boundaries.join(", ")}]`;
      issues.push({ code: "custom", path: ["boundaries"], message, input: boundaries });
    }),
}).meta({ id: "course" }); // once in a JSON Schema, not per setting
export type Course = z.output<typeof courseSchema>;

/** A number, or one that changes over a run. */
export type Varying = number | Course;

/** The schema of a setting that may be a course, all of whose values are such numbers. */
export function varyingSchema(number: z.ZodNumber) {
  return z.union([number, courseSchema]).check(({ value, issues }) => {
    for (const one of typeof value === "number" ? [] : valuesOf(value)) {
      const [issue] = number.safeParse(one).error?.issues ?? [];
      if (issue !== undefined)
        issues.push({ ...issue, message: issue.message, path: [], input: one } as (typeof issues)[number]);
    }
  });
}

/** The values between which a course moves. */
export function valuesOf(course: Varying): readonly number[] {
  if (typeof course === "number") return [course];
  const { linear, cosine, piecewise } = course;
  const { from, to } = linear ?? cosine ?? {};
  return piecewise?.values ?? [from!, to!];
}

/** The value at a clock. */
export function valueAt(course: Varying, clock: Clock): number {
  if (typeof course === "number") return course;
  const { linear, cosine, piecewise } = course;
  if (piecewise !== undefined) {
    const at = positionOf(clock, piecewise.unit);
    const piece = piecewise.boundaries.findIndex((boundary) => at < boundary);
    return piecewise.values.at(piece)!; // −1 behind the last boundary
  }
  const { from, to, start, end, unit } = (linear ?? cosine)!;
  const progress = Math.min(1, Math.max(0, (positionOf(clock, unit) - start) / (end - start)));
  if (progress === 1) return to;
  return from + (to - from) * (linear === undefined ? (1 - Math.cos(Math.PI * progress)) / 2 : progress);
}

// Courses against figures made with NumPy, and what is refused.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { z } from "zod";
import { assertClose } from "../../test/support/close.ts";
import { clockStart, clockUnits, parseConfig, valueAt, valuesOf, varyingSchema } from "./index.ts";

const { courses } = JSON.parse(readFileSync("test/golden/courses.json", "utf8")) as {
  courses: { [name: string]: { config: unknown; values: number[] } };
};
const rate = varyingSchema(z.number().min(0).lt(1));
const parsed = (value: unknown) => parseConfig(rate, value, "rate");

test.each(Object.entries(courses))("%s has NumPy's values at every step", (_, { config, values }) => {
  const course = parsed(config);
  const found = values.map((__, step) => valueAt(course, { ...clockStart, step }));
  assertClose(found, values, { absolute: 1e-15, what: "values" });
  for (const value of found) {
    expect(value).toBeGreaterThanOrEqual(Math.min(...valuesOf(course)));
    expect(value).toBeLessThanOrEqual(Math.max(...valuesOf(course)));
  }
});

test("a number is itself, and each unit is its own field of the clock", () => {
  const clock = { step: 1, samples: 2, tokens: 3, epoch: 4 };
  expect([valueAt(0.5, clock), valuesOf(0.5)]).toEqual([0.5, [0.5]]);
  const units = clockUnits.map((unit) => valueAt(parsed({ linear: { from: 0, to: 0.5, end: 5, unit } }), clock));
  assertClose(units, [0.1, 0.2, 0.3, 0.4], { absolute: 1e-15, what: "units" });
  expect(parsed({ linear: { from: 0, to: 0.5, end: 5 } })).toEqual({
    linear: { from: 0, to: 0.5, start: 0, end: 5, unit: "samples" },
  });
});

test.each<[unknown, RegExp]>([
  [1, /must be less than 1/],
  [{ linear: { from: 0, to: 1, end: 5 } }, /less than 1|<1/],
  [{ piecewise: { values: [0.1, -0.1], boundaries: [5] } }, />=0|at least 0/],
  [{ linear: { from: 0, to: 0.1, start: 5, end: 5 } }, /must be greater than start \(5\)/],
  [{ piecewise: { values: [0.1, 0.2], boundaries: [] } }, /expected 1 rising positions/],
  [{ cosin: { from: 0, to: 0.1, end: 5 } }, /did you mean cosine/],
])("%j is refused", (value, message) => {
  expect(() => parsed(value)).toThrow(message);
});

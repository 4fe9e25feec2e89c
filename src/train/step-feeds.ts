// What a program is fed in one run: of a batch the rows it sees, of courses their values. Runs nothing.
import {
  type Clock,
  type Course,
  fail,
  formatType,
  fromNumbers,
  type HostArray,
  sizeOf,
  valueAt,
} from "../base/index.ts";
import { courseOfFeed } from "../core/index.ts";
import type { Feeds, Program } from "../engine/index.ts";

/**
 * Feeds that the plan kept: one that nothing depends on (random numbers without dropout) is not asked for. Those of courses are
 * their values at the clock. Errors with `run/clock` without one.
 */
export function feedsOf(program: Program, feeds: Feeds, clock?: Clock): Feeds {
  const filled = program.plan.feeds.flatMap(({ name, dtype }) => {
    const course = courseOfFeed(name);
    if (course === undefined) return feeds[name] ? [[name, feeds[name]]] : [];
    return [[name, fromNumbers(dtype, [], [valueAt(course, clock ?? missingClock(course))])]];
  });
  return Object.fromEntries(filled);
}

function missingClock(course: Course): never {
  return fail("run/clock", "a setting changes over the run, and the step does not say how far it has come", {
    where: JSON.stringify(course),
    expected: "clock: { step, samples, tokens, epoch }",
    got: "none",
    fix: "give the step a clock, or the setting a number",
  });
}

/** Some rows of a feed, without a copy. Errors with `run/batch`. */
export function rowsOf(array: HostArray, start: number, rows: number): HostArray {
  const width = sizeOf(array.shape.slice(1));
  if (array.shape[0] === undefined || array.shape[0] < start + rows) {
    fail("run/batch", "a feed has fewer rows than the batch", {
      got: formatType(array.dtype, array.shape),
      expected: `at least ${start + rows} rows`,
    });
  }
  return {
    dtype: array.dtype,
    shape: [rows, ...array.shape.slice(1)],
    data: array.data.subarray(start * width, (start + rows) * width) as HostArray["data"],
  };
}

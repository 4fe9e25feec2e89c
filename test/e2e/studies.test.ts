// A study as its reader runs it: `node recipes/studies/momentum.mjs`. All of them: test/slow/studies.test.ts.
import { expect, test } from "vitest";
import { differenceOf, runStudy } from "../support/studies.ts";

test("momentum: a table for people, data for machines, and the lesson", async () => {
  const { stdout, rows } = await runStudy("momentum");
  expect(rows.map(({ name }) => name)).toEqual(["plain", "momentum 0.9", "Nesterov 0.9"]);
  expect(rows[0]!.values["excess loss"]).toHaveLength(5);
  expect(differenceOf(rows, "momentum 0.9").high).toBeLessThan(0);
  expect(differenceOf(rows, "Nesterov 0.9").high).toBeLessThan(0);
  const { mean, half } = rows[0]!.means["excess loss"]!;
  expect(stdout).toContain(`| plain        | ${mean.toPrecision(3)} ± ${half!.toPrecision(3)} |`);
});

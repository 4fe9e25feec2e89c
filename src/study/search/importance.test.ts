// Importance of settings against SciPy's figures (test/golden/tpe.py) and on trials whose worth is known, and the page.
import { describe, expect, test } from "vitest";
import golden from "../../../test/golden/tpe.json" with { type: "json" };
import { importances, kruskalWallis, ranksOf } from "./importance.ts";
import { randomSampler } from "./sampler.ts";
import { parseSpace } from "./space.ts";
import type { Trial } from "./trials.ts";

test.each(golden.ranks)("H of $groups.length groups, with ties, is SciPy's", ({ groups, h }) => {
  const values = groups.flat();
  const members = groups.flatMap((group, at) => group.map(() => at));
  expect(new Set(values).size).toBeLessThan(values.length + 1);
  expect(Math.abs(kruskalWallis(ranksOf(values), members) - h)).toBeLessThan(1e-10);
});

describe("importances", () => {
  const space = parseSpace({ rate: "log:1e-4..1.0", kind: "a,b,c", idle: "0.0..1.0" });
  const points = Array.from({ length: 60 }, (_, trial) => randomSampler(space, 2).suggest(trial, []));
  const trialsOf = (worth: (point: (typeof points)[number]) => number): Trial[] =>
    points.map((point, trial) => {
      const value = worth(point);
      return Number.isNaN(value)
        ? { trial, point, reports: [], failure: { code: "train/non-finite", message: "a NaN" } }
        : { trial, point, reports: [{ step: 5, value, seconds: 1 }] };
    });

  test("what decides alone has nearly all, what plays no part stays about within chance", () => {
    const found = importances(
      space,
      trialsOf(({ rate }) => Math.log(Number(rate))),
      "min",
    )!;
    const of = (name: string) => found.settings.find(({ key }) => key === name)!;
    expect([found.step, found.trials, found.settings[0]!.key]).toEqual([5, 60, "rate"]);
    expect(of("rate").share).toBeGreaterThan(0.9); // quarters of a straight line explain 15/16 of its variance
    expect(of("rate").share).toBeLessThan(0.95);
    for (const { chance } of found.settings) expect(chance).toBeLessThan(0.15);
    expect(of("idle").share).toBeLessThan(0.15);
    expect(of("kind").share).toBeLessThan(0.15);
  });

  test("trials that failed are the worst, and no outlier", () => {
    const diverges = ({ rate, kind }: (typeof points)[number]) =>
      Number(rate) > 0.1 ? Number.NaN : kind === "a" ? 0 : 1;
    const [first, second] = importances(space, trialsOf(diverges), "min")!.settings;
    expect(new Set([first!.key, second!.key])).toEqual(new Set(["rate", "kind"]));
    expect(second!.share).toBeGreaterThan(second!.chance);
  });

  test("trials under way that were not judged yet do not count", () => {
    const judged = trialsOf(({ rate }) => Math.log(Number(rate)));
    const running = points.slice(0, 40).map((point, at): Trial => ({ trial: 60 + at, point, reports: [], until: 5 }));
    expect(importances(space, [...judged, ...running], "min")).toEqual(importances(space, judged, "min"));
    expect(importances(space, [...judged.slice(0, 7), ...running], "min")).toBeUndefined();
  });

  test("are not told of a handful of trials", () => {
    expect(importances(space, trialsOf(() => 1).slice(0, 7), "min")).toBeUndefined();
    expect(importances(space, [], "min")).toBeUndefined();
  });
});

// Schedulers on invented trials whose worth is known: who goes on, how far, in which order, and that neither the order in
// which trials end nor a restart between any two events changes the course.
import { describe, expect, test } from "vitest";
import { population } from "./population.ts";
import { gridSampler, randomSampler } from "./sampler.ts";
import { asha, halving, rungsOf, type Scheduler, type SchedulerOptions } from "./scheduler.ts";
import { type Point, parseSpace } from "./space.ts";
import { tpeSampler } from "./tpe.ts";
import { leader, rankTrials, type Trial, type TrialEvent, withEvent } from "./trials.ts";

/** What a trial is worth after some steps; NaN for one that fails on its way there. */
type World = (trial: Trial, step: number) => number;

/** Runs a scheduler to its end; of the trials under way `pick` says which one ends next. */
function simulate(
  scheduler: Scheduler,
  world: World,
  parallel = 1,
  pick = (running: readonly number[]): number => running[0]!,
): { events: TrialEvent[]; trials: readonly Trial[] } {
  const events: TrialEvent[] = [];
  let trials: readonly Trial[] = [];
  const running: number[] = [];
  const tell = (event: TrialEvent) => {
    events.push(event);
    trials = withEvent(trials, event);
  };
  for (;;) {
    while (running.length < parallel) {
      const job = scheduler.next(trials);
      if (job === undefined) break;
      tell({ event: "start", ...job });
      running.push(job.trial);
    }
    if (running.length === 0) return { events, trials };
    const trial = pick(running);
    running.splice(running.indexOf(trial), 1);
    const step = trials[trial]!.until!;
    const value = world(trials[trial]!, step);
    if (Number.isNaN(value)) tell({ event: "fail", trial, code: "train/non-finite", message: "of the test" });
    else tell({ event: "report", trial, step, value, seconds: step });
  }
}

const startsOf = (events: readonly TrialEvent[]) =>
  events.flatMap((event) => (event.event === "start" ? [`${event.trial}→${event.until}`] : []));

const space = parseSpace({ x: Array.from({ length: 9 }, (_, at) => at) });
const options: SchedulerOptions = { sampler: gridSampler(space), count: 9, steps: 9, goal: "min", parallel: 1 };
const worth =
  (...order: readonly number[]): World =>
  ({ trial }) =>
    order.indexOf(trial);

test("rungs: the last is the whole, each earlier one eta times less, none below the least", () => {
  expect(rungsOf(81, 1, 3)).toEqual([1, 3, 9, 27, 81]);
  expect(rungsOf(1000, 111, 3)).toEqual([111, 333, 1000]);
  expect(rungsOf(1000, 112, 3)).toEqual([333, 1000]);
  expect(rungsOf(5, 1, 2)).toEqual([1, 3, 5]);
  expect(rungsOf(100, 200, 3)).toEqual([100]);
});

describe("halving", () => {
  const rungs = [1, 3, 9];

  test("takes a third of all to the second rung and a ninth to the last, each the best of its rung", () => {
    // the best at the first rung is not the best at the second
    const world: World = ({ trial }, step) => (step === 1 ? trial : -trial);
    expect(startsOf(simulate(halving(rungs, 3, options), world).events)).toEqual([
      ..."012345678".split("").map((trial) => `${trial}→1`),
      "0→3",
      "1→3",
      "2→3",
      "2→9",
    ]);
  });

  test("one that fails gives its place to the next best", () => {
    const world: World = ({ trial }, step) => (step === 3 && trial === 1 ? Number.NaN : trial);
    const { events, trials } = simulate(halving(rungs, 3, options), world);
    expect(startsOf(events).slice(9)).toEqual(["0→3", "1→3", "2→3", "3→3", "0→9"]);
    expect(leader(trials, "min")?.trial).toBe(0);
    expect(rankTrials(trials, "min").map(({ trial }) => trial)).toEqual([0, 2, 3, 4, 5, 6, 7, 8, 1]);
  });

  test("more is better where that is the goal, and the first of equals is the best", () => {
    const up = simulate(halving(rungs, 3, { ...options, goal: "max" }), ({ trial }) => trial);
    expect(startsOf(up.events).slice(9)).toEqual(["8→3", "7→3", "6→3", "8→9"]);
    const equal = simulate(halving(rungs, 3, options), () => 1);
    expect(startsOf(equal.events).slice(9)).toEqual(["0→3", "1→3", "2→3", "0→9"]);
  });

  test("where all fail it ends without a leader", () => {
    expect(leader(simulate(halving(rungs, 3, options), () => Number.NaN).trials, "min")).toBeUndefined();
  });

  test("with one rung every trial runs whole", () => {
    const { events } = simulate(halving([9], 3, options), worth());
    expect(startsOf(events)).toEqual("012345678".split("").map((trial) => `${trial}→9`));
  });
});

describe("asha", () => {
  test("promotes as soon as one of eta stands out, the highest rung first", () => {
    const { events } = simulate(asha([1, 3, 9], 3, options), worth(4, 0, 1, 2, 3, 5, 6, 7, 8));
    expect(startsOf(events)).toEqual("0→1 1→1 2→1 0→3 3→1 4→1 4→3 5→1 6→1 7→1 8→1 1→3 4→9".split(" "));
  });

  test("sends on who is among the best of every eta at that moment, but for the best one at the end", () => {
    const wide = { ...options, sampler: randomSampler(parseSpace({ x: "0.0..1.0" }), 4), count: 60, steps: 81 };
    const rungs = [1, 3, 9, 27, 81];
    const world: World = ({ point }) => Number(point.x);
    const { events, trials } = simulate(asha(rungs, 3, { ...wide, parallel: 4 }), world, 4);
    const promotions: boolean[] = [];
    let seen: readonly Trial[] = [];
    for (const event of events) {
      if (event.event === "start" && event.point === undefined) {
        const rung = rungs[rungs.indexOf(event.until) - 1]!;
        const here = seen.filter(({ reports }) => reports.some(({ step }) => step === rung));
        const better = here.filter((one) => world(one, 0) < world(seen[event.trial]!, 0)).length;
        promotions.push(better < Math.floor(here.length / 3));
      }
      seen = withEvent(seen, event);
    }
    expect(promotions.length).toBeGreaterThan(20);
    expect(promotions.slice(0, -2)).not.toContain(false);
    expect(leader(trials, "min")!.reports.at(-1)!.step).toBe(81);
  });

  test("few trials, too few to promote any, still end with a whole run of the best", () => {
    const { events } = simulate(asha([1, 3, 9], 3, { ...options, count: 2 }), worth(1, 0));
    expect(startsOf(events)).toEqual(["0→1", "1→1", "1→3", "1→9"]);
  });
});

describe("a population", () => {
  const mixed = parseSpace({ "optimizer.adamw.lr": "log:1e-4..1.0", "model.mlp.hidden": [[8], [16]] });
  const asked = {
    ...options,
    sampler: randomSampler(mixed, 3),
    count: 8,
    steps: 40,
    space: mixed,
    seed: 3,
    interval: 10,
  };
  const rate = (point: Point) => Number(point["optimizer.adamw.lr"]);
  const world: World = ({ point }) => Math.abs(Math.log(rate(point)) - Math.log(0.03));

  test("the last quarter gives its place to forks of the first, whose free settings move by a fifth or are drawn anew", () => {
    const { trials } = simulate(population(asked), world);
    const forks = trials.filter(({ parent }) => parent !== undefined);
    expect(forks.map(({ parent }) => parent!.step)).toEqual([10, 10, 20, 20, 30, 30]);
    let moved = 0;
    for (const { point, parent, replaces } of forks) {
      const there = trials.filter(({ reports }) => reports.some(({ step }) => step === parent!.step));
      const ranked = there.sort((a, b) => world(a, 0) - world(b, 0)).map(({ trial }) => trial);
      expect(ranked.slice(0, 2)).toContain(parent!.trial);
      expect(ranked.slice(-2)).toContain(replaces);
      expect(point["model.mlp.hidden"]).toEqual(trials[parent!.trial]!.point["model.mlp.hidden"]);
      const factor = rate(point) / rate(trials[parent!.trial]!.point);
      if (Math.abs(factor - 0.8) < 1e-3 || Math.abs(factor - 1.2) < 1e-3) moved++;
    }
    expect(moved).toBeGreaterThanOrEqual(forks.length / 2);
    const replaced = new Set(trials.map(({ replaces }) => replaces));
    const last = trials.filter(({ trial }) => !replaced.has(trial));
    expect(last.map(({ reports }) => reports.at(-1)!.step)).toEqual(Array(8).fill(40));
  });

  test("members that fail are replaced by forks, and when all have failed it ends", () => {
    const { trials } = simulate(population(asked), (trial, step) =>
      trial.trial === 1 && step === 20 ? Number.NaN : world(trial, step),
    );
    const [fork] = trials.filter(({ replaces }) => replaces === 1);
    expect(fork!.parent!.step).toBe(20);
    expect(simulate(population(asked), () => Number.NaN).trials).toHaveLength(8);
  });
});

describe("the course of a search", () => {
  const wide = parseSpace({ x: "0.0..1.0", "optimizer.adamw.lr": "log:1e-4..1.0" });
  const world: World = ({ point, trial }, step) =>
    trial % 7 === 3 ? Number.NaN : Math.abs(Number(point.x) - 0.3) + Number(point["optimizer.adamw.lr"]) / step;
  const make = {
    "tpe, whole runs": (parallel: number) =>
      halving([9], 3, { sampler: tpeSampler(wide, 2), count: 20, steps: 9, goal: "min", parallel }),
    "tpe, halving": (parallel: number) =>
      halving([1, 3, 9], 3, { sampler: tpeSampler(wide, 2), count: 20, steps: 9, goal: "min", parallel }),
    population: (parallel: number) =>
      population({
        ...{ sampler: randomSampler(wide, 2), count: 8, steps: 9, goal: "min", parallel },
        ...{ space: wide, seed: 2, interval: 3 },
      }),
  };

  test.each(Object.entries(make))("%s: does not depend on who is faster", (_, scheduler) => {
    const ends = [
      (running: readonly number[]) => running[0]!,
      (running: readonly number[]) => running.at(-1)!,
      (running: readonly number[]) => running[(running.length * 7919) % running.length]!,
    ].map((pick) => simulate(scheduler(3), world, 3, pick).trials);
    for (const trials of ends) expect(trials).toEqual(ends[0]);
  });

  test.each([
    ...Object.entries(make),
    ["asha", (parallel: number) => asha([1, 3, 9], 3, { ...options, parallel })] as const,
  ])("%s: cut off before any event it goes on with the same", (_, scheduler) => {
    const { events } = simulate(scheduler(1), world);
    let trials: readonly Trial[] = [];
    for (const event of events) {
      if (event.event === "start") expect({ event: "start", ...scheduler(1).next(trials) }).toEqual(event);
      trials = withEvent(trials, JSON.parse(JSON.stringify(event)));
    }
    expect(scheduler(1).next(trials)).toBeUndefined();
  });
});

// The Parzen estimator against Optuna's figures, and the search that it leads against Optuna's and against random draws on
// functions whose least value is known. The figures are made by test/golden/tpe.py.
import { describe, expect, test } from "vitest";
import golden from "../../../test/golden/tpe.json" with { type: "json" };
import { meanInterval } from "../student.ts";
import { type Observation, randomSampler, type Sampler } from "./sampler.ts";
import { type Domain, type Point, parseSpace, placeOf, type SettingValue, type Space } from "./space.ts";
import { ParzenEstimator, splitTrials, tpeSampler } from "./tpe.ts";

describe("densities are Optuna's", () => {
  test.each(golden.densities.map((entry) => [`${entry.name}, ${entry.observations.length} trials`, entry] as const))(
    "%s",
    (_, entry) => {
      const values = "values" in entry ? (entry.values as string[]) : undefined;
      const { low = 0, high = 0, log = false, whole = false } = entry as Partial<Extract<Domain, { kind: "range" }>>;
      const domain: Domain =
        values === undefined ? { kind: "range", low, high, log, whole } : { kind: "choice", values };
      const valueFor = (stored: number): SettingValue => values?.[stored] ?? stored;
      const places = entry.observations.map((stored) => placeOf(domain, valueFor(stored)));
      const estimator = new ParzenEstimator(domain, places);
      for (const [at, stored] of entry.at.entries())
        expect(Math.abs(estimator.logDensity(valueFor(stored)) - entry.logDensities[at]!)).toBeLessThan(1e-9);
    },
  );
});

test("draws follow the density: choices by their chance, numbers by the share that lies below a place", () => {
  const choice: Domain = { kind: "choice", values: ["a", "b", "c"] };
  const range: Domain = { kind: "range", low: 0, high: 1, log: false, whole: false };
  let state = 1;
  const uniform = () => {
    state = (state * 48271) % 2147483647; // Park & Miller 1988, so that the draws are not ours
    return state / 2147483647;
  };
  const count = 20_000;
  const ofChoices = new ParzenEstimator(choice, [1, 1, 0]);
  const drawn = Array.from({ length: count }, () => ofChoices.draw(uniform));
  for (const [at, value] of choice.values.entries()) {
    const share = drawn.filter((place) => place === at).length / count;
    expect(Math.abs(share - Math.exp(ofChoices.logDensity(value)))).toBeLessThan(4 * Math.sqrt(0.25 / count));
  }
  const ofNumbers = new ParzenEstimator(range, [0.2, 0.25, 0.9]);
  const places = Array.from({ length: count }, () => ofNumbers.draw(uniform));
  const density = Array.from({ length: 1000 }, (_, at) => Math.exp(ofNumbers.logDensity((at + 0.5) / 1000)) / 1000);
  for (const bound of [0.1, 0.3, 0.6, 0.95]) {
    const below = density.slice(0, bound * 1000).reduce((sum, one) => sum + one, 0);
    const share = places.filter((place) => place < bound).length / count;
    expect(Math.abs(share - below)).toBeLessThan(4 * Math.sqrt(0.25 / count));
  }
});

test("the good trials are the best tenth; those that got further come first, failures last", () => {
  const known: Observation[] = [
    { point: { x: 0 }, step: 10, cost: 0.1 },
    ...Array.from({ length: 9 }, (_, at) => ({ point: { x: at + 1 }, step: 30, cost: 1 - at / 10 })),
    { point: { x: 10 }, step: 90, cost: Number.NaN },
  ];
  expect(splitTrials(known).good.map(({ point }) => point.x)).toEqual([8, 9]); // two of eleven
  const many = Array.from({ length: 400 }, (_, at) => ({ point: { x: at }, step: 1, cost: -at }));
  expect(splitTrials(many).good).toHaveLength(25);
});

describe("a search by it", () => {
  const objectives: Record<string, [Space, (point: Point) => number]> = {
    branin: [
      parseSpace({ x: "-5.0..10.0", y: "0.0..15.0" }),
      ({ x, y }) =>
        (Number(y) - (5.1 / (4 * Math.PI ** 2)) * Number(x) ** 2 + (5 / Math.PI) * Number(x) - 6) ** 2 +
        10 * (1 - 1 / (8 * Math.PI)) * Math.cos(Number(x)) +
        10,
    ],
    mixed: [
      parseSpace({ rate: "log:1e-5..1.0", width: "log:8..1024", kind: ["a", "b", "c"] }),
      ({ rate, width, kind }) =>
        (Math.log10(Number(rate)) + 2) ** 2 +
        Math.log2(Number(width) / 128) ** 2 / 4 +
        { a: 1, b: 0, c: 2 }[String(kind) as "a"],
    ],
    sphere: [
      parseSpace(Object.fromEntries([0, 1, 2, 3, 4].map((at) => [`x${at}`, "-2.0..2.0"]))),
      (point) => Object.values(point).reduce<number>((sum, value) => sum + (Number(value) - 0.3) ** 2, 0),
    ],
  };
  const least: Record<string, number> = { branin: 0.397887, mixed: 0, sphere: 0 };

  function bestOf(sampler: Sampler, cost: (point: Point) => number, trials: number): number {
    const known: Observation[] = [];
    for (let trial = 0; trial < trials; trial++) {
      const point = sampler.suggest(trial, known);
      known.push({ point, step: 1, cost: cost(point) });
    }
    return Math.min(...known.map((one) => one.cost));
  }

  test.each(golden.searches.map((entry) => [entry.name, entry.trials, entry.best] as const))(
    "%s, %i trials: as near to the least value as Optuna's, nearer than random draws",
    (name, trials, theirs) => {
      const [space, cost] = objectives[name]!;
      // regrets are compared by their logarithm: they lie orders apart
      const regrets = (best: readonly number[]) => best.map((value) => Math.log(value - least[name]! + 1e-4));
      const seeds = theirs.map((_, seed) => seed);
      const ours = regrets(seeds.map((seed) => bestOf(tpeSampler(space, seed), cost, trials)));
      const random = regrets(seeds.map((seed) => bestOf(randomSampler(space, seed), cost, trials)));
      const differences = (others: readonly number[]) => meanInterval(ours.map((value, seed) => value - others[seed]!));
      const [toOptuna, toRandom] = [differences(regrets(theirs)), differences(random)];
      expect(toOptuna.mean - toOptuna.half!).toBeLessThan(0); // not worse than by chance
      expect(toRandom.mean + toRandom.half!).toBeLessThan(0);
    },
    60_000,
  );

  test("the same seed gives the same points, another seed others", () => {
    const [space, cost] = objectives.mixed!;
    const points = (seed: number) => {
      const known: Observation[] = [];
      for (let trial = 0; trial < 14; trial++) {
        const point = tpeSampler(space, seed).suggest(trial, known);
        known.push({ point, step: 1, cost: cost(point) });
      }
      return known.map(({ point }) => point);
    };
    expect(points(3)).toEqual(points(3));
    for (const at of [0, 12]) expect(points(4)[at]).not.toEqual(points(3)[at]);
  });
});

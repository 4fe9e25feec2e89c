// Samplers: which point of the space a trial takes. Each is a function of the seed, the trial's number and what is known by
// then; none keeps a state. The model-based one is in tpe.ts.
import { fail, RandomStream } from "../../base/index.ts";
import { combinations, type Domain, endsOf, type Point, type SettingValue, type Space, valueAt } from "./space.ts";

/** What a sampler may know of a trial: its point, and where it stands. Lower is better; NaN for one that failed. */
export interface Observation {
  readonly point: Point;
  readonly step: number;
  readonly cost: number;
}

export interface Sampler {
  /** How many different points there are, where that is all there is to try. */
  readonly size?: number;
  /** True where points do not depend on observations: all of them can be known before the first trial. */
  readonly isFixed: boolean;
  suggest(trial: number, known: readonly Observation[]): Point;
}

const mostPoints = 10_000;

/** Every combination of the values, in order. Ranges of whole numbers are taken whole. Errors with `config/over`. */
export function gridSampler(space: Space): Sampler {
  const values = new Map([...space].map(([key, domain]) => [key, valuesOf(key, domain)]));
  const size = [...values.values()].reduce((product, { length }) => product * length, 1);
  if (size > mostPoints)
    fail("config/over", "the grid has too many points", {
      where: [...values].map(([key, { length }]) => `${key}: ${length}`).join(", "),
      expected: `at most ${mostPoints}`,
      got: String(size),
      fix: "give fewer values, or --sampler random",
    });
  const points = [...combinations(values)];
  return { size, isFixed: true, suggest: (trial) => points[trial]! };
}

function valuesOf(key: string, domain: Domain): readonly SettingValue[] {
  if (domain.kind === "choice") return domain.values;
  const { low, high, whole, log } = domain;
  if (!whole || log || high - low >= mostPoints)
    fail("config/over", "a grid needs values, and a range has too many", {
      where: `over ${key}`,
      expected: "values such as 1e-4,1e-3,1e-2, or a short range of whole numbers",
      got: `${log ? "log:" : ""}${low}..${high}`,
      fix: "list the values, or choose --sampler random",
    });
  return Array.from({ length: high - low + 1 }, (_, at) => low + at);
}

/** Independent draws: even over choices, over ranges, or over the logarithm (Bergstra & Bengio 2012). */
export function randomSampler(space: Space, seed: number): Sampler {
  const stream = new RandomStream(seed, "search.random");
  const suggest = (trial: number) =>
    Object.fromEntries(
      [...space].map(([key, domain], at) => [key, drawEven(domain, stream.uniform(0, at, trial))] as const),
    );
  return { isFixed: true, suggest };
}

/** The value that a uniform number in [0, 1) falls on. */
export function drawEven(domain: Domain, uniform: number): SettingValue {
  if (domain.kind === "choice") return domain.values[Math.floor(uniform * domain.values.length)]!;
  const [low, high] = endsOf(domain);
  return valueAt(domain, low + uniform * (high - low));
}

// The tree-structured Parzen estimator (Bergstra, Bardenet, Bengio & Kégl 2011), each setting for itself: densities l of the
// good trials and g of the others are mixtures with one kernel a trial; of some draws from l the one with the largest l/g is
// taken. Numbers of good trials, kernel widths, weights and the prior's kernel are those of Optuna 5 (multivariate off).
import { RandomStream } from "../../base/index.ts";
import { erfScalar } from "../../core/index.ts";
import { type Observation, randomSampler, type Sampler } from "./sampler.ts";
import { type Domain, endsOf, placeOf, type SettingValue, type Space, valueAt } from "./space.ts";

/** Trials that are drawn at random before there is something to learn from. */
const startupTrials = 10;
const candidates = 24;

export function tpeSampler(space: Space, seed: number): Sampler {
  const stream = new RandomStream(seed, "search.tpe");
  const random = randomSampler(space, seed);
  return {
    isFixed: false,
    suggest: (trial, known) => {
      if (known.length < startupTrials) return random.suggest(trial, known);
      const { good, others } = splitTrials(known);
      const values = [...space].map(([key, domain], at): [string, SettingValue] => {
        let element = 0;
        const uniform = () => stream.uniform(element++, at, trial);
        const places = (trials: readonly Observation[]) => trials.map(({ point }) => placeOf(domain, point[key]!));
        return [key, suggestValue(domain, places(good), places(others), uniform)];
      });
      return Object.fromEntries(values);
    },
  };
}

/** The best tenth, at most 25; both parts in order of the trials. Trials that got further rank before those that did not. */
export function splitTrials(known: readonly Observation[]): { good: Observation[]; others: Observation[] } {
  const costOf = ({ cost }: Observation) => (Number.isNaN(cost) ? Number.POSITIVE_INFINITY : cost);
  const rank = (one: Observation) => (Number.isNaN(one.cost) ? -1 : one.step);
  const ranked = [...known].sort((a, b) => rank(b) - rank(a) || costOf(a) - costOf(b) || 0);
  const best = new Set(ranked.slice(0, Math.min(25, Math.ceil(0.1 * known.length))));
  return { good: known.filter((one) => best.has(one)), others: known.filter((one) => !best.has(one)) };
}

function suggestValue(
  domain: Domain,
  good: readonly number[],
  others: readonly number[],
  uniform: () => number,
): SettingValue {
  const [l, g] = [new ParzenEstimator(domain, good), new ParzenEstimator(domain, others)];
  const drawn = Array.from({ length: candidates }, () => valueAt(domain, l.draw(uniform)));
  const gains = drawn.map((value) => l.logDensity(value) - g.logDensity(value));
  return drawn[gains.indexOf(Math.max(...gains))]!;
}

/** A mixture over one setting: a kernel for each place that was tried, and the prior's, which spans the domain. */
export class ParzenEstimator {
  private readonly domain: Domain;
  private readonly ends: readonly [number, number];
  private readonly places: readonly number[];
  /** Of the kernels in order, the prior's last; they sum to 1. */
  private readonly weights: readonly number[];
  private readonly means: readonly number[];
  private readonly widths: readonly number[];
  /** How much of each kernel lies within the ends. */
  private readonly inside: readonly number[];

  /** `places` in order of the trials: of more than 25 the oldest count less. */
  constructor(domain: Domain, places: readonly number[]) {
    const [low, high] = endsOf(domain);
    this.domain = domain;
    this.ends = [low, high];
    this.places = places;
    const weights = [...ageWeights(places.length), 1];
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    this.weights = weights.map((weight) => weight / total);
    this.means = [...places, (low + high) / 2];
    this.widths = [...kernelWidths(places, low, high), high - low];
    this.inside = this.means.map((_, kernel) => this.kernelMass(kernel, low, high));
  }

  /** Log density of a value at its place; of whole numbers and choices the log probability. */
  logDensity(value: SettingValue): number {
    // the prior's kernel keeps the sum far from 0
    return Math.log(this.weights.reduce((sum, weight, kernel) => sum + weight * this.kernelDensity(kernel, value), 0));
  }

  /** A place, drawn from the mixture. `uniform` gives numbers in [0, 1), another at each call. */
  draw(uniform: () => number): number {
    const kernel = pick(this.weights, uniform());
    const { domain } = this;
    if (domain.kind === "choice")
      return pick(
        domain.values.map((_, choice) => this.choiceProbability(kernel, choice)),
        uniform(),
      );
    const [low, high] = this.ends;
    for (;;) {
      // Box & Muller 1958; a kernel's mean lies in the domain and its width is no more than that: at least a third is inside
      const normal = Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
      const place = this.means[kernel]! + this.widths[kernel]! * normal;
      if (place >= low && place <= high) return place;
    }
  }

  private kernelDensity(kernel: number, value: SettingValue): number {
    const { domain } = this;
    if (domain.kind === "choice") return this.choiceProbability(kernel, placeOf(domain, value));
    if (domain.whole) {
      const [from, to] = [-0.5, 0.5].map((half) => placeOf(domain, Number(value) + half)) as [number, number];
      return this.kernelMass(kernel, from, to) / this.inside[kernel]!;
    }
    const width = this.widths[kernel]!;
    const distance = (placeOf(domain, value) - this.means[kernel]!) / width;
    return Math.exp(-0.5 * distance ** 2) / (Math.sqrt(2 * Math.PI) * width * this.inside[kernel]!);
  }

  /** Chance of a place between two others under a kernel without ends, to about 1e-16. */
  private kernelMass(kernel: number, from: number, to: number): number {
    const [below, above] = [from, to].map((place) =>
      erfScalar(((place - this.means[kernel]!) / this.widths[kernel]!) * Math.SQRT1_2),
    ) as [number, number];
    return (above - below) / 2;
  }

  /** One count for the choice that was tried, and a count of 1 spread over all kernels and choices alike. */
  private choiceProbability(kernel: number, choice: number): number {
    const { domain, places } = this;
    const choices = domain.kind === "choice" ? domain.values.length : 1;
    if (places.length === 0) return 1 / choices;
    const spread = 1 / (places.length + 1);
    const count = (places[kernel] === choice ? 1 : 0) + spread;
    return count / ((kernel < places.length ? 1 : 0) + choices * spread);
  }
}

/** Each kernel is as wide as the gap to its further neighbour; the ends of the domain are neighbours of a single one alone. */
function kernelWidths(places: readonly number[], low: number, high: number): number[] {
  const order = [...places.keys()].sort((a, b) => places[a]! - places[b]!);
  const sorted = [low, ...order.map((at) => places[at]!), high];
  const least = (high - low) / Math.min(100, 2 + places.length);
  const widths = new Array<number>(places.length);
  for (const [rank, at] of order.entries()) {
    const [before, here, after] = sorted.slice(rank, rank + 3) as [number, number, number];
    const [isFirst, isLast] = [rank === 0, rank === places.length - 1];
    const gap =
      isFirst && isLast
        ? Math.max(here - before, after - here)
        : isFirst
          ? after - here
          : isLast
            ? here - before
            : Math.max(here - before, after - here);
    widths[at] = Math.min(high - low, Math.max(least, gap));
  }
  return widths;
}

/** 1 for the newest 25, rising evenly from 1/n to 1 over those before. */
function ageWeights(count: number): number[] {
  const old = Math.max(0, count - 25);
  return Array.from({ length: count }, (_, at) =>
    at >= old ? 1 : 1 / count + (old === 1 ? 0 : (at / (old - 1)) * (1 - 1 / count)),
  );
}

/** Where a uniform number falls among shares that sum to 1. */
function pick(shares: readonly number[], uniform: number): number {
  let sum = 0;
  for (const [at, share] of shares.entries()) {
    sum += share;
    if (uniform < sum) return at;
  }
  return shares.length - 1;
}

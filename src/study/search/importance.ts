// How much each setting of a search mattered: one-way analysis of variance on ranks (Kruskal & Wallis 1952), each setting by
// itself. Ranks, so that a trial that diverged is the worst and not the whole variance. Sees no interplay of settings, and a
// sampler that looks where it is good looks elsewhere less: a small share may mean that the range was chosen well.
import { RandomStream } from "../../base/index.ts";
import { placeOf, type Space } from "./space.ts";
import { costAt, type Goal, type Trial } from "./trials.ts";

export interface Importance {
  readonly key: string;
  /** Share of the variance of the trials' ranks between groups of like values, less what chance is expected to give: 0 to 1. */
  readonly share: number;
  /** What that share stays below in 95 of 100 searches where the setting does not matter, by shuffling. */
  readonly chance: number;
}

export interface Importances {
  /** The step at which trials are compared: the first at which one was judged. */
  readonly step: number;
  readonly trials: number;
  /** The most important first. */
  readonly settings: readonly Importance[];
}

const fewestTrials = 8;
const shuffles = 1000;

/**
 * `undefined` where the trials are too few to tell. Forks are left out: their settings changed on the way; and trials under way that
 * were not judged yet.
 */
export function importances(space: Space, all: readonly Trial[], goal: Goal): Importances | undefined {
  const own = all.filter(({ parent }) => parent === undefined);
  const step = Math.min(...own.flatMap(({ reports }) => reports.slice(0, 1).map((report) => report.step)));
  const trials = own.filter((one) => one.failure !== undefined || !Number.isNaN(costAt(one, step, goal)));
  const costs = trials.map((trial) => costAt(trial, step, goal));
  if (trials.length < fewestTrials || costs.filter((cost) => !Number.isNaN(cost)).length < fewestTrials / 2)
    return undefined;
  const ranks = ranksOf(costs.map((cost) => (Number.isNaN(cost) ? Number.POSITIVE_INFINITY : cost)));
  const stream = new RandomStream(0, "search.importance");
  const settings = [...space].map(([key, domain], at): Importance => {
    const places = trials.map(({ point }) => placeOf(domain, point[key]!));
    const groups = domain.kind === "choice" ? places : quarters(places);
    const byChance = Array.from({ length: shuffles }, (_, draw) =>
      shareBetween(
        ranks,
        shuffled(groups, (element) => stream.uniform(element, draw, at)),
      ),
    ).sort((a, b) => a - b);
    return { key, share: shareBetween(ranks, groups), chance: byChance[Math.ceil(0.95 * shuffles) - 1]! };
  });
  return { step, trials: trials.length, settings: settings.sort((a, b) => b.share - a.share) };
}

/** Values in up to four groups of like size, each of three trials or more; equal values are in one. */
function quarters(places: readonly number[]): number[] {
  const count = Math.min(4, Math.floor(places.length / 3));
  return ranksOf(places).map((rank) => Math.min(count - 1, Math.floor(((rank - 0.5) / places.length) * count)));
}

/** From 1; equal values share the mean of their ranks. */
export function ranksOf(values: readonly number[]): number[] {
  return values.map((value) => {
    const below = values.filter((other) => other < value).length;
    const equal = values.filter((other) => other === value).length;
    return below + (equal + 1) / 2;
  });
}

/** Kruskal and Wallis' H over groups of ranks, corrected for ties. */
export function kruskalWallis(ranks: readonly number[], groups: readonly number[]): number {
  const mean = (ranks.length + 1) / 2;
  const sums = new Map<number, { sum: number; count: number }>();
  for (const [at, group] of groups.entries()) {
    const { sum, count } = sums.get(group) ?? { sum: 0, count: 0 };
    sums.set(group, { sum: sum + ranks[at]! - mean, count: count + 1 });
  }
  const between = [...sums.values()].reduce((total, { sum, count }) => total + sum ** 2 / count, 0);
  const all = ranks.reduce((total, rank) => total + (rank - mean) ** 2, 0);
  return all === 0 ? 0 : ((ranks.length - 1) * between) / all;
}

/** η² from H: (H − k + 1) / (n − k) for k groups of n ranks, at least 0 (Tomczak & Tomczak 2014). */
function shareBetween(ranks: readonly number[], groups: readonly number[]): number {
  const count = new Set(groups).size;
  if (count < 2 || count >= ranks.length) return 0;
  return Math.max(0, (kruskalWallis(ranks, groups) - count + 1) / (ranks.length - count));
}

/** Fisher & Yates 1938. */
function shuffled(values: readonly number[], uniform: (element: number) => number): number[] {
  const mixed = [...values];
  for (let at = mixed.length - 1; at > 0; at--) {
    const other = Math.floor(uniform(at) * (at + 1));
    [mixed[at], mixed[other]] = [mixed[other]!, mixed[at]!];
  }
  return mixed;
}

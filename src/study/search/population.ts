// Population-based training (Jaderberg et al. 2017), all members in step: after every interval the last quarter of the members
// give their places to forks of members of the first quarter (exploit), whose settings are changed a little (explore).
import { RandomStream } from "../../base/index.ts";
import { forkKeys } from "../../recipe/index.ts";
import { drawEven } from "./sampler.ts";
import { newTrial, type Scheduler, type SchedulerOptions } from "./scheduler.ts";
import { type Domain, endsOf, type Point, placeOf, type SettingValue, type Space, valueAt } from "./space.ts";
import { rankedAt, stepOf } from "./trials.ts";

export interface PopulationOptions extends SchedulerOptions {
  readonly space: Space;
  readonly seed: number;
  /** Steps between two comparisons. */
  readonly interval: number;
}

export function population(options: PopulationOptions): Scheduler {
  const { space, seed, interval, count, steps, goal } = options;
  const stream = new RandomStream(seed, "search.population");
  return {
    next: (trials) => {
      if (trials.length < count) return newTrial(trials, Math.min(interval, steps), options);
      const replaced = new Set(trials.map(({ replaces }) => replaces));
      const members = trials.filter(({ trial }) => !replaced.has(trial));
      const alive = members.filter(({ failure }) => failure === undefined);
      const step = Math.min(...alive.map(stepOf));
      if (alive.length === 0 || step >= steps || step === 0) return undefined;
      const until = Math.min(steps, step + interval);
      const ranked = rankedAt(trials, step, goal);
      const quarter = Math.max(1, Math.floor(count / 4));
      const first = ranked.slice(0, quarter);
      const last = ranked.slice(Math.max(first.length, ranked.length - quarter));
      const lost = members.filter((trial) => trial.failure !== undefined && stepOf(trial) < step);
      // all forks before anyone goes on: the states that they begin with are still there
      const leaving = [...last, ...lost].find(({ trial }) => !replaced.has(trial));
      if (leaving !== undefined) {
        const parent = first[stream.below(first.length, 0, leaving.trial, step)]!;
        const uniform = (key: number) => (element: number) =>
          stream.uniform(4 + 4 * key + element, leaving.trial, step);
        const point = explore(space, parent.point, uniform);
        return { trial: trials.length, until, point, parent: { trial: parent.trial, step }, replaces: leaving.trial };
      }
      const trial = alive.find((one) => one.until === undefined && stepOf(one) === step);
      return trial && { trial: trial.trial, until };
    },
  };
}

/** Settings of a fork: one in four is drawn anew, numbers of the others go down or up by a fifth; what a fork must keep, it keeps. */
function explore(space: Space, point: Point, uniform: (key: number) => (element: number) => number): Point {
  const changed = [...space].map(([key, domain], at): [string, SettingValue] => {
    const [draw, value] = [uniform(at), point[key]!];
    if (!forkKeys.test(key)) return [key, value];
    if (draw(0) < 0.25) return [key, drawEven(domain, draw(1))];
    return [key, domain.kind === "choice" ? value : moved(domain, Number(value), draw(2) < 0.5 ? 0.8 : 1.2)];
  });
  return Object.fromEntries(changed);
}

function moved(domain: Domain, value: number, factor: number): number {
  const [low, high] = endsOf(domain);
  return Number(valueAt(domain, Math.min(high, Math.max(low, placeOf(domain, value * factor)))));
}

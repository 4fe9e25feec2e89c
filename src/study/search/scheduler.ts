// Schedulers: which trial goes on, and how far. Each is a function of what is known of the trials, so that a search that was
// cut off anywhere goes on as it would have. Populations are in population.ts.
import type { Sampler } from "./sampler.ts";
import { type Goal, type Job, leader, observation, rankedAt, stepOf, type Trial } from "./trials.ts";

export interface Scheduler {
  /** The next job to start; `undefined` when there is none before another report, or none at all. */
  next(trials: readonly Trial[]): Job | undefined;
}

export interface SchedulerOptions {
  readonly sampler: Sampler;
  /** Trials with a point of their own. */
  readonly count: number;
  /** Of the whole run, on which every trial's schedules are laid out. */
  readonly steps: number;
  readonly goal: Goal;
  /** Trials at a time. */
  readonly parallel: number;
}

/**
 * The next new trial. Its point follows from the seed, its number and the trials before it, but for the `parallel - 1` that may
 * still be under way beside it: it waits for the others, so that the course of a search does not depend on who is faster.
 */
export function newTrial(
  trials: readonly Trial[],
  until: number,
  { sampler, count, goal, parallel }: SchedulerOptions,
): Job | undefined {
  const trial = trials.length;
  if (trial >= count) return undefined;
  const known = sampler.isFixed ? [] : trials.slice(0, Math.max(0, trial - parallel + 1));
  if (known.some(({ failure, reports }) => failure === undefined && reports.length === 0)) return undefined;
  const point = sampler.suggest(
    trial,
    known.map((one) => observation(one, goal)),
  );
  return { trial, until, point };
}

/** Steps at which trials are compared: the last is `steps`, each earlier one `eta` times less, none below `minSteps`. */
export function rungsOf(steps: number, minSteps: number, eta: number): number[] {
  const rungs = [steps];
  for (let step = steps / eta; Math.round(step) >= Math.max(1, minSteps); step /= eta)
    if (Math.round(step) < rungs[0]!) rungs.unshift(Math.round(step));
  return rungs;
}

/**
 * Successive halving (Jamieson & Talwalkar 2016): all trials to the first rung, the best of every `eta` to the next, and so on.
 * With one rung every trial runs whole. One that fails gives its place to the next best.
 */
export function halving(rungs: readonly number[], eta: number, options: SchedulerOptions): Scheduler {
  const { count, goal } = options;
  return {
    next: (trials) => {
      if (trials.length < count) return newTrial(trials, rungs[0]!, options);
      for (const [at, rung] of rungs.slice(0, -1).entries()) {
        if (trials.some(({ until, reports }) => until !== undefined && until <= rung && !has(reports, rung)))
          return undefined;
        const kept = Math.max(1, Math.floor(count / eta ** (at + 1)));
        const trial = sound(rankedAt(trials, rung, goal))
          .slice(0, kept)
          .find(isAt(rung));
        if (trial !== undefined) return { trial: trial.trial, until: rungs[at + 1]! };
      }
      return undefined;
    },
  };
}

/**
 * Asynchronous successive halving (Li et al. 2020): whoever is among the best of every `eta` so far at its rung goes on at once,
 * the highest rung first; a new trial begins where there is nobody. At the end the best one is taken to the last rung.
 */
export function asha(rungs: readonly number[], eta: number, options: SchedulerOptions): Scheduler {
  const { count, goal } = options;
  return {
    next: (trials) => {
      for (let at = rungs.length - 2; at >= 0; at--) {
        const ranked = rankedAt(trials, rungs[at]!, goal);
        const trial = sound(ranked)
          .slice(0, Math.floor(ranked.length / eta))
          .find(isAt(rungs[at]!));
        if (trial !== undefined) return { trial: trial.trial, until: rungs[at + 1]! };
      }
      if (trials.length < count) return newTrial(trials, rungs[0]!, options);
      if (trials.some(({ until }) => until !== undefined)) return undefined;
      const best = leader(trials, goal);
      const until = best && rungs.find((rung) => rung > stepOf(best));
      return until === undefined ? undefined : { trial: best!.trial, until };
    },
  };
}

const sound = (trials: readonly Trial[]) => trials.filter(({ failure }) => failure === undefined);

/** Standing there, and not sent on yet. */
const isAt = (rung: number) => (trial: Trial) => trial.until === undefined && stepOf(trial) === rung;

const has = (reports: Trial["reports"], rung: number) => reports.some(({ step }) => step === rung);

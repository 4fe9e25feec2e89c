// What is known of a search's trials: the fold of its journal's events. Decides nothing: that is for schedulers.
import type { Observation } from "./sampler.ts";
import type { Point } from "./space.ts";

/** Begin a trial, or go on with one, up to a step. */
export interface Job {
  readonly trial: number;
  readonly until: number;
  /** Of a new trial. */
  readonly point?: Point;
  /** The trial and the step whose whole state a new one begins with. */
  readonly parent?: { readonly trial: number; readonly step: number };
  /** The trial whose place in a population it takes. */
  readonly replaces?: number;
}

/** What a trial was found to be worth after some steps. */
export interface Report {
  readonly step: number;
  /** The metric as it is. */
  readonly value: number;
  /** Seconds that the trial has trained, over all its pieces. */
  readonly seconds: number;
}

export interface Trial extends Omit<Job, "until"> {
  readonly point: Point;
  /** In order of the steps. */
  readonly reports: readonly Report[];
  /** The step that it was last sent to and has not come to yet. */
  readonly until?: number;
  readonly failure?: { readonly code: string; readonly message: string };
}

export type TrialEvent =
  | (Job & { readonly event: "start" })
  | (Report & { readonly event: "report"; readonly trial: number })
  | { readonly event: "fail"; readonly trial: number; readonly code: string; readonly message: string };

/** The trials after one more event. */
export function withEvent(trials: readonly Trial[], event: TrialEvent): readonly Trial[] {
  const changed = [...trials];
  changed[event.trial] = after(trials[event.trial] ?? { trial: event.trial, point: {}, reports: [] }, event);
  return changed;
}

function after({ until: _, ...trial }: Trial, event: TrialEvent): Trial {
  switch (event.event) {
    case "start": {
      const { event: __, ...job } = event;
      return { ...trial, ...job };
    }
    case "report": {
      const { step, value, seconds } = event;
      return { ...trial, reports: [...trial.reports, { step, value, seconds }] };
    }
    case "fail":
      return { ...trial, failure: { code: event.code, message: event.message } };
  }
}

/** The step that a trial stands at: of its last report, or that its state was taken from. */
export function stepOf({ reports, parent }: Trial): number {
  return reports.at(-1)?.step ?? parent?.step ?? 0;
}

/** Orders what is worth more before what is worth less, and equals by their number. */
export type Goal = "min" | "max";

export function costAt({ reports }: Trial, step: number, goal: Goal): number {
  const { value = Number.NaN } = reports.find((report) => report.step === step) ?? {};
  return goal === "min" ? value : -value;
}

/** The trials that were judged at a step, the best first. */
export function rankedAt(trials: readonly Trial[], step: number, goal: Goal): readonly Trial[] {
  const cost = (trial: Trial) => costAt(trial, step, goal);
  return trials.filter((trial) => !Number.isNaN(cost(trial))).sort((a, b) => cost(a) - cost(b) || a.trial - b.trial);
}

/** The best of the trials that got furthest and did not fail; `undefined` while there is none. */
export function leader(trials: readonly Trial[], goal: Goal): Trial | undefined {
  const sound = trials.filter(({ failure, reports }) => failure === undefined && reports.length > 0);
  return rankedAt(sound, Math.max(...sound.map(stepOf)), goal)[0];
}

/** All of them: those that got furthest first, the best of them first; those that failed last. */
export function rankTrials(trials: readonly Trial[], goal: Goal): readonly Trial[] {
  const order = (trial: Trial) => (trial.failure === undefined ? -stepOf(trial) : Number.POSITIVE_INFINITY);
  const cost = (trial: Trial) => costAt(trial, stepOf(trial), goal);
  return [...trials].sort((a, b) => order(a) - order(b) || cost(a) - cost(b) || a.trial - b.trial);
}

export function observation(trial: Trial, goal: Goal): Observation {
  const step = stepOf(trial);
  return { point: trial.point, step, cost: trial.failure === undefined ? costAt(trial, step, goal) : Number.NaN };
}

// Reduce on plateau: the rate falls when the held-out loss no longer does. A function of the evaluations recorded, not an object
// with a state: whoever has them, after a resume too, has the same rate.
import type { EvaluatedLoss, Schedule } from "./schedule.ts";

export interface PlateauOptions {
  readonly peak: number;
  /** The rate is multiplied by it; default 0.5. */
  readonly factor?: number;
  /** So many evaluations in a row without an improvement lower the rate; default 5. */
  readonly patience?: number;
  /** An improvement is a loss below the best × (1 − threshold); default 1e-4. */
  readonly threshold?: number;
  /** Evaluations after a reduction in which nothing is counted; default 0. */
  readonly cooldown?: number;
  /** The rate is never below it; default 0, which it never reaches. */
  readonly floor?: number;
}

/**
 * PyTorch's ReduceLROnPlateau with relative threshold, whose `patience` is one less: it counts the evaluations that it bears.
 * A loss that is not finite is no improvement.
 */
export function plateauSchedule(options: PlateauOptions): Schedule {
  const { peak, factor = 0.5, patience = 5, threshold = 1e-4, cooldown = 0, floor = 0 } = options;
  const rateAfter = (evaluations: readonly EvaluatedLoss[]): number => {
    let [rate, best, flat, cooling] = [peak, Number.POSITIVE_INFINITY, 0, 0];
    for (const { loss } of evaluations) {
      const improves = loss !== null && loss < best * (1 - threshold);
      if (improves) best = loss;
      flat = improves || cooling > 0 ? 0 : flat + 1;
      cooling = Math.max(0, cooling - 1);
      if (flat < patience) continue;
      [rate, flat, cooling] = [Math.max(floor, rate * factor), 0, cooldown];
    }
    return rate;
  };
  return {
    unit: "steps",
    needsEvaluations: true,
    at: (_, evaluations = []) => rateAfter(evaluations),
    describe: () => `${peak}, × ${factor} after ${patience} evaluations without improvement`,
    startsAtZero: false,
    endsAtZero: undefined,
  };
}

// Rules that keep a second set of weights: averages for evaluation, lookahead, schedule-free.
// Each keeps the difference from the parameters, which is zero where slots begin.
import { maximum, where } from "../core/index.ts";
import { mapTensors, scalarSlots, scaledUpdates, slotsNamed, stepsOf, type Transform } from "./optimizer.ts";

/** average ← average + weight · (parameter − average); `weightAt` counts updates from 0. Evaluation takes the average. */
function averageWeights(name: string, weightAt: (step: number) => number): Transform {
  return {
    name,
    follows: true,
    slots: slotsNamed([`${name}.gap`]),
    scalarsAt: (step) => ({ [`${name}.keep`]: 1 - weightAt(step) }),
    evaluated: { slot: `${name}.gap`, factor: 1 },
    apply: (state, { slot, setSlot, scalar }) => {
      for (const [parameter, step] of stepsOf(state)) {
        const gap = slot(`${name}.gap.${parameter}`).add(step); // average − new parameter
        setSlot(`${name}.gap.${parameter}`, gap.mul(scalar(`${name}.keep`)));
      }
      return state;
    },
  };
}

/** Exponential moving average of the weights (Polyak & Juditsky 1992); the decay grows as (1 + t) / (10 + t) up to `decay`. */
export function averageByDecay(decay: number): Transform {
  return averageWeights("ema", (step) => 1 - Math.min(decay, (1 + step) / (10 + step)));
}

/** Equal average of the weights after update `start` and every `every` updates from there (Izmailov et al. 2018, SWA). */
export function averageEqually({ start, every }: { readonly start: number; readonly every: number }): Transform {
  return averageWeights("swa", (step) => {
    const past = step + 1 - start;
    if (past <= 0) return 1;
    return past % every === 0 ? 1 / (past / every + 1) : 0;
  });
}

/** Every `every` updates slow weights go `rate` of the way to the fast ones, which go on from there (Zhang et al. 2019). Evaluation takes the slow. */
export function lookahead({ every, rate }: { readonly every: number; readonly rate: number }): Transform {
  return {
    name: "lookahead",
    follows: true,
    slots: slotsNamed(["lookahead.gap"]),
    scalarsAt: (step) => ({ "lookahead.meets": (step + 1) % every === 0 ? 1 : 0 }),
    evaluated: { slot: "lookahead.gap", factor: 1 },
    apply: (state, { slot, setSlot, scalar }) => {
      const meets = scalar("lookahead.meets");
      const updates = mapTensors(stepsOf(state), (step, name) => {
        const gap = slot(`lookahead.gap.${name}`).add(step); // slow − fast
        setSlot(`lookahead.gap.${name}`, gap.mul(meets.neg().add(1)));
        return step.sub(gap.mul(meets.mul(1 - rate)));
      });
      return { ...state, updates, factor: undefined, values: undefined };
    },
  };
}

/**
 * Schedule-free (Defazio et al. 2024): gradients at y = (1 − β) z + β x, steps from z, x the average of the z with weights lr_max².
 * Stands last. The parameters are y; evaluation takes x.
 */
export function scheduleFree(beta: number): Transform {
  const total = "scheduleFree.total";
  const largest = "scheduleFree.largest";
  return {
    name: "scheduleFree",
    slots: (types) => [...slotsNamed(["scheduleFree.gap"])(types), ...scalarSlots(types, [total, largest])],
    evaluated: { slot: "scheduleFree.gap", factor: (beta - 1) / beta },
    apply: (state, { slot, setSlot, scalar }) => {
      const top = maximum(slot(largest), scalar("lr"));
      const weight = top.square();
      const sum = slot(total).add(weight);
      setSlot(largest, top);
      setSlot(total, sum);
      const share = where(sum.greater(0), weight.div(sum), 0);
      const updates = mapTensors(scaledUpdates(state), (step, name) => {
        const gap = slot(`scheduleFree.gap.${name}`); // z − y
        const moved = gap.sub(step); // new z − y
        const average = gap.mul((beta - 1) / beta); // x − y
        const next = average.add(moved.sub(average).mul(share)); // new x − y
        const shift = next.mul(beta).add(moved.mul(1 - beta)); // new y − y
        setSlot(`scheduleFree.gap.${name}`, moved.sub(shift));
        return shift.neg();
      });
      return { ...state, updates, factor: undefined };
    },
  };
}

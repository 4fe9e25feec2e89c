// The transforms that optimizers are chained from, and the fused updates that do a whole chain in one pass over memory.
import type { Varying } from "../base/index.ts";
import {
  adamw as adamwOp,
  constant,
  lion as lionOp,
  minimum,
  sgd as sgdOp,
  type Tensor,
  varying,
} from "../core/index.ts";
import {
  globalNorm,
  mapTensors,
  scaledUpdates,
  slotsNamed,
  type Transform,
  type UpdateState,
  type UpdateTools,
} from "./optimizer.ts";
import { type ParameterSelector, selectParameters } from "./selector.ts";

/**
 * Scales all updates together so that their Euclidean norm is at most `maxNorm` (Pascanu et al. 2013). Only the pending
 * factor changes: no update is touched here.
 */
export function clipByGlobalNorm(maxNorm: number): Transform {
  return {
    name: "clipByGlobalNorm",
    apply: (state) => {
      // 1e-6 as torch.nn.utils.clip_grad_norm_ has it: a zero gradient divides by it
      const clip = minimum(globalNorm(state.updates, state.factor).add(1e-6).reciprocal().mul(maxNorm), 1);
      return { ...state, factor: state.factor === undefined ? clip : state.factor.mul(clip) };
    },
  };
}

export interface AdamNumbers<Beta extends Varying = number> {
  readonly beta1: Beta;
  readonly beta2: Beta;
  readonly eps: number;
}

/** 1 / (1 − βᵗ) for the update after `step` others, in f64 (Kingma & Ba 2015, algorithm 1). */
const corrections =
  ({ beta1, beta2 }: AdamNumbers) =>
  (step: number) => ({ "adam.c1": 1 / (1 - beta1 ** (step + 1)), "adam.c2": 1 / (1 - beta2 ** (step + 1)) });

/**
 * Adds `rate` times the parameter to its update. Before a transform with memory this is the l2 penalty's gradient; after
 * `scaleByAdam` it is decoupled weight decay (Loshchilov & Hutter 2019).
 */
export function addDecayedWeights(rate: Varying, parameters: ParameterSelector = "all"): Transform {
  return {
    name: "addDecayedWeights",
    apply: (state) => {
      if (rate === 0) return state;
      const decayed = selectedOf(state, parameters);
      const updates = mapTensors(scaledUpdates(state), (update, name) =>
        decayed.has(name) ? update.add(state.parameters.get(name)!.mul(varying(rate, update.dtype))) : update,
      );
      return { ...state, updates, factor: undefined };
    },
  };
}

/** Updates times the learning rate of this step. */
export function scaleByLearningRate(): Transform {
  return {
    name: "scaleByLearningRate",
    apply: (state, { scalar }) => {
      const lr = scalar("lr");
      return { ...state, factor: state.factor === undefined ? lr : state.factor.mul(lr) };
    },
  };
}

/** AdamW whole: `scaleByAdam`, decay of the selected parameters and the learning rate in one pass. Ends the chain. */
export function adamwUpdate(numbers: AdamNumbers & { weightDecay: number; decay: ParameterSelector }): Transform {
  const { beta1, beta2, eps, weightDecay, decay } = numbers;
  return {
    name: "adamw",
    slots: slotsNamed(["adam.m", "adam.v"]),
    scalarsAt: corrections(numbers),
    apply: (state, tools) => {
      const decayed = weightDecay === 0 ? new Set<string>() : selectedOf(state, decay);
      const scalars = [factorOf(state.factor, tools), ...["lr", "adam.c1", "adam.c2"].map(tools.scalar)];
      const values = mapTensors(state.parameters, (parameter, name) => {
        const slots = ["adam.m", "adam.v"].map((slot) => `${slot}.${name}`);
        const attrs = { beta1, beta2, eps, weightDecay: decayed.has(name) ? weightDecay : 0 };
        const [value, m, v, check] = adamwOp(
          [parameter, state.updates.get(name)!, ...slots.map(tools.slot), ...scalars],
          attrs,
        );
        slots.forEach((slot, at) => {
          tools.setSlot(slot, [m!, v!][at]!, check);
        });
        return value!;
      });
      return { ...state, values };
    },
  };
}

/** Lion whole (Chen et al. 2023, algorithm 2): sign, decay of the selected parameters and the learning rate in one pass. Ends the chain. */
export function lionUpdate(numbers: {
  beta1: number;
  beta2: number;
  weightDecay: number;
  decay: ParameterSelector;
}): Transform {
  const { beta1, beta2, weightDecay, decay } = numbers;
  return {
    name: "lion",
    slots: slotsNamed(["lion.m"]),
    apply: (state, tools) => {
      const decayed = weightDecay === 0 ? new Set<string>() : selectedOf(state, decay);
      const scalars = [factorOf(state.factor, tools), tools.scalar("lr")];
      const values = mapTensors(state.parameters, (parameter, name) => {
        const slot = `lion.m.${name}`;
        const attrs = { beta1, beta2, weightDecay: decayed.has(name) ? weightDecay : 0 };
        const [value, m, check] = lionOp([parameter, state.updates.get(name)!, tools.slot(slot), ...scalars], attrs);
        tools.setSlot(slot, m!, check);
        return value!;
      });
      return { ...state, values };
    },
  };
}

/** SGD whole: l2 penalty, momentum and the learning rate in one pass. Ends the chain. */
export function sgdUpdate(numbers: {
  momentum: number;
  nesterov: boolean;
  l2: number;
  penalized: ParameterSelector;
}): Transform {
  const { momentum: decay, nesterov, l2, penalized } = numbers;
  return {
    name: "sgd",
    slots: decay === 0 ? () => [] : slotsNamed(["sgd.velocity"]),
    apply: (state, tools) => {
      const chosen = l2 === 0 ? new Set<string>() : selectedOf(state, penalized);
      const scalars = [factorOf(state.factor, tools), tools.scalar("lr")];
      const values = mapTensors(state.parameters, (parameter, name) => {
        const slot = `sgd.velocity.${name}`;
        const attrs = { momentum: decay, dampening: 0, nesterov, weightDecay: chosen.has(name) ? l2 : 0 };
        const velocity = decay === 0 ? [] : [tools.slot(slot)];
        const [value, next] = sgdOp([parameter, state.updates.get(name)!, ...scalars, ...velocity], attrs);
        if (next !== undefined) tools.setSlot(slot, next);
        return value!;
      });
      return { ...state, values };
    },
  };
}

/** Names of the parameters that decay. */
function selectedOf(state: UpdateState, selector: ParameterSelector): Set<string> {
  const named = [...state.parameters].map(([name, { shape }]) => ({ name, shape }));
  return selectParameters(selector, named, "optimizer.decay");
}

/** The fused updates always take a factor; 1 when none is pending. */
function factorOf(factor: Tensor | undefined, { scalar }: UpdateTools): Tensor {
  return factor ?? constant(1, scalar("lr").dtype);
}

// Rules that look at a parameter as a whole: trust ratios, orthogonal updates, rates and rules by selector.
import type { Varying } from "../base/index.ts";
import { matmulOf, maximum, sumSquares, type Tensor, varying, where } from "../core/index.ts";
import { runningMean } from "./adam-rules.ts";
import {
  mapTensors,
  perParameter,
  scaledUpdates,
  stepsOf,
  type TensorType,
  type Transform,
  type UpdateState,
} from "./optimizer.ts";
import { type ParameterSelector, selectParameters } from "./selector.ts";

/**
 * Each update times coefficient · ‖parameter‖ / (‖update‖ + ε), or 1 where one of them is zero. After momentum's l2 it makes LARS
 * (You, Gitman & Ginsburg 2017), after Adam and its decay LAMB (You et al. 2020).
 */
export function scaleByTrustRatio({ coefficient = 1, eps = 0 } = {}): Transform {
  return perParameter("trustRatio", [], (update, { parameter }) => {
    const [size, length] = [sumSquares(parameter).sqrt(), sumSquares(update).sqrt()];
    const ratio = size.mul(coefficient).div(length.add(eps));
    return update.mul(where(size.greater(0).and(length.greater(0)), ratio, 1));
  });
}

export interface MuonNumbers {
  readonly momentum: Varying;
  readonly nesterov: boolean;
  /** Newton–Schulz iterations. */
  readonly iterations: number;
}

/** Coefficients that make small singular values grow fastest (Jordan et al. 2024). */
const quintic = [3.4445, -4.775, 2.0315] as const;

/** The nearest orthogonal matrix, roughly: X ← a X + (b A + c A²) X with A = X Xᵀ, on the shorter side. */
function orthogonalize(matrix: Tensor, iterations: number): Tensor {
  const [a, b, c] = quintic;
  const isTall = matrix.shape[0]! > matrix.shape[1]!;
  let x = isTall ? matrix.transpose() : matrix;
  x = x.div(maximum(sumSquares(x).sqrt(), 1e-7));
  for (let i = 0; i < iterations; i++) {
    const gram = matmulOf(x, x, false, true);
    x = x.mul(a).add(gram.mul(b).add(gram.matmul(gram).mul(c)).matmul(x));
  }
  return isTall ? x.transpose() : x;
}

/**
 * Momentum made orthogonal, for matrices alone (Jordan et al. 2024), with root mean square 0.2 as AdamW's, so that both have one
 * learning rate (Liu et al. 2025, section 2.2). More than two dimensions are rows of the first.
 */
export function scaleByMuon({ momentum, nesterov, iterations }: MuonNumbers): Transform {
  return perParameter("muon", ["momentum"], (grad, { slot, keep }) => {
    const decay = varying(momentum, grad.dtype);
    const mean = keep("momentum", runningMean(slot("momentum"), grad, decay));
    const update = nesterov ? runningMean(mean, grad, decay) : mean;
    const matrix = update.reshape(grad.shape[0]!, -1);
    const scale = 0.2 * Math.sqrt(Math.max(...matrix.shape));
    return orthogonalize(matrix, iterations)
      .mul(scale)
      .reshape(...grad.shape);
  });
}

/** One chain for the parameters selected, another for the rest. Neither may end the chain. */
export function partition(
  selector: ParameterSelector,
  chosen: readonly Transform[],
  rest: readonly Transform[],
): Transform {
  const parts = <T extends { readonly name: string; readonly shape: readonly number[] }>(types: readonly T[]) => {
    const names = selectParameters(selector, types, "optimizer.parameters");
    const isIn = ({ name }: T) => names.has(name);
    return [
      { chain: chosen, types: types.filter(isIn) },
      { chain: rest, types: types.filter((type) => !isIn(type)) },
    ];
  };
  return {
    name: "partition",
    slots: (types: readonly TensorType[]) =>
      parts(types).flatMap(({ chain, types: own }) => chain.flatMap((transform) => transform.slots?.(own) ?? [])),
    scalarsAt: (...now) =>
      Object.assign({}, ...[...chosen, ...rest].map((transform) => transform.scalarsAt?.(...now) ?? {})),
    apply: (state, tools) => {
      const types = [...state.parameters].map(([name, { shape }]) => ({ name, shape }));
      const updates = parts(types).flatMap(({ chain, types: own }) => {
        const only = (all: UpdateState["updates"]) => new Map(own.map(({ name }) => [name, all.get(name)!]));
        const begin: UpdateState = { ...state, parameters: only(state.parameters), updates: only(state.updates) };
        return [...scaledUpdates(chain.reduce((one, transform) => transform.apply(one, tools), begin))];
      });
      const made = new Map(updates);
      return { ...state, factor: undefined, updates: mapTensors(state.updates, (_, name) => made.get(name)!) };
    },
  };
}

/** A factor of the learning rate for each parameter. */
export type RateFactors = (
  parameters: readonly { readonly name: string; readonly shape: readonly number[] }[],
) => ReadonlyMap<string, number>;

/** Steps times a factor per parameter, which is a learning rate per parameter. A factor of 1 changes nothing. */
export function scaleRates(factors: RateFactors): Transform {
  return {
    name: "scaleRates",
    follows: true,
    apply: (state) => {
      const by = factors([...state.parameters].map(([name, { shape }]) => ({ name, shape })));
      const scaled = mapTensors(stepsOf(state), (step, name) => step.mul(by.get(name) ?? 1));
      if (state.values === undefined) return { ...state, updates: scaled, factor: undefined };
      const values = mapTensors(state.values, (value, name) =>
        (by.get(name) ?? 1) === 1 ? value : state.parameters.get(name)!.sub(scaled.get(name)!),
      );
      return { ...state, values };
    },
  };
}

/** New matrices [in, out] with each output's vector of inputs shortened to length `max` where it is longer (Srebro & Shraibman 2005). */
export function limitWeightNorms(max: number): Transform {
  return {
    name: "limitWeightNorms",
    follows: true,
    apply: (state) => {
      const steps = stepsOf(state);
      const values = mapTensors(state.parameters, (parameter, name) => {
        const value = state.values?.get(name) ?? parameter.sub(steps.get(name)!);
        if (value.rank < 2) return value;
        const norms = value.square().sum({ axis: -2, keepDim: true }).sqrt();
        return value.mul(maximum(norms, max).reciprocal().mul(max));
      });
      return { ...state, values };
    },
  };
}

/** Factors by selectors; the last that takes a parameter holds. */
export const ratesBySelector =
  (rates: readonly { readonly select: ParameterSelector; readonly by: number }[]): RateFactors =>
  (parameters) =>
    new Map(
      rates.flatMap(({ select, by }) =>
        [...selectParameters(select, parameters, "optimizer.rates")].map((name) => [name, by] as const),
      ),
    );

/**
 * decay^(layers above): the output has 1, the last block `decay`, and so on down to the embeddings (Clark et al. 2020, ELECTRA). A
 * block is known by the first number in a name, as in `h.3.mlp`; what stands before all blocks is below them, the rest above.
 */
export const ratesByDepth =
  (decay: number): RateFactors =>
  (parameters) => {
    const numbers = parameters.map(({ name }) => /(?:^|\.)(\d+)\./.exec(name)?.[1]);
    const [first, top] = [
      numbers.findIndex((one) => one !== undefined),
      Math.max(-1, ...numbers.map((one) => Number(one ?? -1))) + 2,
    ];
    const depth = (at: number) => (numbers[at] !== undefined ? Number(numbers[at]) + 1 : at < first ? 0 : top);
    return new Map(parameters.map(({ name }, at) => [name, decay ** (top - depth(at))]));
  };

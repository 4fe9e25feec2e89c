// An optimizer: a chain of transforms over graph tensors, from gradients to new parameters. Knows no rule by name; holds no data.
//
// The chain begins with the summed gradients and one pending factor (1 / count). A transform may change the updates, the
// factor alone (clipping), or write the new parameters itself (the fused updates, which take the factor into their one pass
// over memory). What the chain leaves as updates is subtracted from the parameters.
import { type Clock, clockStart, type DType, fail, type Shape } from "../base/index.ts";
import { sumSquares, type Tensor, withScope } from "../core/index.ts";
import { constantSchedule, type Schedule } from "./schedule.ts";
import { type ParameterSelector, selectParameters } from "./selector.ts";

/** Name, dtype and shape of a parameter or slot. */
export interface TensorType {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: Shape;
}

export type NamedTensors = ReadonlyMap<string, Tensor>;

/** What flows through the chain while a step is traced. */
export interface UpdateState {
  /** Before this step. */
  readonly parameters: NamedTensors;
  /** What is to be subtracted, once multiplied by `factor`. Begins as the summed gradients. */
  readonly updates: NamedTensors;
  /** A scalar, or `undefined` for 1. */
  readonly factor: Tensor | undefined;
  /** New parameters, once a transform has made them. */
  readonly values: NamedTensors | undefined;
}

/** A transform's access to its slots and numbers. */
export interface UpdateTools {
  /** A slot's tensor before this step. */
  slot(name: string): Tensor;
  /** `check` is a scalar that is finite only where all of the value is; without one, the value is looked at before the next update. */
  setSlot(name: string, value: Tensor, check?: Tensor): void;
  /** A number that the host feeds: those of `scalarsAt`, and `lr`. */
  scalar(name: string): Tensor;
  /** i32[3], the address of this step's random numbers: seed low, seed high, step. */
  key(): Tensor;
}

/** One rule of the chain. */
export interface Transform {
  readonly name: string;
  /** Slots for the given parameters, named `<rule>.<slot>.<parameter>`, like `adam.m.wte.weight`. They begin at zero. */
  slots?(parameters: readonly TensorType[]): readonly TensorType[];
  /** Numbers that depend on how many updates were made before, on the learning rate and on the run's clock, in f64. */
  scalarsAt?(step: number, learningRate: number, clock: Clock): Readonly<Record<string, number>>;
  apply(state: UpdateState, tools: UpdateTools): UpdateState;
  /** True for one that may stand behind the transform that ends the chain. */
  readonly follows?: boolean;
  /** Weights to evaluate with, where they are not the parameters: parameter + factor · slot, the slot named `<slot>.<parameter>`. */
  readonly evaluated?: EvaluatedWeights;
}

export interface EvaluatedWeights {
  readonly slot: string;
  readonly factor: number;
}

/** What a rule of one parameter has at hand. Names of slots and scalars are the rule's own. */
export interface OwnTools {
  readonly name: string;
  readonly parameter: Tensor;
  /** The parameter's slot before this step. */
  slot(name: string): Tensor;
  /** Gives the slot its next value, and returns it. */
  keep(name: string, value: Tensor): Tensor;
  scalar(name: string): Tensor;
}

/** A transform that makes each parameter's update from its own gradient; its slots have the parameter's type. */
export function perParameter(
  rule: string,
  slots: readonly string[],
  update: (grad: Tensor, own: OwnTools) => Tensor,
  scalarsAt: (step: number, learningRate: number, clock: Clock) => Readonly<Record<string, number>> = () => ({}),
): Transform {
  return {
    name: rule,
    slots: slotsNamed(slots.map((slot) => `${rule}.${slot}`)),
    scalarsAt: (...now) =>
      Object.fromEntries(Object.entries(scalarsAt(...now)).map(([name, one]) => [`${rule}.${name}`, one])),
    apply: (state, tools) => ({
      ...state,
      factor: undefined,
      updates: mapTensors(scaledUpdates(state), (grad, name) =>
        update(grad, {
          name,
          parameter: state.parameters.get(name)!,
          slot: (slot) => tools.slot(`${rule}.${slot}.${name}`),
          scalar: (scalar) => tools.scalar(`${rule}.${scalar}`),
          keep: (slot, value) => {
            tools.setSlot(`${rule}.${slot}.${name}`, value);
            return value;
          },
        }),
      ),
    }),
  };
}

/** Slots of each parameter's type, `<name>.<parameter>`. */
export const slotsNamed = (names: readonly string[]) => (parameters: readonly TensorType[]) =>
  names.flatMap((slot) => parameters.map(({ name, dtype, shape }) => ({ name: `${slot}.${name}`, dtype, shape })));

/** Slots of one number each. */
export const scalarSlots = (types: readonly TensorType[], names: readonly string[]): TensorType[] =>
  names.map((name) => ({ name, dtype: types[0]!.dtype, shape: [] }));

export interface OptimizerOptions {
  readonly chain: readonly Transform[];
  /** Default: the constant 1, for chains without `scaleByLearningRate`. */
  readonly learningRate?: Schedule;
  /** Parameters that are left as they are; default none. */
  readonly freeze?: ParameterSelector;
  /** Gradients are taken where the loss is larger, a step up the gradient; default, where the parameters are. */
  readonly sharpness?: Sharpness | undefined;
  /** How a recipe would write this optimizer. */
  readonly config?: OptimizerDescription;
}

/** Plain data: `{ adamw: { … } }`. */
export type OptimizerDescription = { readonly [name: string]: unknown };

/** Sharpness-aware minimization: the step up before gradients are taken (Foret et al. 2021). */
export interface Sharpness {
  /** Its length. */
  readonly rho: number;
  /** Measured in units of each weight's own size (Kwon et al. 2021, ASAM). */
  readonly adaptive: boolean;
}

export interface UpdateInputs {
  readonly parameters: NamedTensors;
  /** Summed over the batch. */
  readonly gradients: NamedTensors;
  /** What makes the sum a mean: 1 / count. */
  readonly gradientScale: Tensor;
  readonly slot: (name: string) => Tensor;
  readonly scalar: (name: string) => Tensor;
  /** i32[3]; for rules that draw random numbers. */
  readonly key?: () => Tensor;
}

export interface UpdateOutputs {
  /** New value of every parameter that is trained. */
  readonly values: NamedTensors;
  readonly slots: NamedTensors;
  /** A scalar that is finite only where every new slot is; left out where a transform does not say. */
  readonly check: Tensor | undefined;
  /** Euclidean norm of all trained gradients together, scaled, before clipping. */
  readonly gradNorm: Tensor;
}

export class Optimizer {
  readonly learningRate: Schedule;
  readonly config: OptimizerDescription;
  readonly sharpness: Sharpness | undefined;
  private readonly chain: readonly Transform[];
  private readonly freeze: ParameterSelector;

  constructor(options: OptimizerOptions) {
    this.chain = options.chain;
    this.learningRate = options.learningRate ?? constantSchedule(1);
    this.freeze = options.freeze ?? "none";
    this.sharpness = options.sharpness;
    this.config = options.config ?? { chain: this.chain.map(({ name }) => name) };
    const names = this.chain.map(({ name }) => name);
    const twice = names.find((name, at) => names.indexOf(name) !== at);
    if (twice !== undefined)
      fail("optim/chain", `two transforms of one chain are called ${twice}`, { got: names.join(" → ") });
  }

  /** Those of the parameters that are trained: all but the frozen ones. */
  trained<T extends { readonly name: string; readonly shape: Shape }>(parameters: readonly T[]): T[] {
    const frozen = selectParameters(this.freeze, parameters, "optimizer.freeze");
    const rest = parameters.filter(({ name }) => !frozen.has(name));
    if (rest.length === 0)
      fail("optim/frozen", "every parameter is frozen", { where: "optimizer.freeze", fix: "freeze fewer" });
    return rest;
  }

  /** Slots that training these parameters needs; zeros at first. */
  slotTypes(parameters: readonly TensorType[]): TensorType[] {
    const trained = this.trained(parameters);
    return this.chain.flatMap((transform) => transform.slots?.(trained) ?? []);
  }

  /**
   * The scalar feeds of one update: `lr`, and corrections such as `adam.c1`. `step` counts the updates made before it; `clock` is
   * for betas that change over a run.
   */
  scalarsAt(step: number, learningRate: number, clock: Clock = clockStart): Record<string, number> {
    return Object.assign(
      { lr: learningRate },
      ...this.chain.map((transform) => transform.scalarsAt?.(step, learningRate, clock) ?? {}),
    );
  }

  /** Where the weights to evaluate with lie, when the parameters are not those. */
  get evaluatedWeights(): EvaluatedWeights | undefined {
    return this.chain.findLast(({ evaluated }) => evaluated !== undefined)?.evaluated;
  }

  /** The weights to evaluate with, traced: averages where the chain keeps some, else the parameters. */
  evaluated(parameters: NamedTensors, slot: (name: string) => Tensor): NamedTensors {
    const weights = this.evaluatedWeights;
    if (weights === undefined) return parameters;
    const trained = new Set(this.trained([...parameters].map(([name, { shape }]) => ({ name, shape }))).map(nameOf));
    return mapTensors(parameters, (parameter, name) =>
      trained.has(name) ? parameter.add(slot(`${weights.slot}.${name}`).mul(weights.factor)) : parameter,
    );
  }

  /** Appends one update to the trace under way. Slots and scalars are asked for by name, each once. */
  update(inputs: UpdateInputs): UpdateOutputs {
    const types = [...inputs.parameters].map(([name, { dtype, shape }]) => ({ name, dtype, shape }));
    const names = this.trained(types).map(({ name }) => name);
    const only = (all: NamedTensors, what: string): Map<string, Tensor> =>
      new Map(names.map((name) => [name, all.get(name) ?? fail("optim/missing", `no ${what} was given for ${name}`)]));
    const parameters = only(inputs.parameters, "parameter");
    const gradients = only(inputs.gradients, "gradient");
    const gradNorm = withScope("optimizer", () => globalNorm(gradients, inputs.gradientScale));
    const slots = new Map<string, Tensor>();
    const checks = new Set<Tensor>();
    let allChecked = true;
    const tools: UpdateTools = {
      slot: remember(inputs.slot),
      scalar: remember(inputs.scalar),
      key: inputs.key ?? (() => fail("optim/key", "a rule draws random numbers, and the step has no key for them")),
      setSlot: (name, value, check) => {
        slots.set(name, value);
        if (check === undefined) allChecked = false;
        else checks.add(check);
      },
    };
    let state: UpdateState = { parameters, updates: gradients, factor: inputs.gradientScale, values: undefined };
    for (const transform of this.chain) {
      if (state.values !== undefined && transform.follows !== true)
        fail("optim/chain", `${transform.name} stands after the transform that ends the chain`);
      state = withScope(`optimizer.${transform.name}`, () => transform.apply(state, tools));
    }
    const check = allChecked && checks.size > 0 ? [...checks].reduce((sum, one) => sum.add(one)) : undefined;
    return { values: state.values ?? subtractUpdates(state), slots, check, gradNorm };
  }
}

/** Steps of length ρ up mean gradients, to where the gradients that count are taken (Foret et al. 2021, equation 2). */
export function ascent({ rho, adaptive }: Sharpness, parameters: NamedTensors, gradients: NamedTensors): NamedTensors {
  const sized = adaptive ? mapTensors(gradients, (grad, name) => grad.mul(parameters.get(name)!)) : gradients;
  const scale = globalNorm(sized, undefined).add(1e-12).reciprocal().mul(rho);
  return mapTensors(sized, (grad, name) => (adaptive ? grad.mul(parameters.get(name)!) : grad).mul(scale));
}

/** √(Σ x²) over all tensors, times `factor`. */
export function globalNorm(tensors: NamedTensors, factor: Tensor | undefined): Tensor {
  const sums = [...tensors.values()].map(sumSquares);
  const norm = sums.reduce((sum, one) => sum.add(one)).sqrt();
  return factor === undefined ? norm : norm.mul(factor);
}

/** The updates with the pending factor applied. */
export function scaledUpdates({ updates, factor }: UpdateState): NamedTensors {
  return factor === undefined ? updates : mapTensors(updates, (update) => update.mul(factor));
}

const nameOf = ({ name }: { readonly name: string }): string => name;

/** What this step takes off each parameter, whether or not the chain has ended. */
export function stepsOf(state: UpdateState): NamedTensors {
  const { values, parameters } = state;
  return values === undefined
    ? scaledUpdates(state)
    : mapTensors(parameters, (parameter, name) => parameter.sub(values.get(name)!));
}

export function mapTensors(tensors: NamedTensors, fn: (tensor: Tensor, name: string) => Tensor): Map<string, Tensor> {
  return new Map([...tensors].map(([name, tensor]) => [name, fn(tensor, name)]));
}

function subtractUpdates(state: UpdateState): NamedTensors {
  const updates = scaledUpdates(state);
  return mapTensors(state.parameters, (parameter, name) => parameter.sub(updates.get(name)!));
}

/** Makes each once. */
export function remember(make: (name: string) => Tensor): (name: string) => Tensor {
  const made = new Map<string, Tensor>();
  return (name) => {
    const tensor = made.get(name) ?? make(name);
    made.set(name, tensor);
    return tensor;
  };
}

// The optimizers by name: their settings with defaults, and the chain each stands for. What a recipe writes under `optimizer`.
import { z } from "zod";
import { oneOf, parseConfig } from "../base/index.ts";
import { Optimizer, type OptimizerDescription } from "./optimizer.ts";
import type { Schedule } from "./schedule.ts";
import { createSchedule, scheduleSchema } from "./schedule-config.ts";
import { type ParameterSelector, selectorSchema } from "./selector.ts";
import { adamwUpdate, addDecayedWeights, clipByGlobalNorm, sgdUpdate } from "./transforms.ts";

const beta = z.number().min(0).lt(1);
const common = {
  clip: z.number().positive().optional().describe("largest global gradient norm; left out, no clipping"),
  freeze: selectorSchema.default("none").describe("parameters that stay as they are, such as [wte.*]"),
};
const adamNumbers = {
  lr: scheduleSchema.default(1e-3),
  betas: z.tuple([beta, beta]).default([0.9, 0.999]).describe("decay of the two running means"),
  eps: z.number().positive().default(1e-8),
};
const l2 = z.number().nonnegative().default(0).describe("l2 penalty added to the gradient");

const sgdSchema = z
  .strictObject({
    lr: scheduleSchema.default(0.01),
    momentum: z.number().min(0).lt(1).default(0),
    nesterov: z.boolean().default(false),
    l2,
    ...common,
  })
  .check(({ value, issues }) => {
    if (value.nesterov && value.momentum === 0)
      issues.push({ code: "custom", path: ["nesterov"], message: "needs a momentum above 0", input: true });
  });
const adamSchema = z.strictObject({ ...adamNumbers, l2, ...common });
const adamwSchema = z.strictObject({
  ...adamNumbers,
  weightDecay: z.number().nonnegative().default(0.01).describe("decoupled decay per unit of learning rate"),
  decay: selectorSchema.default("matrices").describe("parameters that decay: matrices, all, none, or name patterns"),
  ...common,
});

/** `{ adamw: { lr: 1e-3, … } }`, or a name alone for the defaults. */
export const optimizerSchema = oneOf({ sgd: sgdSchema, adam: adamSchema, adamw: adamwSchema });
export type OptimizerInput = z.input<typeof optimizerSchema>;
export type OptimizerConfig = z.output<typeof optimizerSchema>;

/** In code, a schedule object and selector functions are allowed too. */
type InCode<T> = Omit<T, "lr" | "decay" | "freeze"> & {
  readonly lr?: (T extends { lr?: infer L } ? L : never) | Schedule;
  readonly freeze?: ParameterSelector;
};
export type SgdOptions = InCode<z.input<typeof sgdSchema>>;
export type AdamOptions = InCode<z.input<typeof adamSchema>>;
export type AdamwOptions = InCode<z.input<typeof adamwSchema>> & { readonly decay?: ParameterSelector };

/** What only code can give. */
interface Given {
  readonly lr?: Schedule;
  readonly freeze?: ParameterSelector;
  readonly decay?: ParameterSelector;
}

/** Takes out what is no plain data, so that the rest is checked by the same schema as a recipe. */
function separate(options: object): { plain: object; given: Given } {
  const isCode = ([key, value]: [string, unknown]) =>
    typeof value === "function" || (key === "lr" && typeof value === "object" && value !== null && "at" in value);
  const entries = Object.entries(options);
  return {
    plain: Object.fromEntries(entries.filter((entry) => !isCode(entry))),
    given: Object.fromEntries(entries.filter(isCode)),
  };
}

interface CreateOptions {
  /** Length of the run, the `total` of decays that name none. */
  readonly steps?: number;
}

/** Stochastic gradient descent, with momentum if asked for. */
export function sgd(options: SgdOptions = {}, { steps }: CreateOptions = {}): Optimizer {
  const { plain, given } = separate(options);
  const config = parseConfig(sgdSchema, plain, "optimizer.sgd");
  const { momentum, nesterov, l2: penalty, clip } = config;
  const update = sgdUpdate({ momentum, nesterov, l2: penalty, penalized: "all" });
  return create("sgd", config, given, steps, [...clipping(clip), update]);
}

/** SGD with a velocity; 0.9 unless said otherwise. */
export function momentumSgd(options: SgdOptions = {}, run: CreateOptions = {}): Optimizer {
  return sgd({ momentum: 0.9, ...options }, run);
}

/** Adam (Kingma & Ba 2015), with an l2 penalty if asked for; decoupled decay is `adamw`. */
export function adam(options: AdamOptions = {}, { steps }: CreateOptions = {}): Optimizer {
  const { plain, given } = separate(options);
  const config = parseConfig(adamSchema, plain, "optimizer.adam");
  const [beta1, beta2] = config.betas;
  const penalty = config.l2 === 0 ? [] : [addDecayedWeights(config.l2)];
  const update = adamwUpdate({ beta1, beta2, eps: config.eps, weightDecay: 0, decay: "none" });
  return create("adam", config, given, steps, [...clipping(config.clip), ...penalty, update]);
}

/** Adam with decoupled weight decay (Loshchilov & Hutter 2019), by default on matrices alone. */
export function adamw(options: AdamwOptions = {}, { steps }: CreateOptions = {}): Optimizer {
  const { plain, given } = separate(options);
  const config = parseConfig(adamwSchema, plain, "optimizer.adamw");
  const [beta1, beta2] = config.betas;
  const { eps, weightDecay, clip } = config;
  const update = adamwUpdate({ beta1, beta2, eps, weightDecay, decay: given.decay ?? config.decay });
  return create("adamw", config, given, steps, [...clipping(clip), update]);
}

const clipping = (clip: number | undefined) => (clip === undefined ? [] : [clipByGlobalNorm(clip)]);

type Parsed = { readonly lr: z.output<typeof scheduleSchema>; readonly freeze: ParameterSelector };

function create(
  name: string,
  config: Parsed,
  given: Given,
  steps: number | undefined,
  chain: ConstructorParameters<typeof Optimizer>[0]["chain"],
): Optimizer {
  const shown = Object.fromEntries(
    Object.entries(given).map(([key, value]) => [key, key === "lr" ? (value as Schedule).describe() : "function"]),
  );
  return new Optimizer({
    chain,
    learningRate: given.lr ?? createSchedule(config.lr, steps, `optimizer.${name}.lr`),
    freeze: given.freeze ?? config.freeze,
    config: { [name]: { ...config, ...shown } } as OptimizerDescription,
  });
}

/**
 * The optimizer that a configuration describes, `{ adamw: { lr: 3e-4, betas: [0.9, 0.95] } }`. `steps` is the length of the run.
 * Errors with `config/invalid`, naming every unknown key and wrong value at once.
 *
 * @example
 * ```ts run
 * import { parseOptimizer } from "athanor";
 * const optimizer = parseOptimizer({ adamw: { lr: { cosine: { peak: 3e-4, warmup: 10 } } } }, { steps: 100 });
 * console.log(optimizer.learningRate.describe());
 * ```
 */
export function parseOptimizer(value: unknown, options: CreateOptions = {}): Optimizer {
  const { sgd: one, adam: two, adamw: three } = parseConfig(optimizerSchema, value, "optimizer");
  if (one) return sgd(one as SgdOptions, options);
  if (two) return adam(two as AdamOptions, options);
  return adamw(three as AdamwOptions, options);
}

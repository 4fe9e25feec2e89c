// The optimizers by name: their settings with defaults, and the chain each stands for. What a recipe writes under `optimizer`.
// What surrounds a rule (clipping, penalties, rates by parameter, averages) is the same for all: optimizer-settings.ts.
import { z } from "zod";
import { oneOf, parseConfig, type Varying, varyingSchema } from "../base/index.ts";
import {
  scaleByAdam,
  scaleByAdamax,
  scaleByAdan,
  scaleByAdemamix,
  scaleByMeanSquare,
  scaleByNadam,
  scaleByRadam,
} from "./adam-rules.ts";
import {
  momentum,
  scaleByAdadelta,
  scaleByAdafactor,
  scaleByAdagrad,
  scaleByLion,
  scaleByRmsprop,
} from "./adaptive-rules.ts";
import { scheduleFree } from "./averaging.ts";
import { inEightBits } from "./eight-bit.ts";
import { partition, scaleByMuon, scaleByTrustRatio } from "./layer-rules.ts";
import type { Optimizer, Transform } from "./optimizer.ts";
import {
  type CommonShape,
  type CreateOptions,
  commonSettings,
  createOptimizer,
  type Decay,
  type InCode,
} from "./optimizer-settings.ts";
import { scaleByDistance, scaleByProdigy } from "./prodigy.ts";
import type { ScheduleConfig } from "./schedule-config.ts";
import { selectorSchema } from "./selector.ts";
import { adamwUpdate, lionUpdate, scaleByLearningRate, sgdUpdate } from "./transforms.ts";

const beta = z.number().min(0).lt(1);
const positive = z.number().positive();
const betas = (first: number, second: number) =>
  z.tuple([beta, beta]).default([first, second]).describe("decay of the two running means");
const threeBetas = (...values: [number, number, number]) => z.tuple([beta, beta, beta]).default(values);
const eps = (value: number, where = "added to the root of the second mean") => positive.default(value).describe(where);
const varyingBeta = varyingSchema(beta);
const velocity = (value: number) => varyingBeta.default(value).describe("of the velocity; 0 for none");
const nesterov = z.boolean().default(false).describe("look ahead along the velocity");
const varyingBetas = z
  .tuple([varyingBeta, varyingBeta])
  .default([0.9, 0.999])
  .describe("decay of the two running means");
const adamSettings = { betas: betas(0.9, 0.999), eps: eps(1e-8) };
const varyingAdam = { ...adamSettings, betas: varyingBetas };
const amsgrad = z.boolean().default(false).describe("divide by the largest second mean so far");

const slots = z
  .enum(["full", "8bit"])
  .default("full")
  .describe(
    "how slots are kept; 8bit: one byte a number, in blocks with a scale, for parameters of 4096 numbers or more",
  );

type Settings<S extends z.ZodRawShape> = z.output<z.ZodObject<S>>;
type Options<S extends z.ZodRawShape> = InCode<z.input<z.ZodObject<S & CommonShape>>>;
/** A named optimizer: settings in, chain out. */
export interface Preset<S extends z.ZodRawShape = z.ZodRawShape> {
  (options?: Options<S>, run?: CreateOptions): Optimizer;
  readonly schema: z.ZodType;
}

interface Definition<S extends z.ZodRawShape> {
  /** Default learning rate, and decoupled decay. */
  readonly lr: number;
  readonly weightDecay?: number;
  readonly settings: S;
  /** What is wrong between settings: a message for a key. */
  readonly wrong?: (settings: Settings<S>) => readonly [key: string, message: string] | undefined;
  /** The rule alone; decay and learning rate follow it. */
  readonly rule?: (settings: Settings<S>) => readonly Transform[];
  /** The rule with decay and learning rate, where it has its own order or does all in one pass. */
  readonly whole?: (settings: Settings<S>, decay: Decay) => readonly Transform[];
}

function preset<S extends z.ZodRawShape>(name: string, definition: Definition<S>): Preset<S> {
  const { lr, weightDecay = 0, settings, wrong, rule, whole } = definition;
  const schema = z.strictObject({ ...commonSettings(lr, weightDecay), ...settings }).check(({ value, issues }) => {
    const fault = wrong?.(value as Settings<S>);
    if (fault) issues.push({ code: "custom", path: [fault[0]], message: fault[1], input: true });
  });
  const chain = (config: object, decay: Decay): readonly Transform[] =>
    whole?.(config as Settings<S>, decay) ?? [
      ...rule!(config as Settings<S>),
      ...decay.transforms(),
      scaleByLearningRate(),
    ];
  const create = (options: Options<S> = {} as Options<S>, run: CreateOptions = {}) =>
    createOptimizer({ name, schema, chain, options, run });
  return Object.assign(create, { schema });
}

/** Stochastic gradient descent, with momentum if asked for (Robbins & Monro 1951; Polyak 1964; Sutskever et al. 2013). */
export const sgd = preset("sgd", {
  lr: 0.01,
  settings: { momentum: velocity(0), nesterov },
  wrong: ({ nesterov, momentum }) =>
    nesterov && momentum === 0 ? ["nesterov", "needs a momentum above 0"] : undefined,
  whole: (config, decay) => {
    const { momentum: share, nesterov } = config;
    if (decay.rate === 0 && typeof share === "number")
      return [sgdUpdate({ momentum: share, nesterov, l2: decay.l2, penalized: "all" })];
    const rule = config.momentum === 0 ? [] : [momentum(config.momentum, config)];
    return [...decay.penalty(), ...rule, ...decay.transforms(), scaleByLearningRate()];
  },
});

/** SGD with a velocity; 0.9 unless said otherwise. */
export const momentumSgd: typeof sgd = Object.assign(
  (options: Parameters<typeof sgd>[0] = {}, run?: CreateOptions) => sgd({ momentum: 0.9, ...options }, run),
  { schema: sgd.schema },
);

interface AdamSettings {
  readonly betas: [Varying, Varying];
  readonly eps: number;
  readonly amsgrad: boolean;
  readonly slots: "full" | "8bit";
}
const adamChain = (config: AdamSettings, decay: Decay) => {
  const { beta1, beta2, eps } = adamNumbers(config);
  const { rate, selector } = decay;
  const kept = (rule: Transform) =>
    config.slots === "8bit" ? inEightBits(rule, { signed: ["adam.m"], unsigned: ["adam.v", "adam.largest"] }) : rule;
  if (typeof beta1 === "number" && typeof beta2 === "number" && typeof rate === "number" && !config.amsgrad)
    return [...decay.penalty(), kept(adamwUpdate({ beta1, beta2, eps, weightDecay: rate, decay: selector }))];
  const rule = scaleByAdam({ beta1, beta2, eps }, config);
  return [...decay.penalty(), kept(rule), ...decay.transforms(), scaleByLearningRate()];
};
const adamNumbers = <Beta extends Varying>({ betas: [beta1, beta2], eps }: { betas: [Beta, Beta]; eps: number }) => ({
  beta1,
  beta2,
  eps,
});

/** Adam (Kingma & Ba 2015), with an l2 penalty if asked for; decoupled decay is `adamw`'s. */
export const adam = preset("adam", { lr: 1e-3, settings: { ...varyingAdam, amsgrad, slots }, whole: adamChain });

/** Adam with decoupled weight decay (Loshchilov & Hutter 2019), by default on matrices alone. */
export const adamw = preset("adamw", {
  lr: 1e-3,
  weightDecay: 0.01,
  settings: { ...varyingAdam, amsgrad, slots },
  whole: adamChain,
});

export const adamax = preset("adamax", {
  lr: 2e-3,
  settings: { betas: betas(0.9, 0.999), eps: eps(1e-8, "added to the size of the gradient") },
  rule: (config) => [scaleByAdamax(adamNumbers(config))],
});

export const nadam = preset("nadam", {
  lr: 2e-3,
  settings: {
    ...adamSettings,
    rise: z.number().nonnegative().default(4e-3).describe("how fast the momentum rises from half of its value"),
  },
  rule: (config) => [scaleByNadam(adamNumbers(config), config)],
});

export const radam = preset("radam", {
  lr: 1e-3,
  settings: adamSettings,
  rule: (config) => [scaleByRadam(adamNumbers(config))],
});

export const adan = preset("adan", {
  lr: 1e-3,
  settings: {
    betas: threeBetas(0.98, 0.92, 0.99).describe("decay of the means of gradients, their differences, their squares"),
    eps: eps(1e-8),
  },
  rule: (config) => [scaleByAdan(config)],
});

export const ademamix = preset("ademamix", {
  lr: 1e-3,
  settings: {
    betas: threeBetas(0.9, 0.999, 0.9999).describe("decay of the fast mean, of squares, of the slow mean"),
    eps: eps(1e-8),
    alpha: z.number().nonnegative().default(5).describe("weight of the slow mean"),
    warmup: z.number().int().nonnegative().default(0).describe("updates over which the slow mean comes in"),
  },
  rule: (config) => [scaleByAdemamix(config)],
});

export const adagrad = preset("adagrad", {
  lr: 0.01,
  settings: { eps: eps(1e-10, "added to the root of the sum") },
  rule: (config) => [scaleByAdagrad(config)],
});

const rho = (value: number) => beta.default(value).describe("decay of the running means");

export const adadelta = preset("adadelta", {
  lr: 1,
  settings: { rho: rho(0.9), eps: eps(1e-6, "added under both roots") },
  rule: (config) => [scaleByAdadelta(config)],
});

export const rmsprop = preset("rmsprop", {
  lr: 0.01,
  settings: {
    rho: rho(0.99),
    eps: eps(1e-8),
    centered: z.boolean().default(false).describe("divide by the spread about the mean gradient"),
    momentum: velocity(0),
  },
  rule: (config) => [scaleByRmsprop(config), ...(config.momentum === 0 ? [] : [momentum(config.momentum)])],
});

export const adafactor = preset("adafactor", {
  lr: 0.01,
  settings: {
    power: z.number().negative().default(-0.8).describe("the mean of squares decays by 1 − t^power"),
    eps: z
      .tuple([positive, positive])
      .default([1e-12, 1e-3])
      .describe("smallest mean square, smallest size of a parameter"),
    clipRms: positive.default(1).describe("largest root mean square of an update"),
  },
  rule: (config) => [scaleByAdafactor(config)],
});

export const lion = preset("lion", {
  lr: 1e-4,
  settings: { betas: betas(0.9, 0.99), slots },
  whole: ({ betas: [beta1, beta2], slots }, decay) => {
    const { rate, selector } = decay;
    const kept = (rule: Transform) =>
      slots === "8bit" ? inEightBits(rule, { signed: ["lion.m"], unsigned: [] }) : rule;
    if (typeof rate === "number")
      return [...decay.penalty(), kept(lionUpdate({ beta1, beta2, weightDecay: rate, decay: selector }))];
    return [...decay.penalty(), kept(scaleByLion({ beta1, beta2 })), ...decay.transforms(), scaleByLearningRate()];
  },
});

/** LARS: l2 within the trust ratio, momentum behind the learning rate (You, Gitman & Ginsburg 2017). */
export const lars = preset("lars", {
  lr: 0.1,
  settings: {
    momentum: velocity(0.9),
    nesterov,
    coefficient: positive.default(1e-3).describe("share of its own size that a parameter moves"),
    eps: z.number().nonnegative().default(0).describe("added to the update's norm"),
  },
  whole: (config, decay) => [
    ...decay.penalty(),
    ...decay.transforms(),
    scaleByTrustRatio(config),
    scaleByLearningRate(),
    ...(config.momentum === 0 ? [] : [momentum(config.momentum, config)]),
  ],
});

/** LAMB: Adam and its decay, times a trust ratio (You et al. 2020). */
export const lamb = preset("lamb", {
  lr: 1e-3,
  settings: { betas: varyingBetas, eps: eps(1e-6) },
  whole: (config, decay) => [
    ...decay.penalty(),
    scaleByAdam(adamNumbers(config)),
    ...decay.transforms(),
    scaleByTrustRatio(),
    scaleByLearningRate(),
  ],
});

/** Muon for matrices, AdamW for the rest. Leave embeddings and the head to AdamW by `parameters: [h.*.weight]`. */
export const muon = preset("muon", {
  lr: 1e-3,
  weightDecay: 0.1,
  settings: {
    parameters: selectorSchema
      .default("matrices")
      .describe("parameters with orthogonal updates; the rest have AdamW's"),
    momentum: varyingBeta.default(0.95).describe("of the mean that is made orthogonal"),
    nesterov: nesterov.default(true),
    iterations: z.number().int().positive().default(5).describe("of Newton and Schulz"),
    ...varyingAdam,
  },
  rule: (config) => [partition(config.parameters, [scaleByMuon(config)], [scaleByAdam(adamNumbers(config))])],
});

/** Prodigy: Adam whose rate is an estimate of the way to the solution; `lr` multiplies it (Mishchenko & Defazio 2024). */
export const prodigy = preset("prodigy", {
  lr: 1,
  settings: {
    ...adamSettings,
    distance: positive.default(1e-6).describe("first estimate of the way to the solution; the estimate only rises"),
  },
  whole: (config, decay) => {
    const numbers = { ...adamNumbers(config), distance: config.distance };
    return [
      ...decay.penalty(),
      scaleByProdigy(numbers),
      ...decay.transforms(),
      scaleByDistance(numbers),
      scaleByLearningRate(),
    ];
  },
});

const interpolation = beta.gt(0).default(0.9).describe("share of the average in where gradients are taken");

export const scheduleFreeSgd = preset("scheduleFreeSgd", {
  lr: 0.1,
  settings: { beta: interpolation },
  whole: ({ beta }, decay) => [...decay.penalty(), ...decay.transforms(), scaleByLearningRate(), scheduleFree(beta)],
});

export const scheduleFreeAdamw = preset("scheduleFreeAdamw", {
  lr: 2.5e-3,
  settings: {
    beta: interpolation,
    beta2: beta.default(0.999).describe("decay of the mean of squares"),
    eps: eps(1e-8),
  },
  whole: (config, decay) => [
    ...decay.penalty(),
    scaleByMeanSquare(config),
    ...decay.transforms(),
    scaleByLearningRate(),
    scheduleFree(config.beta),
  ],
});

/** All of them, as a recipe names them. */
const presets = {
  ...{
    sgd,
    adam,
    adamw,
    adamax,
    nadam,
    radam,
    adan,
    ademamix,
    adagrad,
    adadelta,
    rmsprop,
    adafactor,
    lion,
    lars,
    lamb,
  },
  ...{ muon, prodigy, scheduleFreeSgd, scheduleFreeAdamw },
};
export const optimizerNames: readonly string[] = Object.keys(presets);

/** `{ adamw: { lr: 1e-3, … } }`, or a name alone for the defaults. */
export const optimizerSchema = oneOf(
  Object.fromEntries(Object.entries(presets).map(([name, { schema }]) => [name, schema])) as {
    [K in keyof typeof presets]: z.ZodType<
      { readonly lr: ScheduleConfig },
      NonNullable<Parameters<(typeof presets)[K]>[0]>
    >;
  },
  {
    lbfgs:
      "L-BFGS searches along lines over all rows, and has no steps of a run; from code lbfgs(programs, rows) on a small model, here batch: all with adam",
  },
);
export type OptimizerInput = z.input<typeof optimizerSchema>;
export type OptimizerConfig = z.output<typeof optimizerSchema>;

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
  const config = parseConfig(optimizerSchema, value, "optimizer");
  const [name, settings] = Object.entries(config).find(([, given]) => given !== undefined)!;
  return (presets[name as keyof typeof presets] as Preset)(settings as never, options);
}

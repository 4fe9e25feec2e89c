// What every optimizer can be told, whatever its rule: learning rate, penalty and decay, clipping, rates by parameter, averages. And
// how a chain is made of them. Names no rule.
import { z } from "zod";
import { fail, oneOf, parseConfig, type Varying, varyingSchema } from "../base/index.ts";
import { averageByDecay, averageEqually, lookahead } from "./averaging.ts";
import {
  addGradientNoise,
  centralizeGradients,
  clipAdaptively,
  clipByParameterNorm,
  clipByValue,
} from "./gradient-rules.ts";
import { limitWeightNorms, ratesByDepth, ratesBySelector, scaleRates } from "./layer-rules.ts";
import { Optimizer, type OptimizerDescription, type Transform } from "./optimizer.ts";
import type { Schedule } from "./schedule.ts";
import { createSchedule, type ScheduleConfig, scheduleSchema } from "./schedule-config.ts";
import { type ParameterSelector, selectorSchema } from "./selector.ts";
import { addDecayedWeights, clipByGlobalNorm } from "./transforms.ts";

const positive = z.number().positive();
const count = z.number().int();

const clipSchema = z.union([
  positive,
  oneOf({
    norm: positive,
    value: positive,
    parameterNorm: positive,
    adaptive: positive,
  }),
]);

/** Settings that are the same for all optimizers, made once: twenty presets share them. */
const sharedSettings = {
  l2: z.number().nonnegative().default(0).describe("l2 penalty added to the gradient"),
  decay: selectorSchema.default("matrices").describe("parameters that decay: matrices, all, none, or name patterns"),
  clip: clipSchema
    .optional()
    .describe("largest global gradient norm, or { value, parameterNorm or adaptive: … }; left out, no clipping"),
  centralize: z.boolean().default(false).describe("take the mean over the inputs off the gradients of matrices"),
  noise: z
    .strictObject({
      size: positive.describe("variance at the first step"),
      decay: z.number().nonnegative().default(0.55).describe("how fast it falls"),
    })
    .optional()
    .describe("normal noise on gradients, of variance size / (1 + t)^decay"),
  rates: z
    .array(z.strictObject({ select: selectorSchema, by: positive }))
    .default([])
    .describe("factors of the learning rate for selected parameters; of several the last holds"),
  layerDecay: positive.max(1).optional().describe("factor of the learning rate for each block further from the output"),
  maxNorm: positive
    .optional()
    .describe("largest length of the inputs' weights of one output, for matrices: longer ones are shortened"),
  lookahead: z
    .strictObject({
      every: count.positive().default(5).describe("updates between two meetings of slow and fast weights"),
      rate: positive.max(1).default(0.5).describe("share of the way that the slow weights go"),
    })
    .optional()
    .describe("slow weights that go rate of the way every so many updates, and are evaluated"),
  average: oneOf({
    ema: z.strictObject({
      decay: z.number().min(0).lt(1).default(0.999).describe("of the moving average that is evaluated"),
    }),
    swa: z.strictObject({
      start: count.nonnegative().describe("updates before the equal average that is evaluated"),
      every: count.positive().default(1).describe("updates from one weight to the next in it"),
    }),
  })
    .optional()
    .describe("averaged weights to evaluate with: ema: { decay }, or swa: { start, every }"),
  sharpness: z
    .strictObject({
      rho: positive.default(0.05).describe("length of the step up the gradient at whose end gradients are taken"),
      adaptive: z.boolean().default(false).describe("in units of each weight's own size"),
    })
    .optional()
    .describe("two gradients a step: the second one counts, a step up the first"),
  freeze: selectorSchema.default("none").describe("parameters that stay as they are, such as [wte.*]"),
};

/** Settings that all optimizers have; two defaults are each one's own. */
export const commonSettings = (lr: number, weightDecay: number) => ({
  lr: scheduleSchema.default(lr),
  weightDecay: varyingSchema(z.number().nonnegative())
    .default(weightDecay)
    .describe("decoupled decay per unit of learning rate"),
  ...sharedSettings,
});
export type CommonShape = ReturnType<typeof commonSettings>;
type Common = z.output<z.ZodObject<CommonShape>>;

/** In code, a schedule object and selector functions are allowed too. */
export type InCode<T> = Omit<T, "lr" | "decay" | "freeze"> & {
  readonly lr?: (T extends { lr?: infer L } ? L : never) | Schedule;
  readonly decay?: (T extends { decay?: infer D } ? D : never) | ParameterSelector;
  readonly freeze?: ParameterSelector;
};

/** Both ways to hold weights small, for a rule that places them itself. */
export interface Decay {
  /** Coupled: a part of the gradient. */
  readonly l2: number;
  penalty(): Transform[];
  /** Decoupled, on the parameters selected. */
  readonly rate: Varying;
  readonly selector: ParameterSelector;
  transforms(): Transform[];
}

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

export interface CreateOptions {
  /** Length of the run, the `total` of decays that name none. */
  readonly steps?: number;
  /** Factors of the learning rate by parameter, which the model's width brings. */
  readonly factors?: ReadonlyMap<string, number>;
}

interface Parts {
  readonly name: string;
  readonly schema: z.ZodType;
  readonly chain: (config: object, decay: Decay) => readonly Transform[];
  readonly options: object;
  readonly run: CreateOptions;
}

/** The optimizer of a preset. Errors with `config/invalid`. */
export function createOptimizer({ name, schema, chain, options, run }: Parts): Optimizer {
  const { plain, given } = separate(options);
  const config = parseConfig(schema, plain, `optimizer.${name}`) as Common;
  const shown = Object.fromEntries(
    Object.entries(given).map(([key, value]) => [key, key === "lr" ? (value as Schedule).describe() : "function"]),
  );
  const selector = given.decay ?? config.decay;
  const decay: Decay = {
    l2: config.l2,
    penalty: () => (config.l2 === 0 ? [] : [{ ...addDecayedWeights(config.l2), name: "addPenalty" }]),
    rate: config.weightDecay,
    selector,
    transforms: () => (config.weightDecay === 0 ? [] : [addDecayedWeights(config.weightDecay, selector)]),
  };
  const rule = chain(config, decay);
  if (rule.some((transform) => transform.name === "scheduleFree")) refuseBesideAverage(name, config);
  return new Optimizer({
    chain: [...onGradients(config), ...rule, ...onSteps(config, run)],
    learningRate: given.lr ?? createSchedule(config.lr as ScheduleConfig, run.steps, `optimizer.${name}.lr`),
    freeze: given.freeze ?? config.freeze,
    sharpness: config.sharpness,
    config: { [name]: { ...config, ...shown } } as OptimizerDescription,
  });
}

/** Schedule-free evaluates an average that it keeps from every step: what moves weights behind it would leave that where it is. */
function refuseBesideAverage(name: string, config: Common): void {
  const { rates, layerDecay, maxNorm, lookahead: slow, average } = config;
  const behind = { rates: rates.length > 0 ? rates : undefined, layerDecay, maxNorm, lookahead: slow, average };
  const others = Object.entries(behind).filter(([, value]) => value !== undefined);
  if (others.length === 0) return;
  const keys = others.map(([key]) => key).join(", ");
  fail(
    "config/invalid",
    "schedule-free keeps the average that is evaluated, and nothing else may move or average weights",
    {
      where: `optimizer.${name}`,
      expected: "no rates, layerDecay, maxNorm, lookahead or average",
      got: keys,
      fix: `take ${keys} out, or choose sgd or adamw`,
    },
  );
}

function onGradients({ clip, centralize, noise }: Common): Transform[] {
  const { norm, value, parameterNorm, adaptive } = typeof clip === "number" ? { norm: clip } : { ...clip };
  return [
    ...(norm === undefined ? [] : [clipByGlobalNorm(norm)]),
    ...(value === undefined ? [] : [clipByValue(value)]),
    ...(parameterNorm === undefined ? [] : [clipByParameterNorm(parameterNorm)]),
    ...(adaptive === undefined ? [] : [clipAdaptively(adaptive)]),
    ...(centralize ? [centralizeGradients()] : []),
    ...(noise === undefined ? [] : [addGradientNoise(noise)]),
  ];
}

function onSteps(config: Common, { factors }: CreateOptions): Transform[] {
  const { rates, layerDecay, maxNorm, lookahead: slow, average } = config;
  return [
    ...(factors === undefined ? [] : [{ ...scaleRates(() => factors), name: "widthRates" }]),
    ...(layerDecay === undefined ? [] : [{ ...scaleRates(ratesByDepth(layerDecay)), name: "layerDecay" }]),
    ...(rates.length === 0 ? [] : [scaleRates(ratesBySelector(rates))]),
    ...(maxNorm === undefined ? [] : [limitWeightNorms(maxNorm)]),
    ...(slow === undefined ? [] : [lookahead(slow)]),
    ...(average?.ema === undefined ? [] : [averageByDecay(average.ema.decay)]),
    ...(average?.swa === undefined ? [] : [averageEqually(average.swa)]),
  ];
}

// The losses that a recipe can name, by what they are of: classes or numbers. Their formulas are in nn; code may give any other.
import { z } from "zod";
import { distillationSchema, grpoSchema, preferenceMethod, preferenceSchemas, rewardSchemas } from "../align/index.ts";
import { fail, fromNumbers, oneOf, varyingSchema } from "../base/index.ts";
import { constant, currentTrace, type Tensor, take } from "../core/index.ts";
import * as nn from "../nn/index.ts";
import type { ClassificationOptions, RegressionOptions } from "../train/index.ts";

const positive = (meaning: string, standard: number) => z.number().positive().default(standard).describe(meaning);
const margin = positive("by how much the right score must lead", 1);
const weights = z
  .union([z.literal("balanced"), z.record(z.string(), z.number().positive())])
  .optional()
  .describe(
    "of a row's class in training: balanced, the rarer the more and 1 in the mean over the rows; or by class, 1 where none is given",
  );

const classSchemas = {
  crossEntropy: z.strictObject({
    labelSmoothing: varyingSchema(z.number().min(0).lt(1))
      .default(0)
      .describe("share of the target that is spread over all classes, in training"),
    zLoss: z.number().min(0).default(0).describe("times the squared log-sum of the scores is added, in training"),
    weights,
  }),
  focal: z.strictObject({
    gamma: z.number().min(0).default(2).describe("how strongly rows that are right already are played down"),
    weights,
  }),
  hinge: z.strictObject({ margin, weights }),
  squaredHinge: z.strictObject({ margin, weights }),
};
const numberSchemas = {
  meanSquaredError: z.strictObject({}),
  meanAbsoluteError: z.strictObject({}),
  huber: z.strictObject({ delta: positive("in the target's unit: where squared errors become absolute ones", 1) }),
  smoothL1: z.strictObject({ beta: positive("in the target's unit: below it errors are squared", 1) }),
  logCosh: z.strictObject({}),
  quantile: z.strictObject({ q: z.number().gt(0).lt(1).default(0.5).describe("the quantile that is predicted") }),
};

const vectorSchemas = {
  infoNce: z.strictObject({
    temperature: positive("divides the cosines of a batch's pairs", 0.05),
    symmetric: z.boolean().default(true).describe("what is found picks what it is found by, too"),
  }),
};

const textSchemas = { ...preferenceSchemas, ...rewardSchemas, ...vectorSchemas, grpo: grpoSchema };

/** `{ huber: { delta: 0.5 } }`, or a name alone. */
export const lossSchema = oneOf({
  ...classSchemas,
  ...numberSchemas,
  ...textSchemas,
  distillation: distillationSchema,
});
type Chosen = z.output<typeof lossSchema> | undefined;

const each = { reduction: "none" } as const;

/** What a classifier's task lowers, one loss per row. Errors with `config/loss` where it is a loss of numbers. */
export function classificationLoss(chosen: Chosen, classWeights?: readonly number[]): ClassificationOptions {
  refuseOthers(chosen, { ...numberSchemas, ...textSchemas }, Object.keys(classSchemas), "classes");
  const options = lossOf(chosen);
  if (classWeights === undefined) return options;
  const { loss = (x: Tensor, t: Tensor) => nn.crossEntropy(x, t, each) } = options;
  return {
    ...options,
    loss: (logits, target) => {
      const losses = loss(logits, target);
      if (currentTrace().mode !== "train") return losses; // what is evaluated are the rows as they come
      const table = constant(fromNumbers(losses.dtype, [classWeights.length], classWeights));
      return losses.mul(take(table, target.maximum(0))); // rows of −1 have a loss of 0
    },
  };
}

function lossOf(chosen: Chosen): ClassificationOptions {
  const { crossEntropy, focal, hinge, squaredHinge } = chosen ?? {};
  // smoothing and z-loss hold training back; what is evaluated is the cross-entropy itself
  if (crossEntropy && (crossEntropy.labelSmoothing !== 0 || crossEntropy.zLoss > 0)) {
    const { labelSmoothing, zLoss } = crossEntropy;
    const training = { labelSmoothing, zLoss };
    return {
      loss: (logits, target) =>
        nn.crossEntropy(logits, target, { ...(currentTrace().mode === "train" ? training : {}), ...each }),
    };
  }
  if (focal) return { loss: (x, t) => nn.focalLoss(x, t, { gamma: focal.gamma, ...each }) };
  if (hinge) return { loss: (x, t) => nn.hingeLoss(x, t, { margin: hinge.margin, ...each }) };
  if (squaredHinge) {
    const { margin } = squaredHinge;
    return { loss: (x, t) => nn.squaredHingeLoss(x, t, { margin, ...each }) };
  }
  return {};
}

/**
 * What a regression's task lowers, of targets divided by `scale`, and the factor that brings it into the target's unit: log cosh has
 * none, and is told of scaled targets. Errors with `config/loss` where it is a loss of classes.
 */
export function regressionLoss(chosen: Chosen, scale: number): Pick<RegressionOptions, "loss" | "lossScale"> {
  refuseOthers(
    chosen,
    { ...classSchemas, ...textSchemas, distillation: distillationSchema },
    Object.keys(numberSchemas),
    "numbers",
  );
  const { meanAbsoluteError, huber, smoothL1, logCosh, quantile } = chosen ?? {};
  const of = (loss: (p: Tensor, t: Tensor) => Tensor, lossScale: number) => ({ loss, lossScale });
  if (meanAbsoluteError) return of((p, t) => nn.meanAbsoluteError(p, t, each), scale);
  if (huber) return of((p, t) => nn.huberLoss(p, t, { delta: huber.delta / scale, ...each }), scale ** 2);
  if (smoothL1) return of((p, t) => nn.smoothL1Loss(p, t, { beta: smoothL1.beta / scale, ...each }), scale);
  if (logCosh) return of((p, t) => nn.logCoshLoss(p, t, each), 1);
  if (quantile) return of((p, t) => nn.quantileLoss(p, t, { ...quantile, ...each }), scale);
  return {};
}

/** Whether classes are learnt by the loss that a constant answer's is known of. */
export const isCrossEntropy = ({ loss }: { readonly loss?: Chosen }): boolean =>
  loss === undefined || "crossEntropy" in loss;

/** Whether the data are pairs of completions, of which one is preferred. */
export const learnsFromPairs = ({ loss }: { readonly loss?: Chosen }): boolean =>
  preferenceMethod(loss ?? {}) !== undefined;

/** Whether a frozen copy is kept beside the model: an adapter's base needs none. */
export const keepsReference = ({ loss, adapter }: { readonly loss?: Chosen; readonly adapter?: unknown }): boolean =>
  loss?.grpo !== undefined && loss.grpo.beta > 0 && adapter === undefined;

/** False where training adds to the loss that evaluations tell. */
export function isPlain({ loss }: { readonly loss?: Chosen }): boolean {
  const { labelSmoothing = 0, zLoss = 0 } = loss?.crossEntropy ?? {};
  return labelSmoothing === 0 && zLoss === 0;
}

function refuseOthers(chosen: Chosen, others: object, fitting: readonly string[], kind: string): void {
  const [wrong] = Object.keys(chosen ?? {}).filter((name) => name in others);
  if (wrong === undefined) return;
  fail("config/loss", `${wrong} is no loss of ${kind}, which these data are`, {
    where: `loss.${wrong}`,
    expected: `one of ${fitting.join(", ")}`,
    got: wrong,
    fix: "choose one of them, or leave loss out; data.task says whether a table's target is a class or a number",
  });
}

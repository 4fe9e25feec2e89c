// The losses that a recipe can name, by what they are of: classes or numbers. Their formulas are in nn; code may give any other.
import { z } from "zod";
import { fail, oneOf, varyingSchema } from "../base/index.ts";
import { currentTrace, type Tensor } from "../core/index.ts";
import * as nn from "../nn/index.ts";
import type { ClassificationOptions, RegressionOptions } from "../train/index.ts";

const positive = (meaning: string, standard: number) => z.number().positive().default(standard).describe(meaning);
const margin = positive("by how much the right score must lead", 1);

const classSchemas = {
  crossEntropy: z.strictObject({
    labelSmoothing: varyingSchema(z.number().min(0).lt(1))
      .default(0)
      .describe("share of the target that is spread over all classes, in training"),
    zLoss: z.number().min(0).default(0).describe("times the squared log-sum of the scores is added, in training"),
  }),
  focal: z.strictObject({
    gamma: z.number().min(0).default(2).describe("how strongly rows that are right already are played down"),
  }),
  hinge: z.strictObject({ margin }),
  squaredHinge: z.strictObject({ margin }),
};
const numberSchemas = {
  meanSquaredError: z.strictObject({}),
  meanAbsoluteError: z.strictObject({}),
  huber: z.strictObject({ delta: positive("in the target's unit: where squared errors become absolute ones", 1) }),
  smoothL1: z.strictObject({ beta: positive("in the target's unit: below it errors are squared", 1) }),
  logCosh: z.strictObject({}),
  quantile: z.strictObject({ q: z.number().gt(0).lt(1).default(0.5).describe("the quantile that is predicted") }),
};

/** `{ huber: { delta: 0.5 } }`, or a name alone. */
export const lossSchema = oneOf({ ...classSchemas, ...numberSchemas });
type Chosen = z.output<typeof lossSchema> | undefined;

const each = { reduction: "none" } as const;

/** What a classifier's task lowers, one loss per row. Errors with `config/loss` where it is a loss of numbers. */
export function classificationLoss(chosen: Chosen): ClassificationOptions {
  refuseOthers(chosen, numberSchemas, Object.keys(classSchemas), "classes");
  const { crossEntropy, focal, hinge, squaredHinge } = chosen ?? {};
  // smoothing and z-loss hold training back; what is evaluated is the cross-entropy itself
  if (crossEntropy && (crossEntropy.labelSmoothing !== 0 || crossEntropy.zLoss > 0))
    return {
      loss: (logits, target) =>
        nn.crossEntropy(logits, target, { ...(currentTrace().mode === "train" ? crossEntropy : {}), ...each }),
    };
  if (focal) return { loss: (x, t) => nn.focalLoss(x, t, { ...focal, ...each }), inNats: false };
  if (hinge) return { loss: (x, t) => nn.hingeLoss(x, t, { ...hinge, ...each }), inNats: false };
  if (squaredHinge) return { loss: (x, t) => nn.squaredHingeLoss(x, t, { ...squaredHinge, ...each }), inNats: false };
  return {};
}

/**
 * What a regression's task lowers, of targets divided by `scale`, and the factor that brings it into the target's unit: log cosh has
 * none, and is told of scaled targets. Errors with `config/loss` where it is a loss of classes.
 */
export function regressionLoss(chosen: Chosen, scale: number): Pick<RegressionOptions, "loss" | "lossScale"> {
  refuseOthers(chosen, classSchemas, Object.keys(numberSchemas), "numbers");
  const { meanAbsoluteError, huber, smoothL1, logCosh, quantile } = chosen ?? {};
  const of = (loss: (p: Tensor, t: Tensor) => Tensor, lossScale: number) => ({ loss, lossScale });
  if (meanAbsoluteError) return of((p, t) => nn.meanAbsoluteError(p, t, each), scale);
  if (huber) return of((p, t) => nn.huberLoss(p, t, { delta: huber.delta / scale, ...each }), scale ** 2);
  if (smoothL1) return of((p, t) => nn.smoothL1Loss(p, t, { beta: smoothL1.beta / scale, ...each }), scale);
  if (logCosh) return of((p, t) => nn.logCoshLoss(p, t, each), 1);
  if (quantile) return of((p, t) => nn.quantileLoss(p, t, { ...quantile, ...each }), scale);
  return {};
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

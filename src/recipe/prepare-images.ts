// Images with a class each, read as rows of numbers: what a perceptron learns from.
import { createHash } from "node:crypto";
import { prepareImages, readImageEncoder } from "../data/index.ts";
import { modelFamily } from "../models/index.ts";
import { classificationTask, type RowTypes } from "../train/index.ts";
import { evaluationRows, heldOutBatches, trainingSource, withFloats } from "./batches.ts";
import { chosenModel } from "./chosen-model.ts";
import { classificationLoss, isCrossEntropy, isPlain } from "./loss.ts";
import { counted } from "./notes.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";
import { imageWarnings } from "./suspicions.ts";

/** Whether a recipe's data are images. */
export function readsImages({ data: { path = "" } }: Recipe): boolean {
  return /idx\d-ubyte(\.gz)?$/.test(path);
}

export async function prepareImageRows(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { data, seed } = recipe;
  const saved = options.files?.get("images.json");
  const fitted = saved === undefined ? {} : { encoder: readImageEncoder(saved) };
  const share = data.heldOutPath === undefined ? data.heldOut : 0;
  const { train, encoder, ...own } = await prepareImages(data.path!, { validation: share, seed, ...fitted });
  const other = data.heldOutPath === undefined ? undefined : await prepareImages(data.heldOutPath, { encoder });
  const validation = other?.train ?? own.validation;
  const [family, config] = chosenModel(recipe);
  const features = encoder.shape.reduce((product, size) => product * size, 1);
  const { classes } = encoder;
  const built = modelFamily(family).build(config, { task: "classification", features, outputs: classes.length });
  options.onNote?.(
    `${counted(train.length, "image")} of ${encoder.shape.join(" × ")} in ${classes.length} classes, ${counted(validation.length, "image")} held out`,
  );
  const dtype = recipe.precision === "f64" ? "f64" : "f32";
  const inputs: RowTypes = { features: { dtype, shape: [features] } };
  return {
    family,
    built,
    classes,
    task: classificationTask(inputs, classificationLoss(recipe.loss)),
    ...trainingSource(withFloats(train, dtype), recipe, { order: "shuffled" }),
    heldOut: () => heldOutBatches(withFloats(validation, dtype), evaluationRows(recipe)),
    baseline: isCrossEntropy(recipe) ? Math.log(classes.length) : undefined,
    isSameLoss: isPlain(recipe),
    warnings: saved === undefined ? await imageWarnings(train, validation, data.path!) : [],
    dataHash: other === undefined ? own.sha256 : hashOf([own.sha256, other.sha256]),
    files: { "images.json": JSON.stringify(encoder) },
  };
}

/** One hash for training data and for what they are judged on. */
export function hashOf(hashes: readonly string[]): string {
  return createHash("sha256").update(hashes.join()).digest("hex");
}

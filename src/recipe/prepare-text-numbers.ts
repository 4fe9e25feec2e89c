// Texts with a number each, for a model that reads the number off the text: read, split, tokenized, the numbers brought to one unit.
import { prepareTextNumbers, specialIds, type TargetUnit } from "../data/index.ts";
import { modelFamily } from "../models/index.ts";
import { regressionTask } from "../train/index.ts";
import { evaluationRows, heldOutBatches, trainingSource, withFloats } from "./batches.ts";
import { regressionLoss } from "./loss.ts";
import { counted, tellInvalid } from "./notes.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import { hashOf } from "./prepare-images.ts";
import { labelledTexts, withMarkedPadding } from "./prepare-text-classes.ts";
import type { Recipe } from "./schema.ts";
import { textWarnings } from "./suspicions.ts";

export async function prepareTextsWithNumbers(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { data, loss } = recipe;
  const { family, config, isFramed, input, settings, textColumn } = labelledTexts(recipe, options, "regression");
  const saved = JSON.parse(options.files?.get("model.json") ?? "{}") as { readonly unit?: TargetUnit };
  const read = await prepareTextNumbers(input, { ...settings, unit: saved.unit });
  const { train, tokenizer, unit, sha256, ...report } = read;
  const other =
    data.heldOutPath === undefined
      ? undefined
      : await prepareTextNumbers({ path: data.heldOutPath }, { ...settings, tokenizer, unit });
  const validation = other?.train ?? read.validation;
  const built = modelFamily(family).build(config, {
    task: "regression",
    vocab: isFramed ? specialIds(tokenizer).size : tokenizer.vocabSize,
    outputs: 1,
  });
  const [mean, deviation] = [unit.mean, unit.scale].map((one) => one.toPrecision(4));
  options.onNote?.(
    `${counted(train.length + validation.length, "text")} with a number each, of mean ${mean} and deviation ${deviation} in training`,
  );
  tellInvalid(report, options.onNote);
  const dtype = recipe.precision === "f64" ? "f64" : "f32";
  const rows = (part: typeof train) => withFloats(withMarkedPadding(part), dtype);
  const isSquared = loss === undefined || "meanSquaredError" in loss;
  return {
    family,
    built,
    textColumn,
    unit,
    task: regressionTask(built.inputs, { dtype, targetScale: unit.scale, ...regressionLoss(loss, unit.scale) }),
    ...trainingSource(rows(train), recipe, { order: "shuffled" }),
    heldOut: () => heldOutBatches(rows(validation), evaluationRows(recipe)),
    heldOutRows: { kind: "numbers", rows: other?.rows ?? read.heldOut },
    baseline: isSquared ? unit.scale ** 2 : undefined,
    warnings: options.files === undefined ? await textWarnings(train, validation, { path: data.path, family }) : [],
    dataHash: other === undefined ? sha256 : hashOf([sha256, other.sha256]),
    tokenizer,
    files: { "tokenizer.json": JSON.stringify(tokenizer) },
  };
}

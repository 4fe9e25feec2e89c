// Tables for classification and regression: read, split, fitted on the training part, encoded.
import { prepareTable, TableEncoder, type TableInput, type TableRecord } from "../data/index.ts";
import { modelFamily } from "../models/index.ts";
import { classificationTask, type RowTypes, regressionTask } from "../train/index.ts";
import { evaluationRows, heldOutBatches, trainingSource, withFloats } from "./batches.ts";
import { chosenModel } from "./chosen-model.ts";
import { classWeights } from "./class-weights.ts";
import { given, readingSettings } from "./given.ts";
import { classificationLoss, isCrossEntropy, isPlain, regressionLoss } from "./loss.ts";
import { counted, tellTable } from "./notes.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import { hashOf } from "./prepare-images.ts";
import type { Recipe } from "./schema.ts";
import { entropy } from "./survey.ts";
import { tableWarnings } from "./suspicions.ts";

export async function prepareTableData(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { data } = recipe;
  const input: TableInput<TableRecord> =
    data.path === undefined ? { records: data.rows as Iterable<TableRecord> } : { path: data.path };
  const saved = options.files?.get("table.json");
  const settings = {
    seed: recipe.seed,
    invalid: data.invalid,
    missing: data.missing,
    columns: data.columns,
    standardizeTarget: true,
    ...given(data, ["target", "bins", "missingTarget", "notFinite"]),
    ...(data.task === "classification" || data.task === "regression" ? { task: data.task } : {}),
    ...given(data, readingSettings),
  };
  const fitted = saved === undefined ? {} : { encoder: TableEncoder.parse(saved) };
  const share = data.heldOutPath === undefined ? data.heldOut : 0;
  const table = await prepareTable(input, { ...settings, ...fitted, validation: share });
  const { encoder, train } = table;
  const other =
    data.heldOutPath === undefined
      ? undefined
      : await prepareTable({ path: data.heldOutPath }, { ...settings, encoder, validation: 0 });
  const validation = other?.train ?? table.validation;
  const { target } = encoder.data;
  const outputs = target.task === "classification" ? target.classes.length : 1;
  const [family, config] = chosenModel(recipe);
  const built = modelFamily(family).build(config, { task: target.task, features: encoder.numFeatures, outputs });
  options.onNote?.(
    `${counted(table.report.rows, "row")}, ${counted(encoder.numFeatures, "feature")}, ${target.task === "classification" ? `${outputs} classes` : "regression"}`,
  );
  tellTable(table.report, options.onNote);
  const dtype = recipe.precision === "f64" ? "f64" : "f32";
  const inputs: RowTypes = Object.fromEntries(
    Object.entries(built.inputs).map(([name, type]) => [name, type.dtype === "f32" ? { ...type, dtype } : type]),
  );
  return {
    family,
    built,
    ...(target.task === "classification" ? { classes: target.classes } : {}),
    task:
      target.task === "classification"
        ? classificationTask(inputs, classificationLoss(recipe.loss, await classWeights(recipe, target.classes, train)))
        : regressionTask(inputs, { dtype, targetScale: target.scale, ...regressionLoss(recipe.loss, target.scale) }),
    ...trainingSource(withFloats(train, dtype), recipe, { order: "shuffled" }),
    heldOut: () => heldOutBatches(withFloats(validation, dtype), evaluationRows(recipe)),
    ...(target.task === "classification"
      ? { baseline: isCrossEntropy(recipe) ? entropy(train.targets) : undefined, isSameLoss: isPlain(recipe) }
      : { baseline: recipe.loss === undefined || "meanSquaredError" in recipe.loss ? target.scale ** 2 : undefined }),
    warnings: saved === undefined ? await tableWarnings(train, validation, encoder.data, data.path ?? "data.rows") : [],
    dataHash: other === undefined ? table.report.sha256 : hashOf([table.report.sha256, other.report.sha256]),
    files: { "table.json": JSON.stringify(encoder) },
  };
}

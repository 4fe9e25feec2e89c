// Tables for classification and regression: read, split, fitted on the training part, encoded.
import { prepareTable, type TableInput, type TableRecord } from "../data/index.ts";
import { modelFamily } from "../models/index.ts";
import { classificationTask, regressionTask } from "../train/index.ts";
import { heldOutBatches, trainingSource } from "./batches.ts";
import { chosenModel } from "./chosen-model.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";

export async function prepareTableData(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { data } = recipe;
  const input: TableInput<TableRecord> =
    data.path === undefined ? { records: data.rows as Iterable<TableRecord> } : { path: data.path };
  const table = await prepareTable(input, {
    validation: data.heldOut,
    seed: recipe.seed,
    invalid: data.invalid,
    missing: data.missing,
    columns: data.columns,
    ...(data.target === undefined ? {} : { target: data.target }),
    ...(data.task === undefined ? {} : { task: data.task }),
    ...(data.header === undefined ? {} : { header: data.header }),
    ...(data.format === "csv" || data.format === "jsonl" ? { format: data.format } : {}),
  });
  const { encoder, train, validation } = table;
  const outputs = encoder.task === "classification" ? table.classNames.length : 1;
  const [name, config] = chosenModel(recipe);
  const built = modelFamily(name).build(config, {
    task: encoder.task,
    features: encoder.numFeatures,
    outputs,
  });
  options.onNote?.(
    `${table.report.rows} rows, ${encoder.numFeatures} features, ${encoder.task === "classification" ? `${outputs} classes` : "regression"}`,
  );
  const dtype = recipe.precision === "f64" ? "f64" : "f32";
  return {
    family: name,
    built,
    ...(encoder.task === "classification" ? { classes: table.classNames.map(String) } : {}),
    task: encoder.task === "classification" ? classificationTask(built.inputs) : regressionTask(built.inputs, dtype),
    source: trainingSource(train, recipe, { order: "shuffled" }),
    heldOut: () => heldOutBatches(validation, recipe.eval.batch ?? recipe.batch.size),
    dataHash: table.report.sha256,
    files: { "table.json": JSON.stringify(encoder) },
  };
}

// Labelled texts for a text classifier: read, split by class, tokenized to one length. Texts with a number each are in prepare-text-numbers.ts.
import { fail } from "../base/index.ts";
import {
  type DatasetOfLengths,
  prepareTextClassification,
  specialIds,
  type TableInput,
  type TextClassBatch,
  type TextClassOptions,
} from "../data/index.ts";
import { modelFamily } from "../models/index.ts";
import { classificationTask } from "../train/index.ts";
import { evaluationRows, heldOutBatches, trainingSource } from "./batches.ts";
import { chosenModel, contextOf } from "./chosen-model.ts";
import { classWeights } from "./class-weights.ts";
import { given, readingSettings } from "./given.ts";
import { classificationLoss, isCrossEntropy, isPlain } from "./loss.ts";
import { counted, firstOf, tellInvalid } from "./notes.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";
import { entropy } from "./survey.ts";
import { textWarnings } from "./suspicions.ts";
import { tokenizerSpec } from "./text-data.ts";

type Row = Record<string, string>;

/** Where a recipe's labelled texts are, and how they are read for a task. Errors with `config/target`. */
export function labelledTexts(recipe: Recipe, options: PrepareOptions, task: "classification" | "regression") {
  const { data } = recipe;
  const [family, config] = chosenModel(recipe);
  const { isFramed = false } = modelFamily(family);
  const input: TableInput<Row> =
    data.path === undefined ? { records: data.rows as Iterable<Row> | AsyncIterable<Row> } : { path: data.path };
  const { target: label = "label", text: textColumn = "text" } = data;
  if (typeof label === "number") {
    fail("config/target", "the column of the labels is given by its name", {
      where: "data.target",
      expected: "a column's name",
      got: String(label),
      fix: "name the column; a file without names has column1, column2, ...",
    });
  }
  const settings: TextClassOptions<Row, string> = {
    text: textColumn,
    label,
    tokenizer: tokenizerSpec(recipe.tokenizer ?? "byte", options),
    length: contextOf(family, config, task),
    framed: isFramed,
    validation: data.heldOutPath === undefined ? data.heldOut : 0,
    seed: recipe.seed,
    invalid: data.invalid,
    ...given(data, readingSettings),
  };
  return { family, config, isFramed, input, settings, textColumn };
}

export async function prepareTextClasses(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { data } = recipe;
  const { family, config, isFramed, input, settings, textColumn } = labelledTexts(recipe, options, "classification");
  const read = await prepareTextClassification<Row, string>(input, settings);
  const { train, tokenizer, classNames, sha256, ...report } = read;
  const classes = classNames.map(String);
  const other =
    data.heldOutPath === undefined
      ? undefined
      : await prepareTextClassification<Row, string>({ path: data.heldOutPath }, { ...settings, tokenizer, classes });
  const validation = other?.train ?? read.validation;
  const built = modelFamily(family).build(config, {
    task: "classification",
    vocab: isFramed ? specialIds(tokenizer).size : tokenizer.vocabSize,
    outputs: classes.length,
  });
  options.onNote?.(
    `${counted(train.length + validation.length, "text")} in ${classes.length} classes: ${firstOf(classes)}`,
  );
  tellInvalid(report, options.onNote);
  return {
    family,
    built,
    classes,
    textColumn,
    task: classificationTask(built.inputs, classificationLoss(recipe.loss, await classWeights(recipe, classes, train))),
    ...trainingSource(withMarkedPadding(train), recipe, { order: "shuffled" }),
    heldOut: () => heldOutBatches(withMarkedPadding(validation), evaluationRows(recipe)),
    baseline: isCrossEntropy(recipe) ? entropy(train.targets) : undefined,
    isSameLoss: isPlain(recipe),
    warnings: options.files === undefined ? await textWarnings(train, validation, { path: data.path, family }) : [],
    dataHash: sha256,
    tokenizer,
    files: { "tokenizer.json": JSON.stringify(tokenizer) },
  };
}

/** Padding as token −1, which models of texts leave out, in place of a mask. */
export function withMarkedPadding(dataset: DatasetOfLengths<TextClassBatch>): DatasetOfLengths {
  return {
    unit: dataset.unit,
    length: dataset.length,
    fingerprint: dataset.fingerprint,
    lengthsOf: (position) => dataset.lengthsOf(position),
    collate: async (positions) => {
      const { tokens, mask, targets } = await dataset.collate(positions);
      const data = (tokens.data as Int32Array).map((token, at) => (mask.data[at] ? token : -1));
      return { tokens: { ...tokens, data }, targets };
    },
  };
}

// Questions with texts to choose from, for a model that scores each: read, split, tokenized as one row for each choice.
import { ChoiceDataset, type ChoiceRow, makeTokenizer, readChoiceFile, specialIds, splitRows } from "../data/index.ts";
import { modelFamily } from "../models/index.ts";
import { classificationTask } from "../train/index.ts";
import { evaluationRows, heldOutBatches, trainingSource } from "./batches.ts";
import { chosenModel } from "./chosen-model.ts";
import { counted, tellInvalid } from "./notes.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import { hashOf } from "./prepare-images.ts";
import type { Recipe } from "./schema.ts";
import { textWarnings } from "./suspicions.ts";
import { tokenizerSpec } from "./text-data.ts";

export async function prepareChoices(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { data, seed } = recipe;
  const reading = { invalid: data.invalid };
  const input = data.path === undefined ? { records: data.rows! } : { path: data.path };
  const { rows, sha256: own, ...report } = await readChoiceFile(input, reading);
  const other = data.heldOutPath === undefined ? undefined : await readChoiceFile({ path: data.heldOutPath }, reading);
  const split = splitRows(rows.length, { validation: other === undefined ? data.heldOut : 0, seed });
  const train = split.train.map((at) => rows[at]!);
  const heldOut = other?.rows ?? split.validation.map((at) => rows[at]!);
  const all = [...rows, ...(other?.rows ?? [])];
  const written = (some: readonly ChoiceRow[]) => some.flatMap(({ question, choices }) => [question, ...choices]);
  const spec = tokenizerSpec(recipe.tokenizer ?? "byte", options);
  const tokenizer = await makeTokenizer(spec, written(train), written(all));
  const [family, config] = chosenModel(recipe);
  const { isFramed = false } = modelFamily(family);
  const built = modelFamily(family).build(config, {
    task: "multiple-choice",
    vocab: isFramed ? specialIds(tokenizer).size : tokenizer.vocabSize,
    outputs: all.reduce((longest, { choices }) => Math.max(longest, choices.length), 0),
  });
  const [most, length] = built.inputs.tokens!.shape as [number, number];
  const sha256 = other === undefined ? own : hashOf([own, other.sha256]);
  const part = (some: readonly ChoiceRow[], name: string) => {
    const fingerprint = hashOf([sha256, tokenizer.hash, name, String([most, length, isFramed, data.heldOut, seed])]);
    return new ChoiceDataset(some, { tokenizer, length, isFramed, most }, fingerprint.slice(0, 16));
  };
  const [trained, held] = [part(train, "train"), part(heldOut, "held out")];
  const chance = heldOut.reduce((sum, { choices }) => sum + 1 / choices.length, 0) / Math.max(1, heldOut.length);
  options.onNote?.(
    `${counted(all.length, "question")} of up to ${most} choices; by chance ${(100 * chance).toFixed(1)} % of those held out are right`,
  );
  tellInvalid(report, options.onNote);
  return {
    family,
    built,
    task: { ...classificationTask(built.inputs), name: "multiple-choice" },
    ...trainingSource(trained, recipe, { order: "shuffled" }),
    heldOut: () => heldOutBatches(held, evaluationRows(recipe)),
    heldOutRows: { kind: "choices", rows: heldOut },
    baseline: train.reduce((sum, { choices }) => sum + Math.log(choices.length), 0) / Math.max(1, train.length),
    warnings: options.files === undefined ? await textWarnings(trained, held, { path: data.path, family }) : [],
    dataHash: sha256,
    tokenizer,
    files: { "tokenizer.json": JSON.stringify(tokenizer) },
  };
}

// Pairs of texts for a model that writes one from the other: read, split by source, tokenized.
import { fail } from "../base/index.ts";
import { prepareTextPairs, type TableInput, type TextPairDataset } from "../data/index.ts";
import { modelFamily, type SequenceConfig } from "../models/index.ts";
import { sequenceTask } from "../train/index.ts";
import { evaluationRows, heldOutBatches, trainingSource } from "./batches.ts";
import { chosenModel } from "./chosen-model.ts";
import { given, readingSettings } from "./given.ts";
import { classificationLoss, isCrossEntropy, isPlain } from "./loss.ts";
import { counted, tellInvalid } from "./notes.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";
import { tokenizerSpec } from "./text-data.ts";

export async function prepareSequences(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { data } = recipe;
  const [family, config] = chosenModel(recipe);
  const build = (vocab: number) => modelFamily(family).build(config, { task: "sequence-to-sequence", vocab });
  const input: TableInput<Record<string, string>> =
    data.path === undefined ? { records: data.rows as Iterable<Record<string, string>> } : { path: data.path };
  const { target = "target", text: source = "source" } = data;
  if (typeof target === "number")
    fail("config/target", "the column of the targets is given by its name", {
      where: "data.target",
      expected: "a column's name",
      got: String(target),
      fix: "name the column; a file without names has column1, column2, ...",
    });
  if (recipe.loss?.crossEntropy?.weights !== undefined)
    fail("config/unread", "tokens have no weights", {
      where: "loss.crossEntropy.weights",
      expected: "weights for classes of rows alone",
      got: "weights for a model that writes texts",
      fix: "take them out",
    });
  const { train, validation, heldOut, numShared, tokenizer, sha256, ...report } = await prepareTextPairs(input, {
    ...{ source, target, validation: data.heldOut, seed: recipe.seed, invalid: data.invalid },
    heldOut: data.heldOutPath === undefined ? undefined : { path: data.heldOutPath },
    tokenizer: tokenizerSpec(recipe.tokenizer ?? "char", options),
    layout: ({ vocabSize }) => build(vocabSize).config as SequenceConfig,
    ...given(data, readingSettings),
  });
  const built = build(tokenizer.vocabSize);
  options.onNote?.(
    `${counted(train.length + validation.length, "pair")} of texts, ${tokenizer.vocabSize} kinds of token`,
  );
  tellInvalid(report, options.onNote);
  if (numShared > 0)
    options.onNote?.(`left out of training, since data.heldOutPath has their sources: ${counted(numShared, "pair")}`);
  const cut = train.cut + validation.cut;
  if (cut > 0 && options.files === undefined)
    options.onNote?.(
      `${counted(cut, "pair")} of ${train.length + validation.length} longer than the model reads or writes are cut off: model.${family}.context, targetContext`,
    );
  return {
    family,
    built,
    textColumn: source,
    task: sequenceTask(built.inputs, { ...classificationLoss(recipe.loss), inNats: isCrossEntropy(recipe) }),
    ...trainingSource(train, recipe, { order: "shuffled" }),
    heldOutPairs: heldOut,
    heldOut: () => heldOutBatches(validation, evaluationRows(recipe)),
    baseline: isCrossEntropy(recipe) ? targetEntropy(train) : undefined,
    isSameLoss: isPlain(recipe),
    warnings: [],
    dataHash: sha256,
    tokenizer,
    files: { "tokenizer.json": JSON.stringify(tokenizer) },
  };
}

/** Loss of the best guess that knows nothing of the source or of the text so far. */
function targetEntropy(data: TextPairDataset): number {
  const counts = [...data.counts().values()];
  const total = counts.reduce((sum, count) => sum + count, 0);
  return counts.reduce((sum, count) => sum - (count / total) * Math.log(count / total), 0);
}

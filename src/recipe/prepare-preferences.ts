// Preference pairs for a language model: read, split, encoded; what the reference thinks of them comes before the first step.
import {
  preferenceMethod,
  preferenceTask,
  preparePreferences,
  referenceFile,
  sidesOf,
  writeReference,
} from "../align/index.ts";
import { type Batch, type Dataset, type JsonInput, tokenizerConfig, tokenizerConfigName } from "../data/index.ts";
import { modelFamily } from "../models/index.ts";
import { evaluationRows, heldOutBatches, trainingSource, withFloats } from "./batches.ts";
import { chatTemplate } from "./chat.ts";
import { chosenModel, contextOf, roomOf } from "./chosen-model.ts";
import { counted, tellInvalid } from "./notes.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";
import { tokenizerSpec } from "./text-data.ts";

export async function preparePairs(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { data } = recipe;
  const [family, config] = chosenModel(recipe);
  const method = preferenceMethod(recipe.loss ?? {})!;
  const sides = sidesOf(method);
  const input: JsonInput =
    data.path === undefined
      ? { records: data.rows as Iterable<unknown> | AsyncIterable<unknown> }
      : { path: data.path };
  const { train, validation, tokenizer, format, width, cut, sha256, ...report } = await preparePreferences(input, {
    tokenizer: tokenizerSpec(recipe.tokenizer ?? "byte", options),
    context: roomOf(contextOf(family, config, "language-model"), recipe),
    sides,
    chat: data.chat === undefined ? undefined : { ...data.chat, template: await chatTemplate(recipe, options) },
    validation: data.heldOut,
    seed: recipe.seed,
    invalid: data.invalid,
  });
  const built = modelFamily(family).build(config, { task: "language-model", vocab: tokenizer.vocabSize });
  const dtype = recipe.precision === "f64" ? "f64" : "f32";
  options.onNote?.(
    `${counted(train.length + validation.length, "pair")}, the longest of ${counted(width + 1, "token")}${cut === 0 ? "" : `; ${counted(cut, "pair was", "pairs were")} cut to it`}`,
  );
  tellInvalid(report, options.onNote);
  const floats = (dataset: Dataset<Batch>) => withFloats(dataset, dtype);
  return {
    family,
    built,
    task: preferenceTask(method, width, dtype),
    ...trainingSource(floats(train), recipe, { order: "shuffled" }),
    heldOut: () => heldOutBatches(floats(validation), evaluationRows(recipe)),
    baseline: method.lossAtFirst,
    warnings: [],
    dataHash: sha256,
    tokenizer,
    ...(format === undefined ? {} : { chat: format }),
    files: {
      "tokenizer.json": JSON.stringify(tokenizer),
      ...(format === undefined ? {} : { [tokenizerConfigName]: tokenizerConfig(format.template) }),
    },
    ...(method.hasReference
      ? {
          begin: async (programs, files) => {
            const saved = files?.get(referenceFile);
            const parts = { train, validation };
            return { [referenceFile]: await writeReference(parts, programs, { ...method, sides, saved }) };
          },
        }
      : {}),
  };
}

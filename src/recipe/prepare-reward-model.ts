// Preference pairs for a reward model: the same rows, each text read whole.
import { preparePreferences, rewardTask, wholeTexts } from "../align/index.ts";
import { fail } from "../base/index.ts";
import { modelFamily } from "../models/index.ts";
import { evaluationRows, heldOutBatches, trainingSource } from "./batches.ts";
import { chosenModel, contextOf } from "./chosen-model.ts";
import { counted, tellInvalid } from "./notes.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";
import { tokenizerSpec } from "./text-data.ts";

export async function prepareRewardModel(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { data } = recipe;
  const [family, config] = chosenModel(recipe);
  if (!modelFamily(family).tasks.includes("regression"))
    fail("config/loss", "this model gives no number for a text", {
      where: "loss.bradleyTerry",
      expected: "a model such as gpt or llama",
      got: family,
    });
  const context = contextOf(family, config, "regression");
  const { train, validation, tokenizer, width, cut, sha256, ...report } = await preparePreferences(
    data.path === undefined ? { records: data.rows! } : { path: data.path },
    {
      tokenizer: tokenizerSpec(recipe.tokenizer ?? "byte", options),
      context: context - 1, // a row has one token less than its text
      sides: ["chosen", "rejected"],
      ...{ validation: data.heldOut, seed: recipe.seed, invalid: data.invalid },
    },
  );
  const built = modelFamily(family).build(config, { task: "regression", vocab: tokenizer.vocabSize, outputs: 1 });
  options.onNote?.(
    `${counted(train.length + validation.length, "pair")}, the longest of ${counted(width + 1, "token")}${cut === 0 ? "" : `; ${counted(cut, "pair was", "pairs were")} cut to it`}`,
  );
  tellInvalid(report, options.onNote);
  const texts = { train: wholeTexts(train, width + 1), heldOut: wholeTexts(validation, width + 1) };
  return {
    family,
    built,
    task: rewardTask(width + 1),
    ...trainingSource(texts.train, recipe, { order: "shuffled" }),
    heldOut: () => heldOutBatches(texts.heldOut, evaluationRows(recipe)),
    baseline: Math.LN2,
    warnings: [],
    dataHash: sha256,
    tokenizer,
    files: { "tokenizer.json": JSON.stringify(tokenizer) },
  };
}

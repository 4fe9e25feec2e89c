// Text for masked language modelling: read, split, tokenized, cut into windows of which words are hidden.
import { MaskedWindows, specialIds, wordParts } from "../data/index.ts";
import { modelFamily } from "../models/index.ts";
import { maskedLanguageModelTask } from "../train/index.ts";
import { evaluationRows, heldOutBatches, trainingSource } from "./batches.ts";
import { chosenModel } from "./chosen-model.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import { tellText, textFacts } from "./prepare-text.ts";
import type { Recipe } from "./schema.ts";
import { textData } from "./text-data.ts";

export async function prepareMaskedText(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const text = await textData(recipe, options);
  const { train, validation, tokenizer, report } = text;
  const [family, config] = chosenModel(recipe);
  const special = specialIds(tokenizer);
  const { wholeWords, ...shares } = recipe.data.masking;
  const built = modelFamily(family).build(config, { task: "masked-language-model", vocab: special.size });
  const context = built.inputs.tokens!.shape[0]!;
  tellText(report, train, options);
  const close = async () => void (await Promise.all([train.close(), validation.close()]));
  try {
    const masking = { ...shares, words: wholeWords ? wordParts(tokenizer) : undefined };
    const shared = { ...masking, context, special, seed: recipe.seed };
    const windows = new MaskedWindows(train, {
      ...shared,
      order: recipe.batch.size === "all" ? "sequential" : "random",
    });
    const heldOut = new MaskedWindows(validation, { ...shared, order: "sequential" });
    return {
      family,
      built,
      task: maskedLanguageModelTask(context, windows.numPlaces),
      ...trainingSource(windows, recipe, { order: "random", samplesPerEpoch: train.length / (context - 2) }),
      rows: { train: windows, heldOut, order: "random" },
      heldOut: () => heldOutBatches(heldOut, evaluationRows(recipe)),
      ...(await textFacts(text, recipe, options)),
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

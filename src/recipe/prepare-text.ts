// Text for a language model: read, split, tokenized, cut into windows.
import { fail, valuesOf } from "../base/index.ts";
import {
  type Dataset,
  PrefixWindows,
  SequentialWindows,
  type TextBatch,
  type TextData,
  TextWindows,
  type TokenStore,
} from "../data/index.ts";
import { modelFamily } from "../models/index.ts";
import { languageModelTask } from "../train/index.ts";
import { evaluationRows, heldOutBatches, trainingSource } from "./batches.ts";
import { chosenModel, roomOf } from "./chosen-model.ts";
import { counted, tellInvalid } from "./notes.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";
import { tokenEntropy } from "./survey.ts";
import { tokenWarnings } from "./suspicions.ts";
import { textData } from "./text-data.ts";

export async function prepareLanguageModel(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const text = await textData(recipe, options);
  const { train, validation, tokenizer, report } = text;
  const [family, config] = chosenModel(recipe);
  const built = modelFamily(family).build(config, { task: "language-model", vocab: tokenizer.vocabSize });
  const context = roomOf(built.inputs.tokens!.shape[0]!, recipe);
  tellText(report, train, options);
  const close = async () => void (await Promise.all([train.close(), validation.close()]));
  try {
    requireLength(train, "training", context, recipe, family);
    requireLength(validation, "held-out", 1, recipe, family);
    requireDivisors(recipe, context);
  } catch (error) {
    await close();
    throw error;
  }
  const { objective } = recipe.data;
  const withPrefix = (rows: Dataset<TextBatch>) =>
    objective === "prefix" ? new PrefixWindows(rows, recipe.seed) : rows;
  const heldOut = withPrefix(new SequentialWindows(validation, context));
  // all of a text are its windows side by side, not one at each token
  const windows = withPrefix(new (recipe.batch.size === "all" ? SequentialWindows : TextWindows)(train, context));
  return {
    family,
    built,
    task: languageModelTask(context, { lengths: recipe.data.context }),
    ...trainingSource(windows, recipe, {
      order: "random",
      samplesPerEpoch: train.length / context,
    }),
    rows: { train: windows, heldOut, order: "random" },
    heldOut: () => heldOutBatches(heldOut, evaluationRows(recipe)),
    ...(await textFacts(text, recipe, options)),
    close,
  };
}

/** What is known of a text, whatever is learnt from it. */
export async function textFacts(
  { train, validation, tokenizer, report }: TextData,
  recipe: Recipe,
  { files }: PrepareOptions,
): Promise<Pick<PreparedData, "baseline" | "warnings" | "dataHash" | "tokenizer" | "files">> {
  return {
    baseline: await tokenEntropy(train),
    warnings: files === undefined ? await tokenWarnings(train, validation, recipe.data.path ?? "data.rows") : [],
    dataHash: report.sha256,
    tokenizer,
    files: { "tokenizer.json": JSON.stringify(tokenizer) },
  };
}

/** Rows are cut into pieces of one length, by a schedule that jumps. */
function requireDivisors({ data: { context: lengths } }: Recipe, context: number): void {
  if (lengths === undefined) return;
  const isSmooth = typeof lengths !== "number" && lengths.piecewise === undefined;
  const wrong = valuesOf(lengths).find((length) => isSmooth || context % length !== 0);
  if (wrong === undefined) return;
  fail("config/context", "rows cannot be cut into pieces of these lengths", {
    where: "data.context",
    expected: `divisors of the model's context (${context}), as a number or piecewise`,
    got: isSmooth ? Object.keys(lengths).join() : String(wrong),
    fix: `choose lengths such as ${context / 4}, ${context / 2}, ${context}`,
  });
}

function requireLength(tokens: TokenStore, part: string, context: number, recipe: Recipe, family: string): void {
  if (tokens.length > context) return;
  fail("data/short-text", `the ${part} text is not longer than the context`, {
    where: recipe.data.path ?? "data.rows",
    expected: `more than ${context} tokens`,
    got: `${tokens.length} tokens`,
    fix:
      tokens.length > 1
        ? `set model.${family}.context to ${tokens.length - 1} or less, or give more text`
        : "give more text",
  });
}

export function tellText(report: TextData["report"], train: TokenStore, { onNote }: PrepareOptions): void {
  onNote?.(
    `${counted(report.characters, "character")} in ${counted(report.documents, "document")}, ${counted(train.length, "training token")} of ${train.vocabSize} kinds${report.cached ? ", from data.cache" : ""}`,
  );
  tellInvalid(report, onNote);
}

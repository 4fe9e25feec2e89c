// Conversations for a language model: read, written by a template, and put into rows, one each or packed.
import { fail } from "../base/index.ts";
import {
  PackedSequences,
  PaddedSequences,
  prepareChat,
  type TextBatch,
  type TokenSequences,
  tokenizerConfig,
  tokenizerConfigName,
} from "../data/index.ts";
import { modelFamilies, modelFamily } from "../models/index.ts";
import { languageModelTask } from "../train/index.ts";
import { evaluationRows, heldOutBatches, trainingSource } from "./batches.ts";
import { chatTemplate } from "./chat.ts";
import { chosenModel, contextOf } from "./chosen-model.ts";
import { counted, tellInvalid } from "./notes.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import { tokenizerSpec } from "./prepare-text.ts";
import type { Recipe } from "./schema.ts";
import { entropy } from "./survey.ts";
import { conversationWarnings } from "./suspicions.ts";

export async function prepareConversations(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { data, seed } = recipe;
  const [family, config] = chosenModel(recipe);
  if (data.packing) requirePacking(family);
  const context = contextOf(family, config, "language-model");
  const { format, tokenizer, train, validation, ...report } = await prepareChat(
    data.path === undefined ? { records: data.rows! } : { path: data.path },
    {
      ...data.chat,
      tokenizer: tokenizerSpec(recipe.tokenizer ?? "byte", options),
      template: await chatTemplate(recipe, options),
      ...{ context, seed, validation: data.heldOut, invalid: data.invalid },
    },
  );
  const built = modelFamily(family).build(config, { task: "language-model", vocab: tokenizer.vocabSize });
  const padded = { train: new PaddedSequences(train, context), heldOut: new PaddedSequences(validation, context) };
  const pack = (sequences: TokenSequences) => new PackedSequences(sequences, context);
  const packed = data.packing ? { train: pack(train), heldOut: pack(validation) } : undefined;
  const { onNote } = options;
  const targets = train.trainedTokens;
  onNote?.(
    `${counted(train.length + validation.length, "conversation")}, ${counted(targets.length, "token")} to learn of ${tokenizer.vocabSize} kinds`,
  );
  if (packed !== undefined)
    onNote?.(
      `packed into ${counted(packed.train.length, "training row")}, ${(100 * packed.train.fill).toFixed(1)} % of them filled`,
    );
  if (report.cut > 0) onNote?.(`cut the end of ${counted(report.cut, "conversation")} off, to fit the context`);
  if (report.dropped > 0)
    onNote?.(`left out ${counted(report.dropped, "conversation")} that the context does not hold`);
  tellInvalid(report, onNote);
  return {
    family,
    built,
    task: languageModelTask(context, { packed: data.packing }),
    ...trainingSource<TextBatch>(packed?.train ?? padded.train, recipe, { order: "shuffled" }),
    rows: { ...(packed ?? padded), order: "shuffled" },
    heldOut: () => heldOutBatches<TextBatch>(packed?.heldOut ?? padded.heldOut, evaluationRows(recipe)),
    baseline: entropy(targets),
    warnings: options.files === undefined ? await conversationWarnings(padded, data.path ?? "data.rows") : [],
    dataHash: report.sha256,
    tokenizer,
    chat: format,
    files: {
      "tokenizer.json": JSON.stringify(tokenizer),
      [tokenizerConfigName]: tokenizerConfig(format.template),
    },
  };
}

/** A model that does not tell documents apart would read one into the next. Errors with `config/packing`. */
function requirePacking(family: string): void {
  if (modelFamily(family).packs) return;
  const able = [...modelFamilies.values()].filter(({ packs }) => packs).map(({ name }) => name);
  fail("config/packing", "this model cannot tell the documents of a packed row apart", {
    where: "data.packing",
    expected: `a model of ${able.join(" or ")}`,
    got: family,
    fix: "set data.packing: false",
  });
}

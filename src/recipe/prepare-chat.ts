// Conversations, and texts that are kept apart, for a language model: encoded and put into rows, one each or packed.
import { fail } from "../base/index.ts";
import {
  type JsonInput,
  MemoryTokens,
  PackedSequences,
  PaddedSequences,
  prepareChat,
  prepareDocuments,
  type SequenceRows,
  StoredSequences,
  splitRows,
  type TextBatch,
  type TokenFolder,
  type Tokenizer,
  tokenizerConfig,
  tokenizerConfigName,
} from "../data/index.ts";
import { modelFamilies, modelFamily } from "../models/index.ts";
import { languageModelTask } from "../train/index.ts";
import { evaluationRows, heldOutBatches, trainingSource } from "./batches.ts";
import { chatTemplate } from "./chat.ts";
import { chosenModel, contextOf, placesBefore, roomOf } from "./chosen-model.ts";
import { counted, tellInvalid } from "./notes.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";
import { entropy, tokenEntropy } from "./survey.ts";
import { conversationWarnings } from "./suspicions.ts";
import { tokenFolder, tokenizerSpec } from "./text-data.ts";

export async function prepareConversations(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { chat } = recipe.data;
  const { format, train, validation, cut, dropped, ...read } = await prepareChat(inputOf(recipe), {
    ...chat,
    ...sequenceSettings(recipe, options),
    template: await chatTemplate(recipe, options),
  });
  const count = counted(train.length + validation.length, "conversation");
  options.onNote?.(
    `${count}, ${counted(train.trainedTokens.length, "token")} to learn of ${read.tokenizer.vocabSize} kinds`,
  );
  if (cut > 0) options.onNote?.(`cut the end of ${counted(cut, "conversation")} off, to fit the context`);
  if (dropped > 0) options.onNote?.(`left out ${counted(dropped, "conversation")} that the context does not hold`);
  tellInvalid(read, options.onNote);
  const baseline = entropy(train.trainedTokens);
  const prepared = await fromSequences(recipe, options, { train, validation, baseline, ...read });
  return {
    ...prepared,
    chat: format,
    files: { ...prepared.files, [tokenizerConfigName]: tokenizerConfig(format.template) },
  };
}

/** Texts that are kept apart, several in a row. */
export async function prepareSeparateTexts(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const stored = await tokenFolder(recipe, options);
  if (stored !== undefined) return await prepareStored(recipe, options, stored);
  const { text } = recipe.data;
  const read = await prepareDocuments(inputOf(recipe), { text, ...sequenceSettings(recipe, options) });
  const tokens = counted(read.train.trainedTokens.length, "training token");
  options.onNote?.(`${counted(read.documents, "document")}, ${tokens} of ${read.tokenizer.vocabSize} kinds`);
  return await fromSequences(recipe, options, { ...read, baseline: entropy(read.train.trainedTokens) });
}

/** The same of documents that are tokens already. */
async function prepareStored(recipe: Recipe, options: PrepareOptions, folder: TokenFolder): Promise<PreparedData> {
  const { tokens, ends, tokenizer } = folder;
  const close = () => tokens.close();
  try {
    const { context, validation, seed } = sequenceSettings(recipe, options);
    const split = splitRows(ends.length, { validation, seed });
    const part = (positions: readonly number[]) => new StoredSequences(folder, positions, context);
    const count = counted(tokens.length, "token");
    options.onNote?.(`${counted(ends.length, "document")}, ${count} of ${tokens.vocabSize} kinds`);
    const prepared = await fromSequences(recipe, options, {
      tokenizer,
      train: part(split.train),
      validation: part(split.validation),
      sha256: tokens.fingerprint,
      baseline: await tokenEntropy(tokens),
      isLarge: !(tokens instanceof MemoryTokens),
    });
    return { ...prepared, close };
  } catch (error) {
    await close();
    throw error;
  }
}

const inputOf = ({ data }: Recipe): JsonInput =>
  data.path === undefined ? { records: data.rows! } : { path: data.path };

function sequenceSettings(recipe: Recipe, options: PrepareOptions) {
  const { data, seed } = recipe;
  const [family, config] = chosenModel(recipe);
  if (data.packing) requirePacking(family, recipe);
  return {
    tokenizer: tokenizerSpec(recipe.tokenizer ?? "byte", options),
    context: roomOf(contextOf(family, config, "language-model"), recipe),
    ...{ seed, validation: data.heldOut, invalid: data.invalid },
  };
}

interface ReadSequences {
  readonly tokenizer: Tokenizer;
  readonly train: SequenceRows;
  readonly validation: SequenceRows;
  readonly sha256: string;
  readonly baseline: number;
  /** Too large to look for rows of the one part in the other. */
  readonly isLarge?: boolean;
}

/** Sequences in rows of the context, one each or packed. */
async function fromSequences(
  recipe: Recipe,
  { files, onNote }: PrepareOptions,
  { tokenizer, train, validation, sha256, baseline, isLarge }: ReadSequences,
): Promise<PreparedData> {
  const { data } = recipe;
  const [family, config] = chosenModel(recipe);
  const built = modelFamily(family).build(config, { task: "language-model", vocab: tokenizer.vocabSize });
  const context = roomOf(built.inputs.tokens!.shape[0]!, recipe);
  const padded = { train: new PaddedSequences(train, context), heldOut: new PaddedSequences(validation, context) };
  const pack = (sequences: SequenceRows) => new PackedSequences(sequences, context);
  const packed = data.packing ? { train: pack(train), heldOut: pack(validation) } : undefined;
  if (packed !== undefined)
    onNote?.(
      `packed into ${counted(packed.train.length, "training row")}, ${(100 * packed.train.fill).toFixed(1)} % of them filled`,
    );
  return {
    family,
    built,
    task: languageModelTask(context, { packed: data.packing }),
    ...trainingSource<TextBatch>(packed?.train ?? padded.train, recipe, { order: "shuffled" }),
    rows: { ...(packed ?? padded), order: "shuffled" },
    heldOut: () => heldOutBatches<TextBatch>(packed?.heldOut ?? padded.heldOut, evaluationRows(recipe)),
    baseline,
    warnings: files === undefined && !isLarge ? await conversationWarnings(padded, data.path ?? "data.rows") : [],
    dataHash: sha256,
    tokenizer,
    files: { "tokenizer.json": JSON.stringify(tokenizer) },
  };
}

/** A model that does not tell documents apart would read one into the next. Errors with `config/packing`. */
function requirePacking(family: string, recipe: Recipe): void {
  if (placesBefore(recipe) > 0)
    fail("config/packing", "what is trained before a text stands before a row, not before each document in it", {
      where: "data.packing",
      expected: "a text in each row",
      got: `data.packing beside adapter.${Object.keys(recipe.adapter!).join()}`,
      fix: "set data.packing: false",
    });
  if (modelFamily(family).packs) return;
  const able = [...modelFamilies.values()].filter(({ packs }) => packs).map(({ name }) => name);
  fail("config/packing", "this model cannot tell the documents of a packed row apart", {
    where: "data.packing",
    expected: `a model of ${able.join(" or ")}`,
    got: family,
    fix: "set data.packing: false",
  });
}

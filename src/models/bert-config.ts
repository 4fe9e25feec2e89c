// Settings of the BERT family: what a recipe may write, the head that fits a task, and the family's entry. The model is in bert.ts.
import { z } from "zod";
import { fail, parseConfig, varyingSchema } from "../base/index.ts";
import type { Module } from "../nn/index.ts";
import { poolings } from "../nn/index.ts";
import { type BertConfig, bertPresets } from "./bert.ts";
import {
  BertForEmbedding,
  BertForMaskedLM,
  BertForMultipleChoice,
  BertForQuestionAnswering,
  BertForSequenceClassification,
  BertForTokenClassification,
  type BertPooling,
} from "./bert-heads.ts";
import type { BuiltModel, DataFacts, ModelFamily } from "./family.ts";
import { settleOutputs, settleVocab, textShape } from "./tokens.ts";

/** A BERT whole: its encoder, and what its head needs to know. */
export interface BertModelConfig extends BertConfig {
  readonly pooling: BertPooling;
  /** Classes of texts or tokens. */
  readonly outputs?: number | undefined;
  /** Texts to choose from; left out, the data's. */
  readonly choices?: number | undefined;
}

type Size = keyof typeof bertPresets;
const presetNames = Object.keys(bertPresets) as [Size, ...Size[]];
const size = z.number().int().positive();

const bertSchema = z
  .strictObject({
    preset: z.enum(presetNames).optional().describe("a published size, whose numbers stand where none are given"),
    layers: size.optional(),
    heads: size.optional(),
    width: size.optional().describe("channels of the residual stream; a multiple of heads"),
    hidden: size.optional().describe("channels of the feed-forward part; left out, 4 times width"),
    context: size.optional().describe("longest sequence, in tokens, [CLS] and [SEP] among them"),
    vocab: size.optional().describe("rows of the token table; left out, the tokenizer's, with [CLS], [SEP] and [MASK]"),
    tokenTypes: size.default(2).describe("kinds of token: first and second sentence"),
    dropout: varyingSchema(z.number().min(0).lt(1)).default(0.1),
    eps: z.number().positive().default(1e-12).describe("of the norms"),
    initStd: z.number().positive().default(0.02).describe("deviation of the initial matrices; narrow models want more"),
    pooling: z
      .enum(["pooler", ...poolings])
      .default("pooler")
      .describe("how a text becomes one vector: a layer over [CLS], [CLS] itself, the mean, the last token"),
    outputs: size.optional().describe("classes of texts or tokens; left out, the data's"),
    choices: size.optional().describe("multiple-choice: texts of a row; left out, the most that a row of the data has"),
  })
  .transform(({ preset, vocab, ...given }, { addIssue }) => {
    const base: Partial<BertConfig> = preset === undefined ? {} : bertPresets[preset];
    const { layers = base.layers, heads = base.heads, width = base.width, context = base.context } = given;
    const needed = { layers, heads, width, context };
    for (const [name, value] of Object.entries(needed)) {
      if (value === undefined)
        addIssue({ code: "custom", path: [name], message: "missing; a positive whole number, or give a preset" });
    }
    if (width !== undefined && heads !== undefined && width % heads !== 0)
      addIssue({ code: "custom", path: ["width"], message: `must be a multiple of heads (${heads}), got ${width}` });
    const { hidden = base.hidden ?? 4 * (width ?? 0) } = given;
    const settled = { ...given, ...(needed as Required<typeof needed>), hidden, vocab, presetVocab: base.vocab };
    return settled as Omit<BertModelConfig, "vocab"> & { vocab: number | undefined; presetVocab: number | undefined };
  });

/** What a recipe may write under `model.bert`. */
export type BertInput = z.input<typeof bertSchema>;

const heads: { readonly [task in DataFacts["task"]]?: (config: BertModelConfig) => Module } = {
  "masked-language-model": (config) => new BertForMaskedLM(config),
  classification: (config) => new BertForSequenceClassification(config, config.outputs!, config.pooling),
  regression: (config) => new BertForSequenceClassification(config, 1, config.pooling),
  "token-classification": (config) => new BertForTokenClassification(config, config.outputs!),
  "question-answering": (config) => new BertForQuestionAnswering(config),
  "multiple-choice": (config) => new BertForMultipleChoice(config, config.pooling),
  embedding: (config) => new BertForEmbedding(config, config.pooling),
};

const classTasks: readonly string[] = ["classification", "token-classification"];

const pairTasks: readonly string[] = ["question-answering", "multiple-choice"];

function inputsOf({ task, outputs }: DataFacts, { context, choices = outputs }: BertModelConfig): BuiltModel["inputs"] {
  const row = { dtype: "i32", shape: textShape({ task, outputs: outputs && choices }, context) } as const;
  return pairTasks.includes(task) ? { tokens: row, tokenTypes: row } : { tokens: row };
}

/** BERT, with the head of the task that the data ask for. */
export const bertFamily: ModelFamily<BertModelConfig> = {
  name: "bert",
  doc: "encoder of the BERT family: masked language modelling, and classes, spans and vectors of texts",
  tasks: Object.keys(heads) as DataFacts["task"][],
  reads: "texts",
  isFramed: true,
  isHead: (name) => !name.startsWith("bert.") || name.startsWith("bert.pooler."),
  positionTable: "bert.embeddings.position_embeddings.weight",
  schema: bertSchema,
  build: (config, facts) => {
    const { presetVocab, vocab: given, ...rest } = parseConfig(bertSchema, config, "model.bert");
    const vocab = settleVocab("model.bert.vocab", { given, preset: presetVocab, tokenizer: facts.vocab });
    const outputs = classTasks.includes(facts.task)
      ? settleOutputs("model.bert.outputs", rest.outputs, facts.outputs)
      : undefined;
    if (rest.choices !== undefined && facts.task === "multiple-choice")
      settleOutputs("model.bert.choices", rest.choices, facts.outputs);
    const complete: BertModelConfig = { vocab, ...rest, ...(outputs === undefined ? {} : { outputs }) };
    const head = heads[facts.task];
    if (head === undefined)
      return fail("model/task", "a BERT has no head for this task", {
        where: "model.bert",
        expected: Object.keys(heads).join(", "),
        got: facts.task,
        fix: "choose one of these, or another model: gpt and llama write text",
      });
    return { module: head(complete), config: complete, inputs: inputsOf(facts, complete) };
  },
};

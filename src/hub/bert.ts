// BERT's folders, one layout for each head that Transformers names: masked words, classes, tokens, spans, choices, and the encoder alone.
// Linear layers are [out, in] there; old files call a norm's weight and bias gamma and beta.
import { z } from "zod";
import type { BertModelConfig, TaskName } from "../models/index.ts";
import { classesOf, labels, namedClasses } from "./classifiers.ts";
import type { HubLayout } from "./layout.ts";

const size = z.number().int().positive().max(2_147_483_648);
const share = z.number().min(0).lt(1);

const schema = z.looseObject({
  vocab_size: size.default(30522),
  max_position_embeddings: size.default(512),
  hidden_size: size.default(768),
  intermediate_size: size.default(3072),
  num_hidden_layers: size.max(2000).default(12),
  num_attention_heads: size.default(12),
  type_vocab_size: size.default(2),
  hidden_dropout_prob: share.default(0.1),
  layer_norm_eps: z.number().positive().default(1e-12),
  initializer_range: z.number().positive().default(0.02),
  hidden_act: z.literal("gelu", { error: "only gelu is known here" }).default("gelu"),
  position_embedding_type: z.literal("absolute", { error: "only absolute is known here" }).default("absolute"),
  is_decoder: z.literal(false, { error: "a BERT that writes text is not known here" }).default(false),
  ...namedClasses,
});
type Theirs = z.output<typeof schema>;

/** Masks of positions, and parts of the first training that a head has no use for. */
const unused = /(^|\.)position_ids$|^cls\.seq_relationship\./;
/** The table of words and the bias once more, as the layer that guesses words. */
const copies = new Map([
  ["cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"],
  ["cls.predictions.decoder.bias", "cls.predictions.bias"],
]);

const layoutOf = (architecture: string, task: TaskName): HubLayout<BertModelConfig, Theirs> => {
  const isEncoder = task === "embedding";
  const guessesWords = task === "masked-language-model";
  const hasPooler = ["classification", "regression", "multiple-choice", "embedding"].includes(task);
  const hasClasses = task === "classification" || task === "token-classification";
  const fileName = (name: string) => (isEncoder ? name.replace(/^bert\./, "") : name);
  return {
    modelType: "bert",
    architecture,
    family: "bert",
    task,
    schema,
    read: (config) => ({
      vocab: config.vocab_size,
      context: config.max_position_embeddings,
      width: config.hidden_size,
      hidden: config.intermediate_size,
      layers: config.num_hidden_layers,
      heads: config.num_attention_heads,
      tokenTypes: config.type_vocab_size,
      dropout: config.hidden_dropout_prob,
      eps: config.layer_norm_eps,
      initStd: config.initializer_range,
      pooling: "pooler",
      ...(hasClasses ? { outputs: classesOf(config).length } : {}),
    }),
    ...(hasClasses ? { classes: classesOf } : {}),
    write: (config, classes) => ({
      vocab_size: config.vocab,
      max_position_embeddings: config.context,
      hidden_size: config.width,
      intermediate_size: config.hidden,
      num_hidden_layers: config.layers,
      num_attention_heads: config.heads,
      type_vocab_size: config.tokenTypes,
      hidden_dropout_prob: config.dropout,
      attention_probs_dropout_prob: config.dropout,
      layer_norm_eps: config.eps,
      ...(config.initStd === undefined ? {} : { initializer_range: config.initStd }),
      hidden_act: "gelu",
      ...(hasClasses ? labels(config.outputs, classes) : {}),
      ...(task === "regression" ? { ...labels(1), problem_type: "regression" } : {}),
    }),
    holds: ({ pooling }) => !hasPooler || pooling === "pooler",
    fileName,
    otherName: (name) =>
      fileName(name).replace(
        /LayerNorm\.(weight|bias)$/,
        (_, part) => `LayerNorm.${part === "weight" ? "gamma" : "beta"}`,
      ),
    isTransposed: (name, { length }) => length === 2 && !name.includes("_embeddings."),
    isIgnored: (name) =>
      unused.test(name) || (!hasPooler && name.startsWith("bert.pooler.")) || (!guessesWords && copies.has(name)),
    copyOf: (name) => (guessesWords ? copies.get(name) : undefined),
  };
};

/** What a folder that names no head is read as comes first. */
export const bertLayouts = [
  layoutOf("BertForMaskedLM", "masked-language-model"),
  layoutOf("BertForSequenceClassification", "classification"),
  layoutOf("BertForSequenceClassification", "regression"),
  layoutOf("BertForTokenClassification", "token-classification"),
  layoutOf("BertForQuestionAnswering", "question-answering"),
  layoutOf("BertForMultipleChoice", "multiple-choice"),
  layoutOf("BertModel", "embedding"),
];

// A small classifier of texts: embeddings, their mean, a perceptron (as fastText, Joulin et al. 2017, with hidden layers).
// B batch, T time, C channels. Padding is token −1.
import { z } from "zod";
import { fail, parseConfig, type Varying, varyingSchema } from "../base/index.ts";
import { type Tensor, where } from "../core/index.ts";
import { type ActivationName, activationNames, call, Dropout, Embedding, Mlp, Module } from "../nn/index.ts";
import type { ModelFamily } from "./family.ts";

export interface TextClassifierConfig {
  readonly vocab: number;
  readonly outputs: number;
  readonly context: number;
  readonly width: number;
  readonly hidden: readonly number[];
  readonly activation: ActivationName;
  readonly dropout: Varying;
}

/** Tokens i32 (B, T), −1 after a text's end → logits (B, classes), or a number each (B, 1). A text without tokens has the mean 0. */
export class TextClassifier extends Module {
  readonly embedding: Embedding;
  readonly dropout: Dropout;
  readonly head: Mlp;

  constructor({ vocab, outputs, width, hidden, activation, dropout }: TextClassifierConfig) {
    super();
    this.embedding = new Embedding(vocab, width, { init: { name: "normal", std: 0.1 } });
    this.dropout = new Dropout(dropout);
    this.head = new Mlp([width, ...hidden, outputs], { activation, dropout });
  }

  forward(tokens: Tensor): Tensor {
    const present = tokens.greaterEqual(0);
    const embedded = call(this.embedding, where(present, tokens, 0)); // (B, T, C)
    const weights = present.cast(embedded.dtype); // (B, T)
    const sum = embedded.mul(weights.reshape(...weights.shape, 1)).sum({ axis: 1 }); // (B, C)
    const count = weights.sum({ axis: 1, keepDim: true }).maximum(1);
    return call(this.head, call(this.dropout, sum.div(count)));
  }
}

const size = z.number().int().positive();

const textClassifierSchema = z.strictObject({
  width: size.default(64).describe("channels of an embedding"),
  context: size.default(256).describe("tokens that are read of a text; the rest is cut off"),
  hidden: z.array(size).default([64]).describe("widths of the layers after the mean"),
  activation: z.enum(activationNames).default("relu"),
  dropout: varyingSchema(z.number().min(0).lt(1)).default(0),
  vocab: size.optional().describe("rows of the embedding; left out, the tokenizer's"),
  outputs: size.optional().describe("classes; left out, the data's"),
});

/** What a recipe may write under `model.textClassifier`. */
export type TextClassifierInput = z.input<typeof textClassifierSchema>;

export const textClassifierFamily: ModelFamily<TextClassifierConfig> = {
  name: "textClassifier",
  doc: "mean of token embeddings and a perceptron, for classes of texts, or a number of each",
  tasks: ["classification", "regression"],
  reads: "texts",
  schema: textClassifierSchema,
  build: (config, facts) => {
    const parsed = parseConfig(textClassifierSchema, config, "model.textClassifier");
    const { vocab = facts.vocab, outputs = facts.task === "regression" ? 1 : facts.outputs } = parsed;
    if (vocab === undefined || outputs === undefined || vocab < (facts.vocab ?? 0) || outputs < (facts.outputs ?? 0)) {
      return fail("model/text-classifier", "model and data do not fit", {
        where: "model.textClassifier",
        expected: `vocab ${facts.vocab ?? "given"} and outputs ${facts.outputs ?? "given"}`,
        got: `vocab ${vocab ?? "unknown"}, outputs ${outputs ?? "unknown"}`,
        fix: "leave both out, so that the data decides",
      });
    }
    const complete = { ...parsed, vocab, outputs };
    return {
      module: new TextClassifier(complete),
      config: complete,
      inputs: { tokens: { dtype: "i32", shape: [complete.context] } },
    };
  },
};

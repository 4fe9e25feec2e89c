// What is built on BERT's encoder: a head for each task, named and shaped as Transformers has it. All take tokens i32 (B, T) in which −1 is
// padding, behind a row's tokens, and sees no loss and no other token. B batch, T time, C channels, V vocabulary, N choices.
import { gelu, iota, type Tensor, take, where } from "../core/index.ts";
import { call, Dropout, LayerNorm, Linear, Module, Parameter, type Pooling, poolTokens, within } from "../nn/index.ts";
import { Bert, type BertConfig, bertInit } from "./bert.ts";
import { choiceScores } from "./choices.ts";

/** The encoder over rows with padding: (B, T, C), and where there are tokens, bool (B, T). */
function encode(bert: Bert, tokens: Tensor, tokenTypes?: Tensor): readonly [encoded: Tensor, mask: Tensor] {
  const mask = tokens.greaterEqual(0);
  return [within(bert, () => bert.forward(where(mask, tokens, 0), mask, tokenTypes)), mask];
}

/** Masked language modelling: a transform, and the table of words as the matrix that guesses. */
export class BertForMaskedLM extends Module {
  readonly bert: Bert;
  readonly cls: {
    readonly predictions: {
      readonly bias: Parameter;
      readonly transform: { readonly dense: Linear; readonly LayerNorm: LayerNorm };
    };
  };

  constructor(config: BertConfig) {
    super();
    const { vocab, width, eps } = config;
    this.bert = new Bert(config, { pooler: false });
    const transform = {
      dense: new Linear(width, width, { init: bertInit(config) }),
      LayerNorm: new LayerNorm(width, { eps }),
    };
    this.cls = { predictions: { bias: new Parameter([vocab], { init: "zeros" }), transform } };
  }

  /** → logits (B, T, V); with `places` i32 (B, K), the positions to guess, of these alone: (B, K, V). */
  forward(tokens: Tensor, places?: Tensor): Tensor {
    const [encoded] = encode(this.bert, tokens);
    if (places === undefined) return this.predict(encoded);
    const [batch, time, width] = encoded.shape as [number, number, number];
    const rows = iota(places.shape, 0).mul(time).add(places);
    return this.predict(take(encoded.reshape(batch * time, width), rows));
  }

  /** Scores of the words from rows of the encoder's: (…, C) → (…, V). */
  predict(encoded: Tensor): Tensor {
    const { bias, transform } = this.cls.predictions;
    const words = this.bert.embeddings.word_embeddings;
    const guess = call(transform.LayerNorm, gelu(call(transform.dense, encoded)));
    return within(words, () => words.attend(guess)).add(bias.tensor);
  }
}

/** How a text becomes one vector: by the published pooler, or without further parameters. */
export type BertPooling = "pooler" | Pooling;

/** One vector of each text, and what it is made with. */
abstract class BertForTexts extends Module {
  readonly bert: Bert;
  protected readonly pooling: BertPooling;

  constructor(config: BertConfig, pooling: BertPooling) {
    super();
    this.bert = new Bert(config, { pooler: pooling === "pooler" });
    this.pooling = pooling;
  }

  protected embed(tokens: Tensor, tokenTypes?: Tensor): Tensor {
    const [encoded, mask] = encode(this.bert, tokens, tokenTypes);
    const { pooling, bert } = this;
    return pooling === "pooler" ? within(bert, () => bert.pool(encoded)) : poolTokens(encoded, mask, pooling);
  }
}

/** One vector of each text: (B, C). */
export class BertForEmbedding extends BertForTexts {
  forward(tokens: Tensor, tokenTypes?: Tensor): Tensor {
    return this.embed(tokens, tokenTypes);
  }
}

/** Classes of texts, or one number of each (regression): (B, outputs). */
export class BertForSequenceClassification extends BertForTexts {
  readonly dropout: Dropout;
  readonly classifier: Linear;

  constructor(config: BertConfig, outputs: number, pooling: BertPooling = "pooler") {
    super(config, pooling);
    this.dropout = new Dropout(config.dropout);
    this.classifier = new Linear(config.width, outputs, { init: bertInit(config) });
  }

  forward(tokens: Tensor, tokenTypes?: Tensor): Tensor {
    return call(this.classifier, call(this.dropout, this.embed(tokens, tokenTypes)));
  }
}

/** Which of several texts fits: tokens (B, N, T) → a score of each, (B, N), see `choiceScores`. */
export class BertForMultipleChoice extends BertForTexts {
  readonly dropout: Dropout;
  readonly classifier: Linear;

  constructor(config: BertConfig, pooling: BertPooling = "pooler") {
    super(config, pooling);
    this.dropout = new Dropout(config.dropout);
    this.classifier = new Linear(config.width, 1, { init: bertInit(config) });
  }

  forward(tokens: Tensor, tokenTypes?: Tensor): Tensor {
    const types = tokenTypes?.reshape(-1, tokens.shape[2]!);
    return choiceScores(tokens, (rows) => call(this.classifier, call(this.dropout, this.embed(rows, types))));
  }
}

/** A class of each token: (B, T, outputs). */
export class BertForTokenClassification extends Module {
  readonly bert: Bert;
  readonly dropout: Dropout;
  readonly classifier: Linear;

  constructor(config: BertConfig, outputs: number) {
    super();
    this.bert = new Bert(config, { pooler: false });
    this.dropout = new Dropout(config.dropout);
    this.classifier = new Linear(config.width, outputs, { init: bertInit(config) });
  }

  forward(tokens: Tensor): Tensor {
    return call(this.classifier, call(this.dropout, encode(this.bert, tokens)[0]));
  }
}

/** Where an answer begins and where it ends: scores of each token, (B, T, 2). `tokenTypes`: 0 the question, 1 the text. */
export class BertForQuestionAnswering extends Module {
  readonly bert: Bert;
  readonly qa_outputs: Linear;

  constructor(config: BertConfig) {
    super();
    this.bert = new Bert(config, { pooler: false });
    this.qa_outputs = new Linear(config.width, 2, { init: bertInit(config) });
  }

  forward(tokens: Tensor, tokenTypes?: Tensor): Tensor {
    return call(this.qa_outputs, encode(this.bert, tokens, tokenTypes)[0]);
  }
}

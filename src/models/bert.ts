// BERT's encoder (Devlin et al. 2018), with the parameter names of the checkpoints published by Hugging Face. What is built on it,
// masked language modelling among it, is in bert-heads.ts. B batch, T time, C channels (width), H heads, D = C / H.
import type { Varying } from "../base/index.ts";
import { attention, currentScope, gelu, type Tensor } from "../core/index.ts";
import {
  call,
  checkHeads,
  checkRate,
  Dropout,
  Embedding,
  type Init,
  LayerNorm,
  Linear,
  Module,
  randomInputs,
  rateOf,
  within,
} from "../nn/index.ts";
import { checkTokens } from "./tokens.ts";

export interface BertConfig {
  readonly vocab: number;
  /** Longest sequence: rows of the position table. */
  readonly context: number;
  readonly width: number;
  /** Channels between the two linear layers of a block. */
  readonly hidden: number;
  readonly layers: number;
  readonly heads: number;
  /** Kinds of token: first and second sentence. */
  readonly tokenTypes: number;
  readonly dropout: Varying;
  readonly eps: number;
  /** Deviation of the initial matrices. Left out, the published 0.02, which suits widths of 768 and more: narrow models begin too flat. */
  readonly initStd?: number;
}

const published = { vocab: 30522, context: 512, tokenTypes: 2, dropout: 0.1, eps: 1e-12 } as const;

/** Published sizes, with the vocabulary of the uncased checkpoints. */
export const bertPresets = {
  "bert-base": { ...published, layers: 12, heads: 12, width: 768, hidden: 3072 },
  "bert-large": { ...published, layers: 24, heads: 16, width: 1024, hidden: 4096 },
} as const satisfies { readonly [name: string]: BertConfig };

/** Of every matrix. */
export const bertInit = ({ initStd = 0.02 }: BertConfig): Init => ({ name: "normal", std: initStd });

class BertEmbeddings extends Module {
  readonly word_embeddings: Embedding;
  readonly position_embeddings: Embedding;
  readonly token_type_embeddings: Embedding;
  readonly LayerNorm: LayerNorm;
  readonly dropout: Dropout;

  constructor(config: BertConfig) {
    super();
    const { vocab, context, tokenTypes, width, dropout, eps } = config;
    const init = bertInit(config);
    this.word_embeddings = new Embedding(vocab, width, { init });
    this.position_embeddings = new Embedding(context, width, { init });
    this.token_type_embeddings = new Embedding(tokenTypes, width, { init });
    this.LayerNorm = new LayerNorm(width, { eps });
    this.dropout = new Dropout(dropout);
  }

  forward(tokens: Tensor, tokenTypes?: Tensor): Tensor {
    const types = this.token_type_embeddings;
    const sum = call(this.word_embeddings, tokens)
      .add(this.position_embeddings.table.slice(0, 0, tokens.shape[1]!))
      .add(tokenTypes === undefined ? types.table.slice(0, 0, 1) : call(types, tokenTypes)); // (B, T, C)
    return call(this.dropout, call(this.LayerNorm, sum));
  }
}

class BertSelfAttention extends Module {
  readonly heads: number;
  readonly dropout: Varying;
  readonly query: Linear;
  readonly key: Linear;
  readonly value: Linear;

  constructor(config: BertConfig) {
    super();
    const { width, heads, dropout } = config;
    const init = bertInit(config);
    this.heads = checkHeads(heads, width);
    this.dropout = checkRate(dropout);
    this.query = new Linear(width, width, { init });
    this.key = new Linear(width, width, { init });
    this.value = new Linear(width, width, { init });
  }

  forward(x: Tensor, mask?: Tensor): Tensor {
    const [batch, time, width] = x.shape as [number, number, number];
    const perHead = (part: Linear) => call(part, x).reshape(batch, time, this.heads, width / this.heads); // (B, T, H, D)
    const dropout = { rate: rateOf(this.dropout, x.dtype), stream: `${currentScope()}.probabilities` };
    return attention(perHead(this.query), perHead(this.key), perHead(this.value), {
      ...(mask === undefined ? {} : { mask: mask.reshape(batch, 1, 1, time) }),
      ...(randomInputs(this.dropout) === undefined ? {} : { dropout }),
    }).reshape(batch, time, width);
  }
}

/** The end of a half block: what is given is projected, added to the residual stream, and the sum normed. */
class BertOutput extends Module {
  readonly dense: Linear;
  readonly LayerNorm: LayerNorm;
  readonly dropout: Dropout;

  constructor(inputs: number, config: BertConfig) {
    super();
    const { width, dropout, eps } = config;
    this.dense = new Linear(inputs, width, { init: bertInit(config) });
    this.LayerNorm = new LayerNorm(width, { eps });
    this.dropout = new Dropout(dropout);
  }

  forward(x: Tensor, residual: Tensor): Tensor {
    return call(this.LayerNorm, residual.add(call(this.dropout, call(this.dense, x))));
  }
}

class BertLayer extends Module {
  readonly attention: { readonly self: BertSelfAttention; readonly output: BertOutput };
  readonly intermediate: { readonly dense: Linear };
  readonly output: BertOutput;

  constructor(config: BertConfig) {
    super();
    const { width, hidden } = config;
    this.attention = { self: new BertSelfAttention(config), output: new BertOutput(width, config) };
    this.intermediate = { dense: new Linear(width, hidden, { init: bertInit(config) }) };
    this.output = new BertOutput(hidden, config);
  }

  forward(x: Tensor, mask?: Tensor): Tensor {
    const { self, output } = this.attention;
    const seen = within(self, () => self.forward(x, mask));
    const attended = call(output, seen, x);
    return call(this.output, gelu(call(this.intermediate.dense, attended)), attended);
  }
}

/**
 * An encoder that sees both ways. Linear weights are stored [inputs, outputs], the transpose of the checkpoints'.
 *
 * @example
 * ```ts
 * import { Bert, bertPresets } from "athanor";
 * const model = new Bert(bertPresets["bert-base"]); // 109,482,240 parameters
 * ```
 */
export class Bert extends Module {
  readonly config: BertConfig;
  readonly embeddings: BertEmbeddings;
  readonly encoder: { readonly layer: readonly BertLayer[] };
  readonly pooler: { readonly dense: Linear } | undefined;

  /** `pooler`: one more layer that makes a vector of a text, which heads for single tokens leave out. Default true. */
  constructor(config: BertConfig, { pooler = true }: { readonly pooler?: boolean } = {}) {
    super();
    const { width, layers } = config;
    this.config = config;
    this.embeddings = new BertEmbeddings(config);
    this.encoder = { layer: Array.from({ length: layers }, () => new BertLayer(config)) };
    this.pooler = pooler ? { dense: new Linear(width, width, { init: bertInit(config) }) } : undefined;
  }

  /**
   * Tokens i32 (B, T) → (B, T, C). `mask` bool (B, T): true may be seen, false is padding; default all. `tokenTypes` i32
   * (B, T): the sentence of each token; default 0. Errors with `model/context` when T is greater than the context.
   */
  forward(tokens: Tensor, mask?: Tensor, tokenTypes?: Tensor): Tensor {
    checkTokens(tokens, this.config.context);
    const { embeddings, encoder } = this;
    const embedded = within(embeddings, () => embeddings.forward(tokens, tokenTypes));
    return encoder.layer.reduce((x, layer) => within(layer, () => layer.forward(x, mask)), embedded);
  }

  /** The pooler's vector of each text, made of its first token: `forward`'s (B, T, C) → (B, C). */
  pool(encoded: Tensor): Tensor {
    const first = encoded.slice(1, 0, 1).reshape(encoded.shape[0]!, -1);
    return call(this.pooler!.dense, first).tanh();
  }
}

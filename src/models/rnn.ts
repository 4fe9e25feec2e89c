// A recurrent language model (Mikolov et al. 2010; with LSTM cells and dropout as Zaremba et al. 2014): embeddings, recurrent layers one on top of
// the other, and a head. A text begins with a state of zeros; while one is written, the cache holds the state behind every token.
// B batch, T time, n tokens given now, C channels of embeddings and states, V vocabulary.
import { z } from "zod";
import { parseConfig, type Varying, varyingSchema } from "../base/index.ts";
import type { Tensor } from "../core/index.ts";
import {
  type CellName,
  call,
  cellNames,
  Dropout,
  Embedding,
  type KeyValueCache,
  Linear,
  Module,
  Recurrent,
  statesOf,
  within,
} from "../nn/index.ts";
import type { ModelFamily } from "./family.ts";
import { checkTokens, pickPosition, settleVocab } from "./tokens.ts";

export interface RnnConfig {
  readonly vocab: number;
  /** Longest sequence: so far back gradients flow. */
  readonly context: number;
  readonly cell: CellName;
  readonly layers: number;
  readonly width: number;
  readonly dropout: Varying;
  /** The output head is the token table; else it has a table and a bias of its own, `lm_head`. */
  readonly tiedHead: boolean;
}

const published = { cell: "lstm", layers: 2, vocab: 10000, context: 35, tiedHead: false } as const;

/** The models of Zaremba et al. 2014, section 4.1, over the ten thousand words of the Penn Treebank. Biases are two to a gate, as PyTorch's. */
export const rnnPresets = {
  small: { ...published, width: 200, context: 20, dropout: 0 },
  medium: { ...published, width: 650, dropout: 0.5 },
  large: { ...published, width: 1500, dropout: 0.65 },
} as const satisfies { readonly [name: string]: RnnConfig };

/**
 * Tokens i32 (B, T) → logits of each next token (B, T, V).
 *
 * @example
 * ```ts
 * import { Rnn, rnnPresets } from "athanor";
 * const model = new Rnn(rnnPresets.medium);
 * ```
 */
export class Rnn extends Module {
  readonly config: RnnConfig;
  readonly embedding: Embedding;
  /** Behind the embeddings and behind each layer, each with masks of its own. */
  readonly dropouts: readonly Dropout[];
  readonly layers: readonly Recurrent[];
  readonly lm_head: Linear | undefined;

  constructor(config: RnnConfig) {
    super();
    const { vocab, width, cell, layers, dropout, tiedHead } = config;
    this.config = config;
    this.embedding = new Embedding(vocab, width, { init: { name: "normal", std: 0.1 } });
    this.dropouts = Array.from({ length: layers + 1 }, () => new Dropout(dropout));
    this.layers = Array.from({ length: layers }, () => new Recurrent(cell, width, width));
    this.lm_head = tiedHead ? undefined : new Linear(width, vocab);
  }

  /** The layers with a row or an output per token. */
  get vocabulary(): (Embedding | Linear)[] {
    return this.lm_head === undefined ? [this.embedding] : [this.embedding, this.lm_head];
  }

  /** Errors with `model/context` when T is greater than the context. */
  forward(tokens: Tensor): Tensor {
    return this.logits(this.hidden(tokens));
  }

  /** The next tokens of a sequence whose beginning is in `cache`: tokens i32 (B, n) at positions `cache.position` on → logits (B, n, V). */
  decode(tokens: Tensor, cache: KeyValueCache): Tensor {
    return this.logits(this.hidden(tokens, cache));
  }

  /** The same for one of the tokens alone, chosen by `at` (i32 (B)): logits (B, V). */
  decodeAt(tokens: Tensor, cache: KeyValueCache, at: Tensor): Tensor {
    return this.logits(pickPosition(this.hidden(tokens, cache), at));
  }

  private hidden(tokens: Tensor, cache?: KeyValueCache): Tensor {
    const { cell, context, width } = this.config;
    checkTokens(tokens, context);
    const embedded = call(this.dropouts[0]!, call(this.embedding, tokens)); // (B, n, C)
    return this.layers.reduce((x, layer, at) => {
      const parts = Array.from({ length: statesOf[cell] }, (_, part) => `layers.${at}.state.${part}`);
      const initial = cache && parts.map((name) => cache.last(name, x.dtype, width));
      const { states } = within(layer, () => layer.run(x, { initial }));
      if (cache) parts.forEach((name, part) => void cache.keep(name, states[part]!));
      return call(this.dropouts[at + 1]!, states[0]!);
    }, embedded);
  }

  private logits(hidden: Tensor): Tensor {
    const { embedding, lm_head } = this;
    return lm_head === undefined ? within(embedding, () => embedding.attend(hidden)) : call(lm_head, hidden);
  }
}

const size = z.number().int().positive();
const presetNames = Object.keys(rnnPresets) as (keyof typeof rnnPresets)[];

const rnnSchema = z
  .strictObject({
    preset: z.enum(presetNames).optional().describe("a published size, whose numbers stand where none are given"),
    cell: z.enum(cellNames).optional().describe("what carries the state; left out, lstm"),
    layers: size.optional().describe("one on top of the other; left out, a preset's, else 1"),
    width: size.optional().describe("channels of embeddings and states"),
    context: size.optional().describe("longest sequence, in tokens: so far back gradients flow"),
    vocab: size.optional().describe("rows of the token table; left out, the tokenizer's"),
    dropout: varyingSchema(z.number().min(0).lt(1))
      .optional()
      .describe("of embeddings and between layers, in training; left out, a preset's, else 0"),
    tiedHead: z.boolean().optional().describe("the output head is the token table; left out, it is not"),
  })
  .transform(({ preset, ...given }, { addIssue }) => {
    const base: Partial<RnnConfig> = preset === undefined ? {} : rnnPresets[preset];
    const { width = base.width, context = base.context } = given;
    for (const [name, value] of Object.entries({ width, context }))
      if (value === undefined)
        addIssue({ code: "custom", path: [name], message: "missing; a positive whole number, or give a preset" });
    return {
      cell: given.cell ?? base.cell ?? "lstm",
      layers: given.layers ?? base.layers ?? 1,
      width: width as number,
      context: context as number,
      dropout: given.dropout ?? base.dropout ?? 0,
      tiedHead: given.tiedHead ?? base.tiedHead ?? false,
      vocab: given.vocab,
      presetVocab: base.vocab,
    };
  });

/** What a recipe may write under `model.rnn`. */
export type RnnInput = z.input<typeof rnnSchema>;

export const rnnFamily: ModelFamily<RnnConfig> = {
  name: "rnn",
  doc: "recurrent language model: RNN, GRU or LSTM, for text",
  tasks: ["language-model"],
  reads: "texts",
  schema: rnnSchema,
  build: (config, facts) => {
    const { vocab: given, presetVocab, ...rest } = parseConfig(rnnSchema, config, "model.rnn");
    const vocab = settleVocab("model.rnn.vocab", { given, preset: presetVocab, tokenizer: facts.vocab });
    const complete: RnnConfig = { vocab, ...rest };
    return {
      module: new Rnn(complete),
      config: complete,
      inputs: { tokens: { dtype: "i32", shape: [complete.context] } },
    };
  },
};

// The GPT-2 family and GPT-3 (Radford et al. 2019; Brown et al. 2020), with the parameter names of the published checkpoints.
// B batch, T time, C channels (width), H heads, V vocabulary, S cached time.
import type { Varying } from "../base/index.ts";
import { minimum, type Tensor, where } from "../core/index.ts";
import {
  type ActivationName,
  activate,
  CausalSelfAttention,
  call,
  Dropout,
  Embedding,
  type Init,
  type KeyValueCache,
  LayerNorm,
  Linear,
  Module,
  type Pooling,
  poolTokens,
  within,
} from "../nn/index.ts";
import { choiceScores } from "./choices.ts";
import { Decoder } from "./decoder.ts";

export interface GptConfig {
  readonly vocab: number;
  /** Longest sequence: rows of the position table. */
  readonly context: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  /** Every second layer, from the second on, sees only so many tokens, itself included (GPT-3's locally banded ones); default 0, all. */
  readonly bands?: number;
  readonly dropout: Varying;
  /** Biases in the linear layers. */
  readonly bias: boolean;
  /** Biases in the norms. */
  readonly normBias: boolean;
  readonly activation: ActivationName;
  /** The output head is the token table; else it has a table of its own, `lm_head.weight`. */
  readonly tiedHead: boolean;
  readonly eps: number;
  /** How a text that is scored becomes one vector; default last. */
  readonly pooling?: Pooling | undefined;
  /** Classes of texts. */
  readonly outputs?: number | undefined;
}

const std = 0.02; // of every matrix, as the published code

class GptMlp extends Module {
  readonly c_fc: Linear;
  readonly c_proj: Linear;
  readonly dropout: Dropout;
  readonly activation: ActivationName;

  constructor({ width, bias, dropout, activation }: GptConfig, projectionInit: Init) {
    super();
    this.c_fc = new Linear(width, 4 * width, { bias, init: { name: "normal", std } });
    this.c_proj = new Linear(4 * width, width, { bias, init: projectionInit });
    this.dropout = new Dropout(dropout);
    this.activation = activation;
  }

  forward(x: Tensor): Tensor {
    const inner = activate(this.activation, call(this.c_fc, x)); // (B, T, 4C)
    return call(this.dropout, call(this.c_proj, inner));
  }
}

class GptBlock extends Module {
  readonly ln_1: LayerNorm;
  readonly attn: CausalSelfAttention;
  readonly ln_2: LayerNorm;
  readonly mlp: GptMlp;

  constructor(config: GptConfig, layer: number) {
    super();
    const { width, heads, bias, normBias, dropout, layers, eps, bands = 0 } = config;
    // Two projections a layer end on the residual stream: its variance stays that of one (Radford et al. 2019, section 2.3).
    const projectionInit: Init = { name: "normal", std: std / Math.sqrt(2 * layers) };
    this.ln_1 = new LayerNorm(width, { bias: normBias, eps });
    const window = layer % 2 === 1 ? bands : 0;
    const init: Init = { name: "normal", std };
    this.attn = new CausalSelfAttention(width, { heads, bias, dropout, window, init, projectionInit });
    this.ln_2 = new LayerNorm(width, { bias: normBias, eps });
    this.mlp = new GptMlp(config, projectionInit);
  }

  forward(x: Tensor, documents?: Tensor, before?: Tensor): Tensor {
    const normed = call(this.ln_1, x);
    return this.feedForward(x.add(within(this.attn, () => this.attn.forward(normed, documents, before))));
  }

  decode(x: Tensor, cache: KeyValueCache): Tensor {
    const normed = call(this.ln_1, x);
    return this.feedForward(x.add(within(this.attn, () => this.attn.decode(normed, cache))));
  }

  private feedForward(x: Tensor): Tensor {
    return x.add(call(this.mlp, call(this.ln_2, x)));
  }
}

/**
 * A decoder-only transformer: tokens i32 (B, T) → logits (B, T, V).
 *
 * @example
 * ```ts
 * import { Gpt, gptPresets } from "athanor";
 * const model = new Gpt(gptPresets["gpt2"]);
 * ```
 */
export class Gpt extends Decoder {
  readonly config: GptConfig;
  readonly wte: Embedding;
  readonly wpe: Embedding;
  readonly drop: Dropout;
  readonly h: readonly GptBlock[];
  readonly ln_f: LayerNorm;
  readonly lm_head: Embedding | undefined;

  constructor(config: GptConfig) {
    super();
    const { vocab, context, width, layers, dropout, normBias, tiedHead, eps } = config;
    this.config = config;
    this.wte = new Embedding(vocab, width, { init: { name: "normal", std } });
    this.wpe = new Embedding(context, width, { init: { name: "normal", std } });
    this.drop = new Dropout(dropout);
    this.h = Array.from({ length: layers }, (_, layer) => new GptBlock(config, layer));
    this.ln_f = new LayerNorm(width, { bias: normBias, eps });
    this.lm_head = tiedHead ? undefined : new Embedding(vocab, width, { init: { name: "normal", std } });
  }

  protected get table(): Embedding {
    return this.wte;
  }

  /** Before the last norm. */
  protected hidden(tokens: Tensor, positions?: Tensor, documents?: Tensor): Tensor {
    const { prompt, prefix, start } = this;
    const all = this.embed(tokens, positions);
    const { table } = this.wpe;
    const placed =
      positions === undefined
        ? table.slice(0, prefix?.count ?? 0, start + tokens.shape[1]!)
        : call(this.wpe, positions);
    const before = prefix && call(prefix).split(this.h.length);
    const dropped = call(this.drop, all.add(placed)); // (B, T, C)
    const blocks = (x: Tensor, block: GptBlock, layer: number) =>
      within(block, () => block.forward(x, documents, before?.[layer]));
    const hidden = this.h.reduce(blocks, dropped);
    return prompt === undefined ? hidden : prompt.takeOff(hidden);
  }

  /** Puts what stands before all texts into the cache. */
  decodeStart(cache: KeyValueCache): void {
    const { prompt, prefix, h } = this;
    if (prompt !== undefined) this.decodeEmbedded(prompt.rows(cache.position.shape[0]!), cache);
    const { width, heads } = this.config;
    if (prefix !== undefined)
      cache.begin(call(prefix), { layers: h.map(({ attn }) => attn), sizes: [heads, width / heads] });
  }

  protected decodeEmbedded(embedded: Tensor, cache: KeyValueCache): Tensor {
    // Filling behind a short prompt may stand beyond the table: its rows are never looked at, any position will do.
    const positions = minimum(cache.positions(embedded.shape[1]!), this.config.context - 1);
    const placed = embedded.add(call(this.wpe, positions)); // (B, n, C)
    return this.h.reduce((x, block) => within(block, () => block.decode(x, cache)), placed);
  }

  protected logits(hidden: Tensor): Tensor {
    const normed = call(this.ln_f, hidden);
    const head = this.lm_head ?? this.wte;
    return within(head, () => head.attend(normed));
  }
}

/** Scores of a text, of each class or one of a reward model: tokens i32 (B, T), −1 behind a text's end → (B, outputs). */
export class GptForScores extends Gpt {
  readonly score: Linear;

  constructor(config: GptConfig, outputs = 1) {
    super({ ...config, tiedHead: true }); // there is no head of tokens
    this.score = new Linear(config.width, outputs, { bias: false, init: { name: "normal", std } });
  }

  override forward(tokens: Tensor): Tensor {
    const present = tokens.greaterEqual(0);
    const hidden = call(this.ln_f, this.hidden(where(present, tokens, 0)));
    return call(this.score, poolTokens(hidden, present, this.config.pooling ?? "last"));
  }
}

/** Which of several texts fits, by their scores: tokens i32 (B, N, T) → (B, N), see `choiceScores`. */
export class GptForChoices extends GptForScores {
  override forward(tokens: Tensor): Tensor {
    return choiceScores(tokens, (rows) => super.forward(rows));
  }
}

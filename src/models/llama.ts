// The Llama family (Touvron et al. 2023; Grattafiori et al. 2024) and what is shaped like it (Mistral, Mixtral, Qwen2, Qwen3), with
// the parameter names of the published checkpoints.
// B batch, T time, C channels (width), H heads of queries, G of keys and values, D channels of a head, V vocabulary, S cached time.
import { attention, currentScope, iota, rotary, type Tensor, where } from "../core/index.ts";
import {
  activate,
  addLoss,
  afterPrefix,
  call,
  Embedding,
  Experts,
  type ExpertsConfig,
  type Init,
  type KeyValueCache,
  Linear,
  Module,
  type Pooling,
  poolTokens,
  RmsNorm,
  type RotaryConfig,
  type Routing,
  rotaryFrequencies,
  routerLoss,
  within,
} from "../nn/index.ts";
import { choiceScores } from "./choices.ts";
import { Decoder } from "./decoder.ts";

export interface LlamaConfig {
  readonly vocab: number;
  /** Longest sequence that it is made for. */
  readonly context: number;
  readonly width: number;
  readonly layers: number;
  readonly heads: number;
  /** Heads of keys and values, each shared by `heads / keyValueHeads` heads of queries (Ainslie et al. 2023). */
  readonly keyValueHeads: number;
  /** Channels of a head; even. */
  readonly headWidth: number;
  /** Channels within the feed-forward part. */
  readonly hidden: number;
  /** Sliding window: how many tokens, itself included, a token sees (Mistral); 0 for all before it. */
  readonly window: number;
  /** Biases in the projections of queries, keys and values (Qwen2). */
  readonly attentionBias: boolean;
  /** Queries and keys of each head are normed before they turn (Qwen3). */
  readonly headNorm: boolean;
  readonly tiedHead: boolean;
  readonly eps: number;
  readonly rotary: RotaryConfig;
  /** Feed-forward parts that a token is sent to a few of (Mixtral); left out, one that all tokens go through. */
  readonly experts?: ExpertsConfig | undefined;
  /** How a text that is scored becomes one vector; default last. */
  readonly pooling?: Pooling | undefined;
  /** Classes of texts. */
  readonly outputs?: number | undefined;
}

const init: Init = { name: "normal", std: 0.02 }; // of every matrix, as the published code

class LlamaAttention extends Module {
  readonly config: LlamaConfig;
  readonly q_proj: Linear;
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly o_proj: Linear;
  readonly q_norm: RmsNorm | undefined;
  readonly k_norm: RmsNorm | undefined;

  constructor(config: LlamaConfig) {
    super();
    const { width, heads, keyValueHeads, headWidth, attentionBias: bias, headNorm, eps } = config;
    this.config = config;
    this.q_proj = new Linear(width, heads * headWidth, { bias, init });
    this.k_proj = new Linear(width, keyValueHeads * headWidth, { bias, init });
    this.v_proj = new Linear(width, keyValueHeads * headWidth, { bias, init });
    this.o_proj = new Linear(heads * headWidth, width, { bias: false, init });
    this.q_norm = headNorm ? new RmsNorm(headWidth, { eps }) : undefined;
    this.k_norm = headNorm ? new RmsNorm(headWidth, { eps }) : undefined;
  }

  /** `positions` (B or 1, T) turn queries and keys; `documents` i32 (B, T) keep them apart. Keys and values `before` the text, [n, 2·G·D], are not turned. */
  forward(x: Tensor, positions: Tensor, documents?: Tensor, before?: Tensor): Tensor {
    const { q, ...own } = this.project(x, positions);
    const [k, v] = afterPrefix(own.k, own.v, before);
    const { window } = this.config;
    return this.merge(attention(q, k, v, { causal: true, window, ...(documents ? { documents } : {}) }));
  }

  /** The same for the next tokens alone, over what is in the cache. */
  decode(x: Tensor, positions: Tensor, cache: KeyValueCache): Tensor {
    return this.merge(cache.attend(currentScope(), this.project(x, positions), this.config.window));
  }

  /** (B, T, C) → q (B, T, H, D), k and v (B, T, G, D) */
  private project(x: Tensor, positions: Tensor): { q: Tensor; k: Tensor; v: Tensor } {
    const [batch, time] = x.shape as [number, number];
    const { heads, keyValueHeads, headWidth, rotary: turning } = this.config;
    const split = (layer: Linear, count: number) => call(layer, x).reshape(batch, time, count, headWidth);
    const turn = (part: Tensor, norm: RmsNorm | undefined) =>
      rotary(norm === undefined ? part : call(norm, part), { ...rotaryFrequencies(headWidth, turning), positions });
    return {
      q: turn(split(this.q_proj, heads), this.q_norm),
      k: turn(split(this.k_proj, keyValueHeads), this.k_norm),
      v: split(this.v_proj, keyValueHeads),
    };
  }

  private merge(heads: Tensor): Tensor {
    const [batch, time] = heads.shape as [number, number];
    return call(this.o_proj, heads.reshape(batch, time, -1));
  }
}

/** SwiGLU (Shazeer 2020). */
class LlamaMlp extends Module {
  readonly gate_proj: Linear;
  readonly up_proj: Linear;
  readonly down_proj: Linear;

  constructor({ width, hidden }: LlamaConfig) {
    super();
    this.gate_proj = new Linear(width, hidden, { bias: false, init });
    this.up_proj = new Linear(width, hidden, { bias: false, init });
    this.down_proj = new Linear(hidden, width, { bias: false, init });
  }

  forward(x: Tensor): Tensor {
    return call(this.down_proj, activate("silu", call(this.gate_proj, x)).mul(call(this.up_proj, x)));
  }
}

/** What a block gives, and how its router chose, where it has experts. */
interface Passed {
  readonly x: Tensor;
  readonly routing?: Routing;
}

class LlamaBlock extends Module {
  readonly self_attn: LlamaAttention;
  readonly mlp: LlamaMlp | undefined;
  readonly block_sparse_moe: Experts | undefined;
  readonly input_layernorm: RmsNorm;
  readonly post_attention_layernorm: RmsNorm;

  constructor(config: LlamaConfig) {
    super();
    const { width, hidden, eps, experts } = config;
    this.self_attn = new LlamaAttention(config);
    this.mlp = experts === undefined ? new LlamaMlp(config) : undefined;
    this.block_sparse_moe = experts && new Experts({ ...experts, width, hidden, init });
    this.input_layernorm = new RmsNorm(width, { eps });
    this.post_attention_layernorm = new RmsNorm(width, { eps });
  }

  forward(x: Tensor, positions: Tensor, documents?: Tensor, before?: Tensor): Passed {
    const normed = call(this.input_layernorm, x);
    const attended = within(this.self_attn, () => this.self_attn.forward(normed, positions, documents, before));
    return this.feedForward(x.add(attended));
  }

  decode(x: Tensor, positions: Tensor, cache: KeyValueCache): Tensor {
    const normed = call(this.input_layernorm, x);
    return this.feedForward(x.add(within(this.self_attn, () => this.self_attn.decode(normed, positions, cache)))).x;
  }

  private feedForward(x: Tensor): Passed {
    const normed = call(this.post_attention_layernorm, x);
    if (this.block_sparse_moe === undefined) return { x: x.add(call(this.mlp!, normed)) };
    const { mixed, routing } = call(this.block_sparse_moe, normed);
    return { x: x.add(mixed), routing };
  }
}

/** The trunk, without the head. */
class LlamaModel extends Module {
  readonly embed_tokens: Embedding;
  readonly layers: readonly LlamaBlock[];
  readonly norm: RmsNorm;
  readonly experts: ExpertsConfig | undefined;

  constructor(config: LlamaConfig) {
    super();
    this.embed_tokens = new Embedding(config.vocab, config.width, { init });
    this.layers = Array.from({ length: config.layers }, () => new LlamaBlock(config));
    this.norm = new RmsNorm(config.width, { eps: config.eps });
    this.experts = config.experts;
  }

  /** Embedded tokens (B, T, C) → (B, T, C), after keys and values of all layers, [n, 2·L·G·D]. */
  forward(embedded: Tensor, positions: Tensor, documents?: Tensor, before?: Tensor): Tensor {
    let x = embedded;
    const prefixes = before?.split(this.layers.length);
    const routings: Routing[] = [];
    for (const [layer, block] of this.layers.entries()) {
      const passed = within(block, () => block.forward(x, positions, documents, prefixes?.[layer]));
      x = passed.x;
      if (passed.routing !== undefined) routings.push(passed.routing);
    }
    const { experts } = this;
    if (experts !== undefined) addLoss(() => routerLoss(routings, experts));
    return call(this.norm, x);
  }

  decode(embedded: Tensor, cache: KeyValueCache): Tensor {
    const positions = cache.positions(embedded.shape[1]!);
    const blocks = (x: Tensor, block: LlamaBlock) => within(block, () => block.decode(x, positions, cache));
    return call(this.norm, this.layers.reduce(blocks, embedded));
  }
}

/**
 * A decoder-only transformer with rotary positions: tokens i32 (B, T) → logits (B, T, V).
 *
 * @example
 * ```ts
 * import { Llama, llamaPresets } from "athanor";
 * const model = new Llama(llamaPresets["llama-3.2-1b"]);
 * ```
 */
export class Llama extends Decoder {
  readonly config: LlamaConfig;
  readonly model: LlamaModel;
  readonly lm_head: Linear | undefined;

  constructor(config: LlamaConfig) {
    super();
    this.config = config;
    this.model = new LlamaModel(config);
    this.lm_head = config.tiedHead ? undefined : new Linear(config.width, config.vocab, { bias: false, init });
  }

  protected get table(): Embedding {
    return this.model.embed_tokens;
  }

  protected hidden(tokens: Tensor, positions?: Tensor, documents?: Tensor): Tensor {
    const { prompt, prefix } = this;
    const all = this.embed(tokens, positions);
    const placed = positions ?? iota([1, all.shape[1]!], 1).add(prefix?.count ?? 0);
    const before = prefix && call(prefix);
    const hidden = within(this.model, () => this.model.forward(all, placed, documents, before));
    return prompt === undefined ? hidden : prompt.takeOff(hidden);
  }

  /** Puts what stands before all texts into the cache. */
  decodeStart(cache: KeyValueCache): void {
    const { prompt, prefix, model } = this;
    if (prompt !== undefined) this.decodeEmbedded(prompt.rows(cache.position.shape[0]!), cache);
    const { keyValueHeads, headWidth } = this.config;
    if (prefix !== undefined)
      cache.begin(call(prefix), {
        layers: model.layers.map(({ self_attn }) => self_attn),
        sizes: [keyValueHeads, headWidth],
      });
  }

  protected decodeEmbedded(embedded: Tensor, cache: KeyValueCache): Tensor {
    return within(this.model, () => this.model.decode(embedded, cache));
  }

  protected logits(hidden: Tensor): Tensor {
    const { lm_head: head, model } = this;
    return head === undefined
      ? within(model.embed_tokens, () => model.embed_tokens.attend(hidden))
      : call(head, hidden);
  }
}

/** Scores of a text, of each class or one of a reward model: tokens i32 (B, T), −1 behind a text's end → (B, outputs). */
export class LlamaForScores extends Llama {
  readonly score: Linear;

  constructor(config: LlamaConfig, outputs = 1) {
    super({ ...config, tiedHead: true }); // there is no head of tokens
    this.score = new Linear(config.width, outputs, { bias: false, init });
  }

  override forward(tokens: Tensor): Tensor {
    const present = tokens.greaterEqual(0);
    const hidden = this.hidden(where(present, tokens, 0));
    return call(this.score, poolTokens(hidden, present, this.config.pooling ?? "last"));
  }
}

/** Which of several texts fits, by their scores: tokens i32 (B, N, T) → (B, N), see `choiceScores`. */
export class LlamaForChoices extends LlamaForScores {
  override forward(tokens: Tensor): Tensor {
    return choiceScores(tokens, (rows) => super.forward(rows));
  }
}

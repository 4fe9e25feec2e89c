// The encoder–decoder Transformer of "Attention Is All You Need" (Vaswani et al. 2017), norms after or before each part. Parameters are
// named as Marian's and BART's are. The shared table embeds source and target and, unless told otherwise, is the output head.
// N sources, R rows written, S source time, T target time, C channels (width), V vocabulary. Padding is token −1.
import type { Varying } from "../base/index.ts";
import { iota, type Tensor, where } from "../core/index.ts";
import {
  type ActivationName,
  activate,
  call,
  type DecodingState,
  Dropout,
  Embedding,
  LayerNorm,
  Linear,
  Module,
  MultiHeadAttention,
  sinusoid,
  within,
} from "../nn/index.ts";
import type { SequenceConfig } from "./family.ts";
import { checkTokens } from "./tokens.ts";

export interface TransformerConfig extends SequenceConfig {
  readonly width: number;
  /** Channels within the feed-forward parts. */
  readonly hidden: number;
  readonly encoderLayers: number;
  readonly decoderLayers: number;
  readonly heads: number;
  readonly dropout: Varying;
  readonly activation: ActivationName;
  /** Norms stand before each part and once at the end (Xiong et al. 2020); else after each part, as published first. */
  readonly preNorm: boolean;
  readonly tiedHead: boolean;
  readonly eps: number;
}

type Part = (x: Tensor) => Tensor;

/** What the layers of both halves are made of. */
abstract class TransformerLayer extends Module {
  readonly self_attn: MultiHeadAttention;
  readonly self_attn_layer_norm: LayerNorm;
  readonly fc1: Linear;
  readonly fc2: Linear;
  readonly final_layer_norm: LayerNorm;
  readonly dropout: Dropout;
  protected readonly config: TransformerConfig;

  constructor(config: TransformerConfig) {
    super();
    const { width, hidden, heads, dropout, eps } = config;
    this.config = config;
    this.self_attn = new MultiHeadAttention(width, { heads, dropout });
    this.self_attn_layer_norm = new LayerNorm(width, { eps });
    this.fc1 = new Linear(width, hidden);
    this.fc2 = new Linear(hidden, width);
    this.final_layer_norm = new LayerNorm(width, { eps });
    this.dropout = new Dropout(dropout);
  }

  /** The residual stream after one part. */
  protected add(x: Tensor, norm: LayerNorm, part: Part): Tensor {
    const { preNorm } = this.config;
    const sum = x.add(call(this.dropout, part(preNorm ? call(norm, x) : x)));
    return preNorm ? sum : call(norm, sum);
  }

  protected feedForward(x: Tensor): Tensor {
    const part: Part = (y) => call(this.fc2, activate(this.config.activation, call(this.fc1, y)));
    return this.add(x, this.final_layer_norm, part);
  }
}

class EncoderLayer extends TransformerLayer {
  /** x (N, S, C), mask bool (N, 1, 1, S) → (N, S, C) */
  forward(x: Tensor, mask: Tensor): Tensor {
    const attn = this.self_attn;
    const part: Part = (y) => within(attn, () => attn.forward(y, y, mask));
    return this.feedForward(this.add(x, this.self_attn_layer_norm, part));
  }
}

class DecoderLayer extends TransformerLayer {
  readonly encoder_attn: MultiHeadAttention;
  readonly encoder_attn_layer_norm: LayerNorm;

  constructor(config: TransformerConfig) {
    super(config);
    const { width, heads, dropout, eps } = config;
    this.encoder_attn = new MultiHeadAttention(width, { heads, dropout });
    this.encoder_attn_layer_norm = new LayerNorm(width, { eps });
  }

  /** x (B, T, C), memory (B, S, C) → (B, T, C) */
  forward(x: Tensor, memory: Tensor, mask: Tensor): Tensor {
    const { self_attn: self, encoder_attn: cross } = this;
    return this.parts(
      x,
      (y) => within(self, () => self.causal(y)),
      (y) => within(cross, () => cross.forward(y, memory, mask)),
    );
  }

  /** The same for the next token alone. */
  decode(x: Tensor, state: DecodingState, mask: Tensor): Tensor {
    const { self_attn: self, encoder_attn: cross } = this;
    return this.parts(
      x,
      (y) => within(self, () => self.decode(y, state)),
      (y) => within(cross, () => cross.recall(y, state, mask)),
    );
  }

  private parts(x: Tensor, self: Part, cross: Part): Tensor {
    const attended = this.add(x, this.self_attn_layer_norm, self);
    return this.feedForward(this.add(attended, this.encoder_attn_layer_norm, cross));
  }
}

/** The layers of a half, and the norm that ends it where norms stand before each part. */
interface Half<Layer> {
  readonly layers: readonly Layer[];
  readonly layer_norm: LayerNorm | undefined;
}

function half<Layer>(count: number, { width, preNorm, eps }: TransformerConfig, make: () => Layer): Half<Layer> {
  return {
    layers: Array.from({ length: count }, make),
    layer_norm: preNorm ? new LayerNorm(width, { eps }) : undefined,
  };
}

function through<Layer extends Module>(
  { layers, layer_norm }: Half<Layer>,
  x: Tensor,
  step: (layer: Layer, x: Tensor) => Tensor,
): Tensor {
  const last = layers.reduce((y, layer) => within(layer, () => step(layer, y)), x);
  return layer_norm === undefined ? last : call(layer_norm, last);
}

/**
 * Source i32 (B, S) and the target so far, i32 (B, T), which begins with `config.start` → logits of each next token (B, T, V).
 *
 * @example
 * ```ts
 * import { Transformer, transformerPresets } from "athanor";
 * const model = new Transformer({ ...transformerPresets.base, vocab: 37000, start: 36998, end: 36999 });
 * ```
 */
export class Transformer extends Module {
  readonly config: TransformerConfig;
  readonly shared: Embedding;
  readonly dropout: Dropout;
  readonly encoder: Half<EncoderLayer>;
  readonly decoder: Half<DecoderLayer>;
  readonly lm_head: Embedding | undefined;

  constructor(config: TransformerConfig) {
    super();
    const { vocab, width, encoderLayers, decoderLayers, dropout, tiedHead } = config;
    this.config = config;
    const init = { name: "normal", std: width ** -0.5 } as const; // times √width it is 1, as its positions are
    this.shared = new Embedding(vocab, width, { init });
    this.dropout = new Dropout(dropout);
    this.encoder = half(encoderLayers, config, () => new EncoderLayer(config));
    this.decoder = half(decoderLayers, config, () => new DecoderLayer(config));
    this.lm_head = tiedHead ? undefined : new Embedding(vocab, width, { init });
  }

  /** Errors with `model/context` when S or T is greater than what the model is made for. */
  forward(source: Tensor, tokens: Tensor): Tensor {
    const { memory, mask } = this.encode(source);
    checkTokens(tokens, this.config.targetContext);
    const embedded = this.embed(tokens, iota([1, tokens.shape[1]!], 1));
    return this.logits(through(this.decoder, embedded, (layer, x) => layer.forward(x, memory, mask)));
  }

  /** Reads sources, i32 (N, S), into the state: keys and values of each layer's attention over them. */
  begin(source: Tensor, state: DecodingState): void {
    const { memory } = this.encode(source);
    state.hold("source", source);
    for (const { encoder_attn: cross } of this.decoder.layers) within(cross, () => cross.remember(memory, state));
  }

  /** The newest token of each row, i32 (R, 1) → logits of the next one (R, V). */
  decode(tokens: Tensor, state: DecodingState): Tensor {
    const rows = tokens.shape[0]!;
    const mask = visible(state.held("source", "i32", [rows, this.config.context]));
    const embedded = this.embed(tokens, state.position.reshape(-1, 1));
    const hidden = through(this.decoder, embedded, (layer, x) => layer.decode(x, state, mask));
    return this.logits(hidden).reshape(rows, -1);
  }

  private encode(source: Tensor): { memory: Tensor; mask: Tensor } {
    checkTokens(source, this.config.context);
    const mask = visible(source);
    const embedded = this.embed(source, iota([1, source.shape[1]!], 1));
    return { mask, memory: through(this.encoder, embedded, (layer, x) => layer.forward(x, mask)) };
  }

  /** Tokens (B, T) at `positions` (B or 1, T) → (B, T, C) */
  private embed(tokens: Tensor, positions: Tensor): Tensor {
    const { width } = this.config;
    const embedded = call(this.shared, where(tokens.greaterEqual(0), tokens, 0)).mul(Math.sqrt(width));
    return call(this.dropout, embedded.add(sinusoid(positions, width, embedded.dtype)));
  }

  private logits(hidden: Tensor): Tensor {
    const head = this.lm_head ?? this.shared;
    return within(head, () => head.attend(hidden));
  }
}

/** bool (B, 1, 1, S): where there is a token and no padding. */
function visible(source: Tensor): Tensor {
  const [batch, time] = source.shape as [number, number];
  return source.greaterEqual(0).reshape(batch, 1, 1, time);
}

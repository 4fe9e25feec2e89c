// T5 (Raffel et al. 2020) and its version 1.1 (gated feed-forward parts, a head of its own), with the parameter names of the checkpoints that
// Hugging Face publishes. Positions are told by a bias on each head's scores, by distance.
// B batch, T queries, S keys, C channels (width), H heads, D channels of a head, V vocabulary. Padding is token −1.
import type { Varying } from "../base/index.ts";
import { constant, currentScope, iota, matmulOf, softmax, type Tensor, take, where } from "../core/index.ts";
import {
  type ActivationName,
  activate,
  call,
  type DecodingState,
  Dropout,
  Embedding,
  Linear,
  Module,
  RmsNorm,
  within,
} from "../nn/index.ts";
import type { SequenceConfig } from "./family.ts";
import { checkTokens } from "./tokens.ts";

export interface T5Config extends SequenceConfig {
  readonly width: number;
  readonly heads: number;
  /** Channels of a head; heads · headWidth need not be the width. */
  readonly headWidth: number;
  /** Channels within the feed-forward parts. */
  readonly hidden: number;
  readonly encoderLayers: number;
  readonly decoderLayers: number;
  /** Rows of a table of biases: half for near distances, one each, half for ranges that grow up to `maxDistance`. */
  readonly buckets: number;
  readonly maxDistance: number;
  readonly activation: ActivationName;
  /** Two projections into the feed-forward part, of which one is a gate (version 1.1). */
  readonly gated: boolean;
  readonly dropout: Varying;
  /** The output head is the token table. */
  readonly tiedHead: boolean;
  /** What enters the head is divided by √width; so where the head was tied when the model was trained. */
  readonly scaledHead: boolean;
  readonly eps: number;
}

const normal = (variance: number) => ({ name: "normal", std: Math.sqrt(variance) }) as const;

/** The row of the table of biases for a key `ahead` of its query by so many positions. */
function bucketOf(ahead: number, { buckets, maxDistance }: T5Config, isCausal: boolean): number {
  const rows = isCausal ? buckets : Math.floor(buckets / 2);
  const distance = isCausal ? Math.max(0, -ahead) : Math.abs(ahead);
  const exact = Math.floor(rows / 2);
  // in f32, as the published models were trained: a rounding decides between two rows
  const share = Math.fround(Math.fround(Math.log(distance / exact)) / Math.fround(Math.log(maxDistance / exact)));
  const far = exact + Math.trunc(Math.fround(share * (rows - exact)));
  return (!isCausal && ahead > 0 ? rows : 0) + (distance < exact ? distance : Math.min(far, rows - 1));
}

/** What may not be seen gets this score: far below any other, and finite, so that a row of padding alone is no NaN. */
const unseen = -1e9;

class T5Attention extends Module {
  readonly config: T5Config;
  readonly q: Linear;
  readonly k: Linear;
  readonly v: Linear;
  readonly o: Linear;
  readonly relative_attention_bias: Embedding | undefined;
  readonly dropout: Dropout;

  constructor(config: T5Config, hasBias = false) {
    super();
    const { width, heads, headWidth, buckets, dropout } = config;
    const inner = heads * headWidth;
    this.config = config;
    this.q = new Linear(width, inner, { bias: false, init: normal(1 / (width * headWidth)) });
    this.k = new Linear(width, inner, { bias: false, init: normal(1 / width) });
    this.v = new Linear(width, inner, { bias: false, init: normal(1 / width) });
    this.o = new Linear(inner, width, { bias: false, init: normal(1 / inner) });
    this.relative_attention_bias = hasBias ? new Embedding(buckets, heads, { init: normal(1 / width) }) : undefined;
    this.dropout = new Dropout(dropout);
  }

  /** Biases (B or 1, H, T, S) for queries at positions i32 (B or 1, T) and `numKeys` keys from position 0 on. */
  biases(positions: Tensor, numKeys: number, isCausal: boolean): Tensor {
    const [rows, time] = positions.shape as [number, number];
    // a row for every distance that there can be, from the farthest before a query to the farthest after it
    const table = Array.from({ length: 2 * numKeys - 1 }, (_, at) => bucketOf(at - numKeys + 1, this.config, isCausal));
    const byDistance = take(this.relative_attention_bias!.table, constant(table, "i32"));
    const ahead = iota([rows, time, numKeys], 2).sub(positions.reshape(rows, time, 1));
    return take(byDistance, ahead.add(numKeys - 1)).permute(0, 3, 1, 2);
  }

  /** Queries from x (B, T, C), keys and values from `memory` (B, S, C); `mask` bool, true may be seen → (B, T, C). */
  forward(x: Tensor, memory: Tensor, mask: Tensor, biases?: Tensor): Tensor {
    return this.attend(x, this.split(this.k, memory), this.split(this.v, memory), mask, biases);
  }

  /** Self-attention of the next tokens alone, over what the state's cache holds. */
  decode(x: Tensor, { cache }: DecodingState, mask: Tensor, biases: Tensor): Tensor {
    const { keys, values } = cache.extend(currentScope(), this.split(this.k, x), this.split(this.v, x));
    return this.attend(x, keys, values, mask, biases);
  }

  /** Keeps keys and values of `memory` for `recall`. */
  remember(memory: Tensor, state: DecodingState): void {
    state.hold(`${currentScope()}.k`, this.split(this.k, memory));
    state.hold(`${currentScope()}.v`, this.split(this.v, memory));
  }

  recall(x: Tensor, state: DecodingState, mask: Tensor): Tensor {
    const { heads, headWidth } = this.config;
    const shape = [x.shape[0]!, mask.shape.at(-1)!, heads, headWidth];
    const [keys, values] = ["k", "v"].map((name) => state.held(`${currentScope()}.${name}`, x.dtype, shape));
    return this.attend(x, keys!, values!, mask);
  }

  private attend(x: Tensor, keys: Tensor, values: Tensor, mask: Tensor, biases?: Tensor): Tensor {
    const [batch, time] = x.shape as [number, number];
    const perHead = (part: Tensor) => part.permute(0, 2, 1, 3); // (B, H, S, D)
    const scores = matmulOf(perHead(this.split(this.q, x)), perHead(keys), false, true); // (B, H, T, S), not scaled
    const biased = biases === undefined ? scores : scores.add(biases);
    const probabilities = call(this.dropout, softmax(where(mask, biased, unseen)));
    const seen = matmulOf(probabilities, perHead(values), false, false).permute(0, 2, 1, 3);
    return call(this.o, seen.reshape(batch, time, -1));
  }

  /** (B, T, C) → (B, T, H, D) */
  private split(layer: Linear, x: Tensor): Tensor {
    const [batch, time] = x.shape as [number, number];
    return call(layer, x).reshape(batch, time, this.config.heads, this.config.headWidth);
  }
}

class T5FeedForward extends Module {
  readonly wi: Linear | undefined;
  readonly wi_0: Linear | undefined;
  readonly wi_1: Linear | undefined;
  readonly wo: Linear;
  readonly dropout: Dropout;
  readonly activation: ActivationName;

  constructor({ width, hidden, gated, dropout, activation }: T5Config) {
    super();
    const inner = () => new Linear(width, hidden, { bias: false, init: normal(1 / width) });
    this.wi = gated ? undefined : inner();
    this.wi_0 = gated ? inner() : undefined;
    this.wi_1 = gated ? inner() : undefined;
    this.wo = new Linear(hidden, width, { bias: false, init: normal(1 / hidden) });
    this.dropout = new Dropout(dropout);
    this.activation = activation;
  }

  forward(x: Tensor): Tensor {
    const active = activate(this.activation, call((this.wi_0 ?? this.wi)!, x));
    const inner = this.wi_1 === undefined ? active : active.mul(call(this.wi_1, x));
    return call(this.wo, call(this.dropout, inner));
  }
}

/** The norm before a part of a block and the dropout after it. */
interface Frame {
  readonly layer_norm: RmsNorm;
  readonly dropout: Dropout;
}

const frame = ({ width, eps, dropout }: T5Config): Frame => ({
  layer_norm: new RmsNorm(width, { eps }),
  dropout: new Dropout(dropout),
});

const add = (x: Tensor, { layer_norm, dropout }: Frame, part: (x: Tensor) => Tensor): Tensor =>
  x.add(call(dropout, part(call(layer_norm, x))));

class T5EncoderBlock extends Module {
  readonly layer: readonly [Frame & { SelfAttention: T5Attention }, Frame & { DenseReluDense: T5FeedForward }];

  constructor(config: T5Config, hasBias: boolean) {
    super();
    const self = { SelfAttention: new T5Attention(config, hasBias), ...frame(config) };
    this.layer = [self, { DenseReluDense: new T5FeedForward(config), ...frame(config) }];
  }

  /** x (B, S, C), mask bool (B, 1, 1, S), biases (1, H, S, S) → (B, S, C) */
  forward(x: Tensor, mask: Tensor, biases: Tensor): Tensor {
    const [self, last] = this.layer;
    const attention = self.SelfAttention;
    const seen = add(x, self, (y) => within(attention, () => attention.forward(y, y, mask, biases)));
    return add(seen, last, (y) => call(last.DenseReluDense, y));
  }
}

class T5DecoderBlock extends Module {
  readonly layer: readonly [
    Frame & { SelfAttention: T5Attention },
    Frame & { EncDecAttention: T5Attention },
    Frame & { DenseReluDense: T5FeedForward },
  ];

  constructor(config: T5Config, hasBias: boolean) {
    super();
    const self = { SelfAttention: new T5Attention(config, hasBias), ...frame(config) };
    const cross = { EncDecAttention: new T5Attention(config), ...frame(config) };
    this.layer = [self, cross, { DenseReluDense: new T5FeedForward(config), ...frame(config) }];
  }

  /** x (B, T, C), memory (B, S, C), `mask` of the memory; each token sees the `earlier` ones, bool (1, 1, T, T) → (B, T, C) */
  forward(x: Tensor, memory: Tensor, mask: Tensor, earlier: Tensor, biases: Tensor): Tensor {
    return this.parts(
      x,
      (self, y) => self.forward(y, y, earlier, biases),
      (cross, y) => cross.forward(y, memory, mask),
    );
  }

  /** The same for the next token alone. */
  decode(x: Tensor, state: DecodingState, mask: Tensor, earlier: Tensor, biases: Tensor): Tensor {
    return this.parts(
      x,
      (self, y) => self.decode(y, state, earlier, biases),
      (cross, y) => cross.recall(y, state, mask),
    );
  }

  private parts(x: Tensor, ...[self, cross]: readonly ((attention: T5Attention, y: Tensor) => Tensor)[]): Tensor {
    const [first, second, last] = this.layer;
    const { SelfAttention } = first;
    const { EncDecAttention } = second;
    const own = add(x, first, (y) => within(SelfAttention, () => self!(SelfAttention, y)));
    const both = add(own, second, (y) => within(EncDecAttention, () => cross!(EncDecAttention, y)));
    return add(both, last, (y) => call(last.DenseReluDense, y));
  }
}

interface Half<Block> {
  readonly block: readonly Block[];
  readonly final_layer_norm: RmsNorm;
  readonly dropout: Dropout;
}

function half<Block>(count: number, config: T5Config, make: (hasBias: boolean) => Block): Half<Block> {
  const { layer_norm: final_layer_norm, dropout } = frame(config);
  return { block: Array.from({ length: count }, (_, at) => make(at === 0)), final_layer_norm, dropout };
}

/**
 * Source i32 (B, S) and the target so far, i32 (B, T), which begins with `config.start` → logits of each next token (B, T, V). Linear
 * weights are stored [inputs, outputs], the transpose of the checkpoints'.
 *
 * @example
 * ```ts
 * import { T5, t5Presets } from "athanor";
 * const model = new T5({ ...t5Presets["t5-small"], vocab: 32128, start: 0, end: 1 });
 * ```
 */
export class T5 extends Module {
  readonly config: T5Config;
  readonly shared: Embedding;
  readonly encoder: Half<T5EncoderBlock>;
  readonly decoder: Half<T5DecoderBlock>;
  readonly lm_head: Embedding | undefined;

  constructor(config: T5Config) {
    super();
    const { vocab, width, encoderLayers, decoderLayers, tiedHead } = config;
    this.config = config;
    this.shared = new Embedding(vocab, width, { init: normal(1) });
    this.encoder = half(encoderLayers, config, (hasBias) => new T5EncoderBlock(config, hasBias));
    this.decoder = half(decoderLayers, config, (hasBias) => new T5DecoderBlock(config, hasBias));
    this.lm_head = tiedHead ? undefined : new Embedding(vocab, width, { init: normal(1) });
  }

  /** Errors with `model/context` when S or T is greater than what the model is made for. */
  forward(source: Tensor, tokens: Tensor): Tensor {
    const { memory, mask } = this.encode(source);
    checkTokens(tokens, this.config.targetContext);
    const time = tokens.shape[1]!;
    const earlier = iota([1, 1, time, time], 3).lessEqual(iota([1, 1, time, time], 2));
    const biases = this.firstOf(this.decoder).biases(iota([1, time], 1), time, true);
    const step = (block: T5DecoderBlock, x: Tensor) => block.forward(x, memory, mask, earlier, biases);
    const hidden = this.through(this.decoder, tokens, step);
    return this.logits(hidden);
  }

  /** Reads sources, i32 (N, S), into the state: keys and values of each layer's attention over them. */
  begin(source: Tensor, state: DecodingState): void {
    const { memory } = this.encode(source);
    state.hold("source", source);
    for (const { layer } of this.decoder.block) {
      const { EncDecAttention: cross } = layer[1];
      within(cross, () => cross.remember(memory, state));
    }
  }

  /** The newest token of each row, i32 (R, 1) → logits of the next one (R, V). */
  decode(tokens: Tensor, state: DecodingState): Tensor {
    const rows = tokens.shape[0]!;
    const mask = visible(state.held("source", "i32", [rows, this.config.context]));
    const { length } = state.cache;
    const position = state.position.reshape(rows, 1);
    const earlier = iota([rows, 1, 1, length], 3).lessEqual(position.reshape(rows, 1, 1, 1));
    const biases = this.firstOf(this.decoder).biases(position, length, true);
    const step = (block: T5DecoderBlock, x: Tensor) => block.decode(x, state, mask, earlier, biases);
    const hidden = this.through(this.decoder, tokens, step);
    return this.logits(hidden).reshape(rows, -1);
  }

  private encode(source: Tensor): { memory: Tensor; mask: Tensor } {
    checkTokens(source, this.config.context);
    const mask = visible(source);
    const time = source.shape[1]!;
    const biases = this.firstOf(this.encoder).biases(iota([1, time], 1), time, false);
    return { mask, memory: this.through(this.encoder, source, (block, x) => block.forward(x, mask, biases)) };
  }

  /** The attention whose table of biases serves all blocks of a half. */
  private firstOf({ block }: Half<T5EncoderBlock | T5DecoderBlock>): T5Attention {
    return block[0]!.layer[0].SelfAttention;
  }

  private through<Block extends Module>(
    { block, final_layer_norm, dropout }: Half<Block>,
    tokens: Tensor,
    step: (block: Block, x: Tensor) => Tensor,
  ): Tensor {
    const embedded = call(dropout, call(this.shared, where(tokens.greaterEqual(0), tokens, 0)));
    const last = block.reduce((x, one) => within(one, () => step(one, x)), embedded);
    return call(dropout, call(final_layer_norm, last));
  }

  private logits(hidden: Tensor): Tensor {
    const head = this.lm_head ?? this.shared;
    const scaled = this.config.scaledHead ? hidden.mul(this.config.width ** -0.5) : hidden;
    return within(head, () => head.attend(scaled));
  }
}

/** bool (B, 1, 1, S): where there is a token and no padding. */
function visible(source: Tensor): Tensor {
  const [batch, time] = source.shape as [number, number];
  return source.greaterEqual(0).reshape(batch, 1, 1, time);
}

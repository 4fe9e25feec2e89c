// Decoder: the ends that decoder-only families share, from tokens to what the blocks read and from what they make to logits, and the places trained
// before every text. The blocks are each family's own.
// B batch, T time, n tokens given now, C channels, V vocabulary.
import type { Tensor } from "../core/index.ts";
import {
  call,
  type Embedding,
  type KeyValueCache,
  type KeyValuePrefix,
  type Linear,
  Module,
  type VirtualTokens,
} from "../nn/index.ts";
import { checkRows, checkTokens, pickPosition } from "./tokens.ts";

export abstract class Decoder extends Module {
  abstract readonly config: { readonly vocab: number; readonly context: number };
  /** The output head, where it is not the token table. */
  abstract readonly lm_head: Embedding | Linear | undefined;
  /** Trained vectors before every text, which take up places of the context. Declared alone, as the prefix: behind the family's own parameters. */
  declare prompt: VirtualTokens | undefined;
  /** The same as keys and values of each layer. */
  declare prefix: KeyValuePrefix | undefined;

  /** A row per token. */
  protected abstract get table(): Embedding;
  /** What the blocks make of tokens: (B, T, C). */
  protected abstract hidden(tokens: Tensor, positions?: Tensor, documents?: Tensor): Tensor;
  /** The same of embedded tokens (B, n, C) behind those in the cache. */
  protected abstract decodeEmbedded(embedded: Tensor, cache: KeyValueCache): Tensor;
  protected abstract logits(hidden: Tensor): Tensor;

  /**
   * Tokens i32 (B, T) → logits (B, T, V). `positions` i32 (B, T), default 0 … T − 1; `documents` i32 (B, T): a token sees those of its own document
   * alone. Errors with `model/context` when T is greater than the context.
   */
  forward(tokens: Tensor, positions?: Tensor, documents?: Tensor): Tensor {
    return this.logits(this.hidden(tokens, positions, documents));
  }

  /** Places of the context that are taken before every text. */
  get start(): number {
    return (this.prompt ?? this.prefix)?.count ?? 0;
  }

  /** The layers with a row or an output per token. */
  get vocabulary(): (Embedding | Linear)[] {
    return this.lm_head === undefined ? [this.table] : [this.table, this.lm_head];
  }

  /** Tokens as vectors, behind those of the prompt: (B, T) → (B, n + T, C). */
  protected embed(tokens: Tensor, positions?: Tensor): Tensor {
    const { prompt, start } = this;
    checkTokens(tokens, this.config.context, start);
    checkRows(positions, start);
    const own = call(this.table, tokens);
    return prompt === undefined ? own : call(prompt, own);
  }

  /**
   * The next tokens of a sequence whose beginning is in `cache`: tokens i32 (B, n) at positions `cache.position` on → logits
   * (B, n, V). What they add is written into the cache.
   */
  decode(tokens: Tensor, cache: KeyValueCache): Tensor {
    return this.logits(this.decodeHidden(tokens, cache));
  }

  /** The same for one of each row's n tokens alone, chosen by `at` (i32 (B)): logits (B, V). The head is the dearest part. */
  decodeAt(tokens: Tensor, cache: KeyValueCache, at: Tensor): Tensor {
    return this.logits(pickPosition(this.decodeHidden(tokens, cache), at));
  }

  private decodeHidden(tokens: Tensor, cache: KeyValueCache): Tensor {
    checkTokens(tokens, this.config.context);
    return this.decodeEmbedded(call(this.table, tokens), cache);
  }
}

// Causal self-attention with one projection for queries, keys and values, and its step-by-step form over cached keys.
// B batch, T time (tokens given), S cached time, C channels, H heads, D = C / H.
import { fail, type Varying } from "../base/index.ts";
import { attention, currentScope, type Tensor } from "../core/index.ts";
import type { KeyValueCache } from "./cache.ts";
import { checkRate, Dropout, randomInputs, rateOf } from "./dropout.ts";
import type { Init } from "./init.ts";
import { afterPrefix } from "./key-value-prefix.ts";
import { Linear } from "./linear.ts";
import { call, Module } from "./module.ts";

export interface AttentionOptions {
  readonly heads: number;
  readonly bias?: boolean;
  /** Rate of the dropout on probabilities and on the output; default 0. */
  readonly dropout?: Varying;
  /** Sliding window: how many tokens, itself included, a token sees; default all before it. */
  readonly window?: number;
  readonly init?: Init;
  /** Start of the output projection, which ends on the residual stream. */
  readonly projectionInit?: Init;
}

/** Multi-head self-attention in which a token sees itself and what came before (Vaswani et al. 2017; names as GPT-2). */
export class CausalSelfAttention extends Module {
  readonly heads: number;
  readonly dropout: Varying;
  readonly window: number;
  readonly c_attn: Linear;
  readonly c_proj: Linear;
  readonly resid_dropout: Dropout;

  constructor(width: number, options: AttentionOptions) {
    super();
    const { heads, bias = true, dropout = 0, window = 0, init = "xavierUniform", projectionInit = init } = options;
    this.heads = checkHeads(heads, width);
    this.dropout = checkRate(dropout);
    this.window = window;
    this.c_attn = new Linear(width, 3 * width, { bias, init });
    this.c_proj = new Linear(width, width, { bias, init: projectionInit });
    this.resid_dropout = new Dropout(dropout);
  }

  /** `documents` i32 (B, T): a token sees those of its own document alone; default all. Keys and values `before` the text, [n, 2C], all see. */
  forward(x: Tensor, documents?: Tensor, before?: Tensor): Tensor {
    const [q, ...own] = this.project(x);
    const [k, v] = afterPrefix(...own, before);
    const separate = documents === undefined ? {} : { documents };
    const dropped = randomInputs(this.dropout) !== undefined;
    const stream = `${currentScope()}.probabilities`;
    const dropout = dropped ? { dropout: { rate: rateOf(this.dropout, x.dtype), stream } } : {};
    return this.merge(attention(q, k, v, { causal: true, window: this.window, ...separate, ...dropout }));
  }

  /** The same for the next tokens alone: their keys and values go into `cache`, and they see all that is in it up to them. */
  decode(x: Tensor, cache: KeyValueCache): Tensor {
    const [q, k, v] = this.project(x);
    return this.merge(cache.attend(currentScope(), { q, k, v }, this.window));
  }

  /** (B, T, C) → three of (B, T, H, D) */
  private project(x: Tensor): readonly [Tensor, Tensor, Tensor] {
    const [batch, time, width] = x.shape as [number, number, number];
    const perHead = (part: Tensor) => part.reshape(batch, time, this.heads, width / this.heads);
    const [q, k, v] = call(this.c_attn, x).split(3).map(perHead); // (B, T, 3C)
    return [q!, k!, v!];
  }

  /** (B, T, H, D) → (B, T, C) */
  private merge(heads: Tensor): Tensor {
    const [batch, time] = heads.shape as [number, number];
    return call(this.resid_dropout, call(this.c_proj, heads.reshape(batch, time, -1)));
  }
}

/** Errors with `nn/heads` unless the heads divide the width. */
export function checkHeads(heads: number, width: number): number {
  if (width % heads === 0) return heads;
  return fail("nn/heads", "heads must divide the width", {
    expected: `a divisor of ${width}`,
    got: String(heads),
    fix: "change heads or width",
  });
}

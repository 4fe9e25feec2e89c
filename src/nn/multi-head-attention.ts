// Attention with a projection each for queries, keys and values: over the sequence itself or over another one, whole or step by step.
// B batch, T queries, S keys, C channels, H heads, D = C / H.
import type { Varying } from "../base/index.ts";
import { attention, currentScope, type Tensor } from "../core/index.ts";
import { checkHeads } from "./attention.ts";
import type { DecodingState } from "./decoding-state.ts";
import { checkRate, randomInputs, rateOf } from "./dropout.ts";
import type { Init } from "./init.ts";
import { Linear } from "./linear.ts";
import { call, Module } from "./module.ts";

export interface MultiHeadOptions {
  readonly heads: number;
  /** Rate of the dropout on probabilities; default 0. */
  readonly dropout?: Varying;
  readonly init?: Init;
}

/** Multi-head attention (Vaswani et al. 2017, section 3.2.2); names as BART's and Marian's. */
export class MultiHeadAttention extends Module {
  readonly heads: number;
  readonly dropout: Varying;
  readonly k_proj: Linear;
  readonly v_proj: Linear;
  readonly q_proj: Linear;
  readonly out_proj: Linear;

  constructor(width: number, { heads, dropout = 0, init = "xavierUniform" }: MultiHeadOptions) {
    super();
    this.heads = checkHeads(heads, width);
    this.dropout = checkRate(dropout);
    this.k_proj = new Linear(width, width, { init });
    this.v_proj = new Linear(width, width, { init });
    this.q_proj = new Linear(width, width, { init });
    this.out_proj = new Linear(width, width, { init });
  }

  /**
   * Queries from x (B, T, C), keys and values from `memory` (B, S, C), left out x itself → (B, T, C). `mask` bool (B, 1, 1, S): true may be
   * seen; left out, all.
   */
  forward(x: Tensor, memory: Tensor = x, mask?: Tensor): Tensor {
    return this.attend(x, memory, mask === undefined ? {} : { mask });
  }

  /** Self-attention in which a token sees itself and what came before. */
  causal(x: Tensor): Tensor {
    return this.attend(x, x, { causal: true });
  }

  /** Self-attention of the next tokens alone, over what the state's cache holds. */
  decode(x: Tensor, { cache }: DecodingState): Tensor {
    const [q, k, v] = [this.q_proj, this.k_proj, this.v_proj].map((layer) => this.split(layer, x));
    return this.merge(cache.attend(currentScope(), { q: q!, k: k!, v: v! }));
  }

  /** Keeps keys and values of `memory` for `recall`, so that they are computed once for a text. */
  remember(memory: Tensor, state: DecodingState): void {
    state.hold(`${currentScope()}.k`, this.split(this.k_proj, memory));
    state.hold(`${currentScope()}.v`, this.split(this.v_proj, memory));
  }

  /** Attention of x (B, T, C) over what was remembered. */
  recall(x: Tensor, state: DecodingState, mask: Tensor): Tensor {
    const [batch, , width] = x.shape as [number, number, number];
    const shape = [batch, mask.shape.at(-1)!, this.heads, width / this.heads];
    const [keys, values] = ["k", "v"].map((name) => state.held(`${currentScope()}.${name}`, x.dtype, shape));
    return this.merge(attention(this.split(this.q_proj, x), keys!, values!, { mask }));
  }

  private attend(x: Tensor, memory: Tensor, sight: { readonly mask?: Tensor; readonly causal?: boolean }): Tensor {
    const dropout = { rate: rateOf(this.dropout, x.dtype), stream: `${currentScope()}.probabilities` };
    const [keys, values] = [this.split(this.k_proj, memory), this.split(this.v_proj, memory)];
    const dropped = randomInputs(this.dropout) === undefined ? {} : { dropout };
    return this.merge(attention(this.split(this.q_proj, x), keys, values, { ...sight, ...dropped }));
  }

  /** (B, T, C) → (B, T, H, D) */
  private split(layer: Linear, x: Tensor): Tensor {
    const [batch, time, width] = x.shape as [number, number, number];
    return call(layer, x).reshape(batch, time, this.heads, width / this.heads);
  }

  private merge(heads: Tensor): Tensor {
    const [batch, time] = heads.shape as [number, number];
    return call(this.out_proj, heads.reshape(batch, time, -1));
  }
}

// Prefix tuning (Li & Liang 2021): trained keys and values of every layer stand before a text, over a model that stays as it is.
// B batch, n places, T time, L layers, G heads of keys and values, D channels of a head, C channels.
import { concat, type Tensor } from "../core/index.ts";
import { Linear } from "./linear.ts";
import { call, Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

export interface PrefixConfig {
  /** Places. */
  readonly tokens: number;
  /** Numbers of a place: 2·L·G·D. */
  readonly channels: number;
  /** Channels of the vectors that they are made of, and those on the way; left out, they are trained themselves. */
  readonly projection?: { readonly width: number; readonly hidden: number } | undefined;
}

export class KeyValuePrefix extends Module {
  /** [n, 2·L·G·D]: layer after layer its keys and its values, as PEFT has them; with a projection [n, C]. */
  readonly weight: Parameter;
  readonly inner: Linear | undefined;
  readonly outer: Linear | undefined;

  /** It begins as PEFT's does. */
  constructor({ tokens, channels, projection }: PrefixConfig) {
    super();
    this.weight = new Parameter([tokens, projection?.width ?? channels], { init: { name: "normal", std: 1 } });
    if (projection === undefined) return;
    this.inner = linear(projection.width, projection.hidden);
    this.outer = linear(projection.hidden, channels);
  }

  get count(): number {
    return this.weight.shape[0]!;
  }

  /** What the layers get, [n, 2·L·G·D]. */
  forward(): Tensor {
    const { inner, outer, weight } = this;
    return inner === undefined ? weight.tensor : call(outer!, call(inner, weight.tensor).tanh());
  }
}

/** He's uniform distribution with a slope of √5, which is this bound. */
function linear(inputs: number, outputs: number): Linear {
  const init = { name: "uniform", bound: 1 / Math.sqrt(inputs) } as const;
  return new Linear(inputs, outputs, { init, biasInit: init });
}

/** The keys and values of one layer, [n, 2·G·D], as they stand before so many texts: (B, n, G, D) each. */
export function prefixRows(layer: Tensor, batch: number, [heads, width]: readonly [number, number]): Tensor[] {
  const count = layer.shape[0]!;
  return layer.split(2).map((part) => part.reshape(1, count, heads, width).broadcastTo([batch, count, heads, width]));
}

/** Keys and values of texts, (B, T, G, D), after those `before` them, [n, 2·G·D]: (B, n + T, G, D). */
export function afterPrefix(k: Tensor, v: Tensor, before: Tensor | undefined): readonly [k: Tensor, v: Tensor] {
  if (before === undefined) return [k, v];
  const [batch, , heads, width] = k.shape as [number, number, number, number];
  const [keys, values] = prefixRows(before, batch, [heads, width]);
  return [concat([keys!, k], 1), concat([values!, v], 1)];
}

/** Name in a model of its keys and values, or of what a projection makes them of. */
export const prefixName = "prefix.weight";

/** True for the name of a parameter that a prefix has in a model. */
export const isPrefixName = (name: string): boolean => name.startsWith("prefix.");

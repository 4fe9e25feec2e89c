// The key/value cache of step-by-step generation: variables of the store that attention layers extend, and recurrent ones with the state behind
// each token. Only text models use it.
import type { DType, Shape } from "../base/index.ts";
import {
  assign,
  attention,
  currentScope,
  iota,
  type Tensor,
  take,
  updateSlice,
  variable,
  where,
} from "../core/index.ts";
import { prefixRows } from "./key-value-prefix.ts";
import { type Module, within } from "./module.ts";

/** Keys and values of all layers, B rows of positions 0 … length − 1, of which those before the row's `position` are filled. */
export class KeyValueCache {
  /** i32 (B): where the tokens given now begin. */
  readonly position: Tensor;
  /** Positions that the cache has room for. */
  readonly length: number;
  private readonly prefix: string;
  private readonly order: Tensor | undefined;

  /**
   * Variables are called `<prefix>.<layer>.k` and `.v`; what they hold beyond `position` is never seen. `order` i32 (B): the row of the
   * step before that each row goes on from, as beams need it; left out, its own.
   */
  constructor(options: { position: Tensor; length: number; prefix: string; order?: Tensor }) {
    this.order = options.order;
    this.position = options.position;
    this.length = options.length;
    this.prefix = options.prefix;
  }

  /**
   * Attention of the n tokens given now, q (B, n, H, D): their keys and values k and v (B, n, G, D) go into the cache, and each
   * sees all that is in its row up to itself, or the last `window` of it (0: all).
   */
  attend(layer: string, { q, k, v }: { q: Tensor; k: Tensor; v: Tensor }, window = 0): Tensor {
    const { keys, values } = this.extend(layer, k, v);
    return attention(q, keys, values, { causal: true, window, mask: this.position });
  }

  /** Writes the keys and values of the tokens given now, (B, n, G, D), and returns those of all positions, (B, S, G, D). */
  extend(layer: string, k: Tensor, v: Tensor): { keys: Tensor; values: Tensor } {
    return { keys: this.write(`${layer}.k`, k), values: this.write(`${layer}.v`, v) };
  }

  /** Puts keys and values that are no tokens' before all texts: [n, 2·L·G·D] for these attention layers, of `sizes` [G, D]. */
  begin(prefix: Tensor, { layers, sizes }: { layers: readonly Module[]; sizes: readonly [number, number] }): void {
    const parts = prefix.split(layers.length);
    for (const [at, layer] of layers.entries()) {
      const [k, v] = prefixRows(parts[at]!, this.position.shape[0]!, sizes);
      within(layer, () => this.extend(currentScope(), k!, v!));
    }
  }

  /** i32 (B, n): where each of the n tokens given now stands. */
  positions(numTokens: number): Tensor {
    return iota([1, numTokens], 1).add(this.position.reshape(-1, 1));
  }

  /** Keeps the carried states (B, n, W) of the tokens given now: each stays, so that a text can be gone on from any of its tokens. */
  keep(name: string, states: Tensor): void {
    this.write(name, states);
  }

  /** The state (B, W) that was kept of the token before those given now; zeros where a text begins. */
  last(name: string, dtype: DType, width: number): Tensor {
    const { position, length } = this;
    const batch = position.shape[0]!;
    const rows = this.read(name, dtype, [batch, length, width]).reshape(batch * length, width);
    const before = position
      .sub(1)
      .maximum(0)
      .add(iota([batch], 0).mul(length));
    return where(position.reshape(batch, 1).greater(0), take(rows, before), 0);
  }

  private write(name: string, value: Tensor): Tensor {
    const [batch, , ...rest] = value.shape as [number, number, ...number[]];
    const after = updateSlice(this.read(name, value.dtype, [batch, this.length, ...rest]), value, this.position, 1);
    assign(`${this.prefix}.${name}`, after);
    return after;
  }

  /** What is kept before this step, each row that of the row it goes on from. */
  private read(name: string, dtype: DType, shape: Shape): Tensor {
    const before = variable(`${this.prefix}.${name}`, dtype, shape);
    return this.order === undefined ? before : take(before, this.order);
  }
}

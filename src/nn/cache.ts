// The key/value cache of step-by-step generation: variables of the store that attention layers extend. Only text models use it.
import { assign, iota, type Tensor, updateSlice, variable } from "../core/index.ts";

/** Keys and values of all layers for positions 0 … length − 1, of which those before `position` are filled. */
export class KeyValueCache {
  /** i32 scalar: where the tokens given now begin. */
  readonly position: Tensor;
  /** Positions that the cache has room for. */
  readonly length: number;
  private readonly prefix: string;

  /** Variables are called `<prefix>.<layer>.k` and `.v`; what they hold beyond `position` is never seen. */
  constructor(options: { position: Tensor; length: number; prefix: string }) {
    this.position = options.position;
    this.length = options.length;
    this.prefix = options.prefix;
  }

  /** Writes the keys and values (B, n, H, D) of the tokens given now, and returns those of all positions (B, S, H, D). */
  extend(layer: string, k: Tensor, v: Tensor): { keys: Tensor; values: Tensor } {
    return { keys: this.write(`${layer}.k`, k), values: this.write(`${layer}.v`, v) };
  }

  private write(name: string, value: Tensor): Tensor {
    const full = `${this.prefix}.${name}`;
    const [batch, , heads, width] = value.shape as [number, number, number, number];
    const before = variable(full, value.dtype, [batch, this.length, heads, width]);
    const after = updateSlice(before, value, this.position, 1);
    assign(full, after);
    return after;
  }

  /** bool (1, 1, n, S): token i of those given now sees positions up to `position + i`, the last `window` of them (0: all). */
  visible(numTokens: number, window = 0): Tensor {
    const shape = [1, 1, numTokens, this.length];
    const last = iota(shape, 2).add(this.position);
    const before = iota(shape, 3).lessEqual(last);
    return window === 0 ? before : before.and(iota(shape, 3).greater(last.sub(window)));
  }
}

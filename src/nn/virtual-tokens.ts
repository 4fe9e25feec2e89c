// Virtual tokens (prompt tuning: Lester et al. 2021): trained vectors that stand before the embedded tokens of a model that stays as it is.
import { broadcastTo, concat, type Tensor } from "../core/index.ts";
import { isPrefixName } from "./key-value-prefix.ts";
import { isLoraName } from "./lora.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

export class VirtualTokens extends Module {
  /** [n, width] */
  readonly weight: Parameter;

  /** They begin uniform in ±0.5 (section 2.1 there). */
  constructor(count: number, width: number) {
    super();
    this.weight = new Parameter([count, width], { init: { name: "uniform", bound: 0.5 } });
  }

  get count(): number {
    return this.weight.shape[0]!;
  }

  /** The same for each of so many texts: (B, n, C). */
  rows(batch: number): Tensor {
    const [count, width] = this.weight.shape as [number, number];
    return broadcastTo(this.weight.tensor.reshape(1, count, width), [batch, count, width]);
  }

  /** Embedded texts (B, T, C) → (B, n + T, C). */
  forward(embedded: Tensor): Tensor {
    return concat([this.rows(embedded.shape[0]!), embedded], 1);
  }

  /** What was made of the text alone: (B, n + T, C) → (B, T, C). */
  takeOff(hidden: Tensor): Tensor {
    return hidden.slice(1, this.count, hidden.shape[1]!);
  }
}

/** Name of their parameter in a model. */
export const promptName = "prompt.weight";

/** True for the name of a parameter that an adapter has. */
export const isAdapterName = (name: string): boolean => name === promptName || isPrefixName(name) || isLoraName(name);

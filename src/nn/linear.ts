// Linear: an affine map of the last dimension.
import { matmul, type Tensor } from "../core/index.ts";
import type { Init } from "./init.ts";
import type { Lora } from "./lora.ts";
import { call, Module, within } from "./module.ts";
import { Parameter } from "./parameter.ts";
import type { QuantizedWeight } from "./quantized-weight.ts";

export interface LinearOptions {
  /** Default true. */
  readonly bias?: boolean;
  /** Start of the weight; default `xavierUniform`. */
  readonly init?: Init;
  /** Start of the bias; default `zeros`. */
  readonly biasInit?: Init;
}

/**
 * `x · weight + bias` over the last dimension: (…, inputs) → (…, outputs). The weight is stored [inputs, outputs], as GPT-2's
 * checkpoint has it (PyTorch's Linear stores the transpose).
 */
export class Linear extends Module {
  /** [inputs, outputs]; in few bits where `quantizeLayers` was asked for it. */
  weight: Parameter | QuantizedWeight;
  readonly bias: Parameter | undefined;
  /** An adapter, through which the output goes. */
  lora: Lora | undefined;

  constructor(inputs: number, outputs: number, options: LinearOptions = {}) {
    super();
    const { bias = true, init = "xavierUniform", biasInit = "zeros" } = options;
    this.weight = new Parameter([inputs, outputs], { init });
    this.bias = bias ? new Parameter([outputs], { init: biasInit }) : undefined;
  }

  forward(x: Tensor): Tensor {
    const rows = x.rank === 1 ? x.reshape(1, -1) : x;
    const { weight } = this;
    const products = weight instanceof Parameter ? matmul(rows, weight.tensor) : call(weight, rows);
    const product = x.rank === 1 ? products.reshape(-1) : products;
    const { lora } = this;
    const adapted = lora === undefined ? product : within(lora, () => lora.adapt(x, product, weight));
    return this.bias === undefined ? adapted : adapted.add(this.bias.tensor);
  }
}

// Normalization layers over the last dimension.
import { layerNorm, rmsNorm, type Tensor, zeros } from "../core/index.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** Layer normalization (Ba et al. 2016). */
export class LayerNorm extends Module {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
  readonly eps: number;

  /** `bias` defaults to true, `eps` to 1e-5. */
  constructor(width: number, options: { bias?: boolean; eps?: number } = {}) {
    super();
    this.weight = new Parameter([width], { init: "ones" });
    this.bias = (options.bias ?? true) ? new Parameter([width], { init: "zeros" }) : undefined;
    this.eps = options.eps ?? 1e-5;
  }

  forward(x: Tensor): Tensor {
    const bias = this.bias?.tensor ?? zeros(this.weight.shape, x.dtype);
    return layerNorm(x, this.weight.tensor, bias, this.eps);
  }
}

/** Root-mean-square normalization (Zhang & Sennrich 2019). */
export class RmsNorm extends Module {
  readonly weight: Parameter;
  readonly eps: number;

  /** `eps` defaults to 1e-6. */
  constructor(width: number, options: { eps?: number } = {}) {
    super();
    this.weight = new Parameter([width], { init: "ones" });
    this.eps = options.eps ?? 1e-6;
  }

  forward(x: Tensor): Tensor {
    return rmsNorm(x, this.weight.tensor, this.eps);
  }
}

// Stacks of linear layers: the general perceptron, and modules in a row.
import type { Varying } from "../base/index.ts";
import type { Tensor } from "../core/index.ts";
import { type ActivationName, activate } from "./activation.ts";
import { Dropout } from "./dropout.ts";
import { type Init, requireUnlike } from "./init.ts";
import { Linear } from "./linear.ts";
import { call, Module } from "./module.ts";

export interface MlpOptions {
  /** Default `relu`. */
  readonly activation?: ActivationName;
  /** After each hidden activation; default 0. */
  readonly dropout?: Varying;
  /** Of the hidden layers. Default: He's for `relu`, Glorot's for the others. Errors with `nn/symmetry` for equal numbers. */
  readonly init?: Init;
}

/** Linear layers with an activation between them: widths [inputs, hidden…, outputs], (…, inputs) → (…, outputs). */
export class Mlp extends Module {
  readonly layers: readonly Linear[];
  readonly dropouts: readonly Dropout[];
  readonly activation: ActivationName;

  constructor(widths: readonly number[], options: MlpOptions = {}) {
    super();
    const { activation = "relu", dropout = 0, init = activation === "relu" ? "heNormal" : "xavierUniform" } = options;
    const last = widths.length - 2;
    if (last > 0) requireUnlike(init);
    this.layers = widths
      .slice(1)
      .map((outputs, at) => new Linear(widths[at]!, outputs, { init: at === last ? "xavierUniform" : init }));
    this.dropouts = Array.from({ length: last }, () => new Dropout(dropout));
    this.activation = activation;
  }

  forward(x: Tensor): Tensor {
    return this.layers.reduce((value, layer, at) => {
      const next = call(layer, value);
      const dropout = this.dropouts[at];
      return dropout === undefined ? next : call(dropout, activate(this.activation, next));
    }, x);
  }
}

/** What a Sequential can hold: modules of one tensor, and plain functions. */
export type Layer = (Module & { forward(x: Tensor): Tensor }) | ((x: Tensor) => Tensor);

/**
 * Layers one after the other. Parameters are named by position, `layers.0.weight`.
 *
 * @example
 * ```ts
 * import { Linear, Sequential } from "athanor";
 * const model = new Sequential(new Linear(10, 20), (x) => x.relu(), new Linear(20, 1));
 * ```
 */
export class Sequential extends Module {
  readonly layers: readonly Layer[];

  constructor(...layers: readonly Layer[]) {
    super();
    this.layers = layers;
  }

  forward(x: Tensor): Tensor {
    return this.layers.reduce((value, layer) => (typeof layer === "function" ? layer(value) : call(layer, value)), x);
  }
}

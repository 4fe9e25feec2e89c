// Layers whose input width the data decides: `sequential([dense(64, "relu"), dense(10, "softmax")])`. What is written is a plan; `build`
// makes the modules of it.
import { didYouMean, fail } from "../base/index.ts";
import { softmax, type Tensor } from "../core/index.ts";
import { type ActivationName, activate, activationNames } from "./activation.ts";
import { Dropout } from "./dropout.ts";
import { type Init, requireUnlike } from "./init.ts";
import { Linear } from "./linear.ts";
import { type Layer, Sequential } from "./mlp.ts";
import type { Module } from "./module.ts";

type DenseActivation = ActivationName | "softmax";

type TensorModule = Extract<Layer, Module>;

/** A layer before the width of its input is known. */
export interface LayerPlan<M extends TensorModule = TensorModule> {
  /** The width of what it gives, for an input of `inputs` channels. */
  outputs(inputs: number): number;
  build(inputs: number): M;
}

export interface DenseOptions {
  /** Default true. */
  readonly bias?: boolean;
  /** Start of the weight. Default: He's for `relu`, Glorot's for the others. */
  readonly init?: Init;
}

/** A linear layer and an activation after it: (…, inputs) → (…, units). */
export class Dense extends Linear {
  readonly activation: DenseActivation;

  constructor(inputs: number, units: number, activation: DenseActivation = "identity", options: DenseOptions = {}) {
    super(inputs, units, { init: activation === "relu" ? "heNormal" : "xavierUniform", ...options });
    this.activation = activation;
  }

  override forward(x: Tensor): Tensor {
    const { activation } = this;
    return activation === "softmax" ? softmax(super.forward(x)) : activate(activation, super.forward(x));
  }
}

const activations = [...activationNames, "softmax"];

/** A plan of `Dense`. Errors with `nn/units` for a width that is not a positive whole number, `nn/activation` for a name that is none. */
export function dense(
  units: number,
  activation: DenseActivation = "identity",
  options?: DenseOptions,
): LayerPlan<Dense> {
  if (!(Number.isInteger(units) && units > 0)) {
    fail("nn/units", "a dense layer has a whole number of units", {
      where: `dense(${units})`,
      expected: "1 or more",
      got: String(units),
      fix: "dense(64)",
    });
  }
  if (!activations.includes(activation)) {
    const near = didYouMean(String(activation), activations);
    fail("nn/activation", "there is no activation of this name", {
      where: `dense(${units}, ${JSON.stringify(activation)})`,
      expected: activations.join(", "),
      got: String(activation),
      fix: near === undefined ? "choose one of these" : `did you mean ${near}?`,
    });
  }
  return { outputs: () => units, build: (inputs) => new Dense(inputs, units, activation, options) };
}

/** A plan of `Dropout`, which acts in training alone. */
export function dropout(rate: number): LayerPlan<Dropout> {
  return { outputs: (inputs) => inputs, build: () => new Dropout(rate) };
}

/**
 * Layers one after the other, each as wide as the one before gives. Errors with `nn/symmetry` when hidden units would start alike.
 *
 * @example
 * ```ts
 * import { dense, sequential } from "athanor";
 * const model = sequential([dense(64, "relu"), dense(10, "softmax")]);
 * console.log([...model.build(20).parameters().keys()]); // layers.0.weight, layers.0.bias, layers.1.weight, layers.1.bias
 * ```
 */
export function sequential(layers: readonly LayerPlan[]): LayerPlan<Sequential> {
  if (layers.length === 0)
    fail("nn/units", "a model needs a layer", { where: "sequential([])", fix: "sequential([dense(1)])" });
  return {
    outputs: (inputs) => layers.reduce((width, layer) => layer.outputs(width), inputs),
    build: (inputs) => {
      let width = inputs;
      const built = layers.map((layer) => {
        const module = layer.build(width);
        width = layer.outputs(width);
        return module;
      });
      for (const layer of built.slice(0, -1)) if (layer instanceof Dense) requireUnlike(layer.weight.init);
      return new Sequential(...built);
    },
  };
}

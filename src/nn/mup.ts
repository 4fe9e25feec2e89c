// Maximal update parametrization (Yang et al. 2022, table 3): how starts and learning rates change with width, so that what was
// tuned on a narrow model is right for a wide one. It changes no forward pass.
import { fail, sameShape } from "../base/index.ts";
import { Embedding } from "./embedding.ts";
import type { Init } from "./init.ts";
import type { Module } from "./module.ts";

/** Factors on the learning rate that was tuned on the base. */
export interface MupRates {
  /** Which dimensions of a matrix [in, out] grew: its outputs, both, its inputs, or none. A vector counts as outputs. */
  readonly kind: "input" | "hidden" | "output" | "fixed";
  /** For Adam and what else divides by the size of gradients. */
  readonly adam: number;
  readonly sgd: number;
}

/**
 * Scales the starts of `model`, the wide one, and returns the factors on learning rates by parameter. `base` is the same model at the
 * width that was tuned; equal widths change nothing. Starts with variances 1/fanIn, as Xavier's, He's and LeCun's have, follow the width
 * by themselves, in hidden layers; those of a fixed size, such as `normal`'s, are scaled there too.
 * Errors with `nn/mup` when the models do not have the same parameters.
 *
 * @example
 * ```ts run
 * import { Mlp, mup } from "athanor";
 * const rates = mup(new Mlp([8, 256, 256, 1]), new Mlp([8, 64, 64, 1]));
 * console.log(rates.get("layers.1.weight")); // { kind: "hidden", adam: 0.25, sgd: 1 }
 * ```
 */
export function mup(model: Module, base: Module): Map<string, MupRates> {
  const narrow = base.parameters();
  const rates = new Map<string, MupRates>();
  // tables whose rows are scored: [outputs, inputs]
  const heads = new Set(
    [...model.modules()].filter(([path, module]) => isHead(path, module)).map(([path]) => `${path}.weight`),
  );
  for (const [name, parameter] of model.parameters()) {
    const { shape } = parameter;
    const before = narrow.get(name)?.shape;
    if (before?.length !== shape.length || model.parameters().size !== narrow.size) {
      fail("nn/mup", "the model and its base differ in more than width", {
        where: name,
        expected: "the same parameters, of other widths",
        got: `[${shape}] against ${before ? `[${before}]` : "no such parameter"}`,
        fix: "build both by one function of the width",
      });
    }
    const [inputs, outputs] = heads.has(name) ? [-1, -2] : [-2, -1];
    const grownIn = shape.length < 2 ? 1 : shape.at(inputs)! / before.at(inputs)!;
    const grownOut = (shape.at(outputs) ?? 1) / (before.at(outputs) ?? 1);
    const kind = sameShape(shape, before) ? "fixed" : grownIn === 1 ? "input" : grownOut === 1 ? "output" : "hidden";
    // the base's variance over the growth in hidden layers, over its square at the output
    const power = (kind === "output" ? 0.5 : 0) + (isFixed(parameter.init) && kind !== "input" ? 0.5 : 0);
    if (power > 0 && grownIn !== 1)
      parameter.init = { name: "scaled", init: parameter.init, factor: 1 / grownIn ** power };
    rates.set(name, {
      kind,
      adam: 1 / grownIn,
      sgd: kind === "input" ? grownOut : kind === "output" ? 1 / grownIn : 1,
    });
  }
  return rates;
}

/** Whether a start has the same size at every width. */
function isFixed(init: Init): boolean {
  if (typeof init === "object" && init.name === "scaled") return isFixed(init.init);
  return ["normal", "truncatedNormal", "uniform", "sparse"].includes(typeof init === "string" ? init : init.name);
}

/** Whether an embedding is an output head of its own, by its name in published checkpoints. */
const isHead = (path: string, module: Module): boolean => module instanceof Embedding && /(^|\.)lm_head$/.test(path);

// Low-rank adapters (Hu et al. 2021): beside a frozen linear layer two narrow ones are trained, whose product is added to its weight.
import { didYouMean, fail } from "../base/index.ts";
import { stopGradient, type Tensor } from "../core/index.ts";
import { Dropout } from "./dropout.ts";
import { Linear } from "./linear.ts";
import { call, Module } from "./module.ts";
import { Parameter } from "./parameter.ts";
import { QuantizedWeight } from "./quantized-weight.ts";

/** What the narrow matrices begin as: a product of zero, or the largest singular vectors of the weight (Meng et al. 2024). */
export const loraInits = ["zero", "pissa"] as const;

export interface LoraConfig {
  readonly rank: number;
  /** What the product is scaled by, over the rank; over its root where that is `rankStabilized` (Kalajdzievski 2023). */
  readonly alpha: number;
  readonly rankStabilized: boolean;
  /** Of what enters the adapter, in training. */
  readonly dropout: number;
  /** Linear layers by their path, in which `*` stands for any characters: `*.q_proj`. */
  readonly targets: readonly string[];
  /** Lengths of the weight's columns are trained apart from their directions (DoRA: Liu et al. 2024). */
  readonly magnitude: boolean;
  readonly init: (typeof loraInits)[number];
}

/** Factor of the product A·B. */
export const loraScale = ({
  rank,
  alpha,
  rankStabilized,
}: Pick<LoraConfig, "rank" | "alpha" | "rankStabilized">): number => alpha / (rankStabilized ? Math.sqrt(rank) : rank);

/** An adapter of a weight [inputs, outputs]: A [inputs, rank] and B [rank, outputs], which begins at zero. */
export class Lora extends Module {
  readonly A: Parameter;
  readonly B: Parameter;
  /** PiSSA: what A and B began as. Their product is taken off again, so that the weight need not change. */
  readonly A0: Parameter | undefined;
  readonly B0: Parameter | undefined;
  /** DoRA: the length of each output's weights. */
  readonly magnitude: Parameter | undefined;
  readonly dropout: Dropout;
  readonly scale: number;

  constructor(inputs: number, outputs: number, config: LoraConfig) {
    super();
    const { rank } = config;
    // As PEFT begins: He's uniform distribution with a slope of √5, which is this bound.
    this.A = new Parameter([inputs, rank], { init: { name: "uniform", bound: 1 / Math.sqrt(inputs) } });
    this.B = new Parameter([rank, outputs], { init: "zeros" });
    if (config.init === "pissa") {
      this.A0 = new Parameter([inputs, rank], { init: "zeros", constant: true });
      this.B0 = new Parameter([rank, outputs], { init: "zeros", constant: true });
    }
    if (config.magnitude) this.magnitude = new Parameter([outputs], { init: "ones" });
    this.dropout = new Dropout(config.dropout);
    this.scale = loraScale(config);
  }

  /** (…, inputs) → (…, outputs): what is added to the layer's product. */
  forward(x: Tensor): Tensor {
    const dropped = call(this.dropout, x);
    const product = dropped.matmul(this.A.tensor).matmul(this.B.tensor);
    const { A0, B0 } = this;
    const start = A0 === undefined ? undefined : dropped.matmul(A0.tensor).matmul(B0!.tensor);
    return (start === undefined ? product : product.sub(start)).mul(this.scale);
  }

  /** The layer's product of x with the adapter. Gradients do not pass through the lengths that DoRA divides by (section 4.3). */
  adapt(x: Tensor, product: Tensor, weight: Parameter | QuantizedWeight): Tensor {
    const sum = product.add(this.forward(x));
    if (this.magnitude === undefined || weight instanceof QuantizedWeight) return sum;
    return sum.mul(this.factors(weight.tensor));
  }

  /** What DoRA multiplies the outputs by. */
  factors(weight: Tensor): Tensor {
    return this.magnitude!.tensor.div(stopGradient(columnLengths(this.sum(weight))));
  }

  /** The weight that layer and adapter together are. */
  merge(weight: Tensor): Tensor {
    const sum = this.sum(weight);
    return this.magnitude === undefined ? sum : sum.mul(this.magnitude.tensor.div(columnLengths(sum)));
  }

  private sum(weight: Tensor): Tensor {
    const product = this.A.tensor.matmul(this.B.tensor);
    const { A0, B0 } = this;
    return weight.add((A0 === undefined ? product : product.sub(A0.tensor.matmul(B0!.tensor))).mul(this.scale));
  }
}

const columnLengths = (matrix: Tensor): Tensor => matrix.square().sum({ axis: 0 }).sqrt();

/** Patterns of an optimizer's `freeze` that leave the adapters alone trained. */
export const frozenBesideLora = ["!*.lora.*"] as const;

/** True for the name of an adapter's parameter. */
export const isLoraName = (name: string): boolean => /\.lora\.\w+$/.test(name);

/** The layers of a model that have an adapter, by path. */
export function adaptedLayers(model: Module): [path: string, layer: Linear & { lora: Lora }][] {
  return [...model.modules()].filter(
    (entry): entry is [string, Linear & { lora: Lora }] => entry[1] instanceof Linear && entry[1].lora !== undefined,
  );
}

/** Gives the chosen linear layers of a model an adapter each; their paths. Errors with `nn/lora` where a pattern chooses none. */
export function addLora(model: Module, config: LoraConfig): string[] {
  const layers = new Map([...model.modules()].filter((entry): entry is [string, Linear] => entry[1] instanceof Linear));
  const chosen = new Set<string>();
  for (const target of config.targets) {
    const expression = new RegExp(`^${target.split("*").map(escapeRegExp).join(".*")}$`);
    const found = [...layers.keys()].filter((path) => expression.test(path));
    if (found.length === 0) {
      const near = didYouMean(target, [...layers.keys()]);
      fail("nn/lora", "a pattern chooses no linear layer", {
        where: "targets",
        expected: [...new Set([...layers.keys()].map((path) => path.replace(/^.*\./, "*.")))].join(", "),
        got: target,
        fix: near === undefined ? "* stands for any characters, dots included" : `did you mean ${near}?`,
      });
    }
    for (const path of found) chosen.add(path);
  }
  for (const path of chosen) {
    const layer = layers.get(path)!;
    const [inputs, outputs] = layer.weight.shape as [number, number];
    if (config.magnitude && layer.weight instanceof QuantizedWeight)
      fail("nn/lora", "lengths of columns are those of a whole weight", {
        where: path,
        expected: "magnitude: false beside a base in few bits",
        got: `magnitude: true, base: ${layer.weight.format}`,
        fix: "leave out adapter.lora.base or adapter.lora.magnitude",
      });
    layer.lora = new Lora(inputs, outputs, config);
  }
  return [...chosen];
}

const escapeRegExp = (text: string): string => text.replace(/[.+?^${}()|[\]\\]/g, "\\$&");

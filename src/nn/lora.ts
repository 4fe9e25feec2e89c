// Low-rank adapters (Hu et al. 2021): beside a frozen linear layer two narrow ones are trained, whose product is added to its weight.
import { didYouMean, fail } from "../base/index.ts";
import type { Tensor } from "../core/index.ts";
import { Dropout } from "./dropout.ts";
import { Linear } from "./linear.ts";
import { call, Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

export interface LoraConfig {
  readonly rank: number;
  /** What the product is scaled by, over the rank; over its root where that is `rankStabilized` (Kalajdzievski 2023). */
  readonly alpha: number;
  readonly rankStabilized: boolean;
  /** Of what enters the adapter, in training. */
  readonly dropout: number;
  /** Linear layers by their path, in which `*` stands for any characters: `*.q_proj`. */
  readonly targets: readonly string[];
}

/** Factor of the product A·B. */
export const loraScale = ({ rank, alpha, rankStabilized }: LoraConfig): number =>
  alpha / (rankStabilized ? Math.sqrt(rank) : rank);

/** (…, inputs) → (…, outputs): dropped, through A [inputs, rank] and B [rank, outputs], scaled. B begins at zero. */
export class Lora extends Module {
  readonly A: Parameter;
  readonly B: Parameter;
  readonly dropout: Dropout;
  readonly scale: number;

  constructor(inputs: number, outputs: number, config: LoraConfig) {
    super();
    // As PEFT begins: He's uniform distribution with a slope of √5, which is this bound.
    this.A = new Parameter([inputs, config.rank], { init: { name: "uniform", bound: 1 / Math.sqrt(inputs) } });
    this.B = new Parameter([config.rank, outputs], { init: "zeros" });
    this.dropout = new Dropout(config.dropout);
    this.scale = loraScale(config);
  }

  forward(x: Tensor): Tensor {
    return call(this.dropout, x).matmul(this.A.tensor).matmul(this.B.tensor).mul(this.scale);
  }
}

/** Patterns of an optimizer's `freeze` that leave the adapters alone trained. */
export const frozenBesideLora = ["!*.lora.*"] as const;

/** True for the name of an adapter's parameter. */
export const isLoraName = (name: string): boolean => /\.lora\.[AB]$/.test(name);

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
    layer.lora = new Lora(inputs, outputs, config);
  }
  return [...chosen];
}

const escapeRegExp = (text: string): string => text.replace(/[.+?^${}()|[\]\\]/g, "\\$&");

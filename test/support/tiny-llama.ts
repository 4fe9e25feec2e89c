// The tiny models of the Llama family of test/golden/llama.json as graphs, on every engine alike. No figures of ours.
import { readFileSync } from "node:fs";
import { type FloatDType, fromNumbers, type HostArray } from "../../src/base/index.ts";
import { type Graph, gradients, type Tensor, trace } from "../../src/core/index.ts";
import { Llama, type LlamaConfig } from "../../src/models/index.ts";
import { crossEntropy, functionalCall, type RotaryScaling } from "../../src/nn/index.ts";
import { type StatedStart, startOf } from "./tiny-gpt.ts";

export interface TinyLlamaCase extends StatedStart {
  readonly config: LlamaConfig;
  readonly logits: number[];
  readonly loss: number;
  /** In the order of `parameters`. */
  readonly gradNorms: number[];
}

export const tinyLlama = JSON.parse(readFileSync("test/golden/llama.json", "utf8")) as {
  readonly batch: number;
  readonly time: number;
  readonly tokens: number[];
  readonly targets: number[];
  readonly cases: { readonly [name: string]: TinyLlamaCase };
  readonly scalings: readonly {
    readonly scaling: RotaryScaling;
    readonly frequencies: number[];
    readonly magnitude: number;
  }[];
  readonly counts: { readonly [preset: string]: number };
};

/** The case's graph, with outputs `logits`, `loss` and `norm <parameter>`, and its feeds, the parameters among them. */
export function traceTinyLlama(
  wanted: TinyLlamaCase,
  dtype: FloatDType,
): { graph: Graph; feeds: Record<string, HostArray> } {
  const { batch, time, tokens, targets } = tinyLlama;
  const ids = (values: number[]) => fromNumbers("i32", [batch, time], values);
  const parameters = startOf(wanted, dtype);
  const feeds = { ...Object.fromEntries(parameters), tokens: ids(tokens), targets: ids(targets) };
  const model = new Llama(wanted.config);
  const names = [...parameters.keys()];
  const graph = trace(
    feeds,
    (given: { readonly [name: string]: Tensor }) => {
      const tensors = new Map(names.map((name) => [name, given[name]!]));
      return functionalCall(model, tensors, () => {
        const logits = model.forward(given.tokens!);
        const loss = crossEntropy(logits, given.targets!);
        const found = gradients([loss], [...tensors.values()]);
        const norms = names.map((name, at) => [`norm ${name}`, found[at]!.square().sum().sqrt()] as const);
        return { logits, loss, ...Object.fromEntries(norms) };
      });
    },
    { floatDType: dtype },
  );
  return { graph, feeds };
}

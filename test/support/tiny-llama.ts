// The tiny models of the Llama family of test/golden/llama.json as graphs, on every engine alike. No figures of ours.
import { readFileSync } from "node:fs";
import { type FloatDType, fromNumbers, type HostArray } from "../../src/base/index.ts";
import type { Graph } from "../../src/core/index.ts";
import { Llama, type LlamaConfig } from "../../src/models/index.ts";
import type { RotaryScaling } from "../../src/nn/index.ts";
import { type StatedStart, startOf } from "./tiny-gpt.ts";
import { traceWithNorms } from "./trace-with-norms.ts";

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
  const model = new Llama(wanted.config);
  return traceWithNorms(model, startOf(wanted, dtype), {
    inputs: { tokens: ids(tokens), targets: ids(targets) },
    dtype,
    logits: ({ tokens }) => model.forward(tokens!),
  });
}

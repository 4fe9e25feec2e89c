// The tiny encoder–decoder of test/golden/transformer.json as graphs, on every engine alike. No figures of ours.
import { readFileSync } from "node:fs";
import { type FloatDType, fromNumbers, type HostArray } from "../../src/base/index.ts";
import type { Graph } from "../../src/core/index.ts";
import { Transformer, type TransformerConfig } from "../../src/models/index.ts";
import { type StatedStart, startOf } from "./tiny-gpt.ts";
import { traceWithNorms } from "./trace-with-norms.ts";

interface TinyTransformerCase extends StatedStart {
  readonly logits: number[];
  readonly loss: number;
  /** In the order of `parameters`. */
  readonly gradNorms: number[];
}

export const tinyTransformer = JSON.parse(readFileSync("test/golden/transformer.json", "utf8")) as {
  readonly config: Omit<TransformerConfig, "preNorm">;
  readonly batch: number;
  readonly source: number[];
  readonly tokens: number[];
  readonly targets: number[];
  readonly cases: { readonly post: TinyTransformerCase; readonly pre: TinyTransformerCase };
};

export type NormPlace = keyof typeof tinyTransformer.cases;
export const normPlaces: readonly NormPlace[] = ["post", "pre"];

export function tinyTransformerModel(place: NormPlace): Transformer {
  return new Transformer({ ...tinyTransformer.config, preNorm: place === "pre" });
}

/** The case's graph, with outputs `logits`, `loss` and `norm <parameter>`, and its feeds, the parameters among them. */
export function traceTinyTransformer(
  place: NormPlace,
  dtype: FloatDType,
): { graph: Graph; feeds: Record<string, HostArray> } {
  const { config, batch, source, tokens, targets, cases } = tinyTransformer;
  const model = tinyTransformerModel(place);
  const ids = (values: number[], time: number) => fromNumbers("i32", [batch, time], values);
  return traceWithNorms(model, startOf(cases[place], dtype), {
    inputs: {
      source: ids(source, config.context),
      tokens: ids(tokens, config.targetContext),
      targets: ids(targets, config.targetContext),
    },
    dtype,
    logits: ({ source, tokens }) => model.forward(source!, tokens!),
  });
}

// The tiny BERT of test/golden/bert.json as graphs, on every engine alike. No figures of ours.
import { readFileSync } from "node:fs";
import { type FloatDType, fromNumbers, type HostArray } from "../../src/base/index.ts";
import type { Graph } from "../../src/core/index.ts";
import { type BertConfig, BertForMaskedLM } from "../../src/models/index.ts";
import { within } from "../../src/nn/index.ts";
import { type StatedStart, startOf } from "./tiny-gpt.ts";
import { traceWithNorms } from "./trace-with-norms.ts";

interface TinyBertCase {
  readonly mask: number[] | null;
  readonly types: number[] | null;
  readonly targets: number[];
  readonly logits: number[];
  readonly loss: number;
  /** In the order of `parameters`. */
  readonly gradNorms: number[];
}

export const tinyBert = JSON.parse(readFileSync("test/golden/bert.json", "utf8")) as {
  readonly config: BertConfig;
  readonly counts: { readonly [preset: string]: number };
  readonly parameters: StatedStart["parameters"];
  readonly batch: number;
  readonly tokens: number[];
  readonly cases: { readonly [name: string]: TinyBertCase };
};

/** The case's graph, with outputs `logits`, `loss` and `norm <parameter>`, and its feeds, the parameters among them. */
export function traceTinyBert(
  { mask, types, targets }: TinyBertCase,
  dtype: FloatDType,
): { graph: Graph; feeds: Record<string, HostArray> } {
  const { config, tokens, batch } = tinyBert;
  const ids = (values: number[]) => fromNumbers("i32", [batch, config.context], values);
  const model = new BertForMaskedLM(config);
  return traceWithNorms(model, startOf(tinyBert, dtype), {
    inputs: {
      ...{ tokens: ids(tokens), targets: ids(targets) },
      ...(mask === null ? {} : { mask: fromNumbers("bool", [batch, config.context], mask) }),
      ...(types === null ? {} : { types: ids(types) }),
    },
    dtype,
    logits: ({ tokens, mask, types }) =>
      model.predict(within(model.bert, () => model.bert.forward(tokens!, mask, types))),
  });
}

// The tiny BERT of test/golden/bert.json as graphs, on every engine alike. No figures of ours.
import { readFileSync } from "node:fs";
import { type FloatDType, fromNumbers, type HostArray } from "../../src/base/index.ts";
import { type Graph, gradients, type Tensor, trace } from "../../src/core/index.ts";
import { Bert, type BertConfig } from "../../src/models/index.ts";
import { crossEntropy, functionalCall } from "../../src/nn/index.ts";
import { type StatedStart, startOf } from "./tiny-gpt.ts";

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
  const parameters = startOf(tinyBert, dtype);
  const feeds = {
    ...Object.fromEntries(parameters),
    ...{ tokens: ids(tokens), targets: ids(targets) },
    ...(mask === null ? {} : { mask: fromNumbers("bool", [batch, config.context], mask) }),
    ...(types === null ? {} : { types: ids(types) }),
  };
  const model = new Bert(config);
  const names = [...parameters.keys()];
  const graph = trace(
    feeds,
    (given: { readonly [name: string]: Tensor }) => {
      const tensors = new Map(names.map((name) => [name, given[name]!]));
      return functionalCall(model, tensors, () => {
        const logits = model.forward(given.tokens!, given.mask, given.types);
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

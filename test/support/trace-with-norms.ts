// A model of text as a graph with its loss and the norms of its gradients: what the tiny models of the golden files are held by.
import type { FloatDType, HostArray } from "../../src/base/index.ts";
import { type Graph, gradients, type Tensor, trace } from "../../src/core/index.ts";
import { crossEntropy, functionalCall, type Module } from "../../src/nn/index.ts";

type Given = { readonly [name: string]: Tensor };

/** Outputs `logits`, `loss` against the feed `targets`, and `norm <parameter>`; the parameters are feeds too. */
export function traceWithNorms(
  model: Module,
  parameters: ReadonlyMap<string, HostArray>,
  {
    inputs,
    dtype,
    logits,
  }: {
    readonly inputs: { readonly [name: string]: HostArray };
    readonly dtype: FloatDType;
    readonly logits: (given: Given) => Tensor;
  },
): { graph: Graph; feeds: Record<string, HostArray> } {
  const feeds = { ...Object.fromEntries(parameters), ...inputs };
  const names = [...parameters.keys()];
  const graph = trace(
    feeds,
    (given: Given) => {
      const tensors = new Map(names.map((name) => [name, given[name]!]));
      return functionalCall(model, tensors, () => {
        const found = logits(given);
        const loss = crossEntropy(found, given.targets!);
        const grads = gradients([loss], [...tensors.values()]);
        const norms = names.map((name, at) => [`norm ${name}`, grads[at]!.square().sum().sqrt()] as const);
        return { logits: found, loss, ...Object.fromEntries(norms) };
      });
    },
    { floatDType: dtype },
  );
  return { graph, feeds };
}

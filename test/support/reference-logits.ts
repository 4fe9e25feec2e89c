// Logits of a model in f64, from tensors of any dtype.
import { fromNumbers, type HostArray, toNumbers } from "../../src/base/index.ts";
import { type Tensor, trace } from "../../src/core/index.ts";
import { functionalCall, type Module } from "../../src/nn/index.ts";
import { runReference } from "./run-reference.ts";

/** What a model that reads `tokens` alone puts out, with these values of its parameters. */
export function referenceLogits(
  module: Module,
  tensors: ReadonlyMap<string, HostArray>,
  tokens: HostArray,
): Float64Array {
  const values = [...tensors].map(([key, array]) => [key, fromNumbers("f64", array.shape, toNumbers(array))] as const);
  const graph = trace(
    { ...Object.fromEntries(values), tokens },
    ({ tokens, ...parameters }: { readonly [name: string]: Tensor }) =>
      functionalCall(module, new Map(Object.entries(parameters)), () => module.forward(tokens!)) as Tensor,
    { floatDType: "f64" },
  );
  return toNumbers(runReference(graph, { ...Object.fromEntries(values), tokens }).result!);
}

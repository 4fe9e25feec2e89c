// Logits of a model in f64, from tensors of any dtype.
import { fromNumbers, type HostArray, isFloat, toNumbers } from "../../src/base/index.ts";
import { type Tensor, trace } from "../../src/core/index.ts";
import { functionalCall, type Module } from "../../src/nn/index.ts";
import { runReference } from "./run-reference.ts";

/** What a model puts out for these tokens (a source and a target's, of an encoder–decoder), with these values of its parameters. */
export function referenceLogits(
  module: Module,
  tensors: ReadonlyMap<string, HostArray>,
  ...tokens: readonly HostArray[]
): Float64Array {
  const wide = (array: HostArray) => (isFloat(array.dtype) ? fromNumbers("f64", array.shape, toNumbers(array)) : array);
  const values = [...tensors].map(([key, array]) => [key, wide(array)] as const);
  const inputs = tokens.map((array, at) => [`tokens.${at}`, array] as const);
  const feeds = Object.fromEntries([...values, ...inputs]);
  const graph = trace(
    feeds,
    (given: { readonly [name: string]: Tensor }) => {
      const parameters = new Map(values.map(([key]) => [key, given[key]!]));
      return functionalCall(module, parameters, () => module.forward(...inputs.map(([key]) => given[key]!))) as Tensor;
    },
    { floatDType: "f64" },
  );
  return toNumbers(runReference(graph, feeds).result!);
}

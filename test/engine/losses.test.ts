// Every loss on the native engine, in f32, against PyTorch's values and gradients.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { type DType, fromNumbers, type HostArray } from "../../src/base/index.ts";
import { gradients, type Tensor, trace } from "../../src/core/index.ts";
import * as nn from "../../src/nn/index.ts";
import { assertClose } from "../support/close.ts";
import { runNative } from "../support/run-native.ts";

type Places = { readonly [name: string]: number };
interface Case {
  readonly name: string;
  readonly loss: string;
  readonly options: object;
  readonly tensors: Places;
  readonly inputs: Places;
  readonly output: number;
  readonly cotangent: number;
  readonly grads: Places;
}
const golden = new URL("../golden/losses.json", import.meta.url);
const { pool, cases } = JSON.parse(readFileSync(golden, "utf8")) as {
  pool: { dtype: DType; shape: number[]; data: number[] }[];
  cases: Case[];
};
const losses = nn as unknown as { readonly [name: string]: (...inputs: (Tensor | object)[]) => Tensor };

const unpack = (place: number, floats: DType): HostArray => {
  const { dtype, shape, data } = pool[place]!;
  return fromNumbers(dtype === "f64" ? floats : dtype, shape, data);
};
const unpackAll = (places: Places, prefix: string, floats: DType): { [name: string]: HostArray } =>
  Object.fromEntries(Object.entries(places).map(([name, place]) => [prefix + name, unpack(place, floats)]));

/** Probabilities are clipped at one ulp of the dtype: the figure is that of f64. */
const exact = cases.filter(({ name }) => !name.includes("certain probabilities"));

test.each(exact)("$name", async ({ loss, options, tensors, inputs, output, cotangent, grads }) => {
  const feeds = {
    ...unpackAll(inputs, "in ", "f32"),
    ...unpackAll(tensors, "option ", "f32"),
    cotangent: unpack(cotangent, "f32"),
  };
  const graph = trace(feeds, (given: { [name: string]: Tensor }) => {
    const settings = Object.fromEntries(Object.keys(tensors).map((name) => [name, given[`option ${name}`]!]));
    const value = losses[loss]!(...Object.keys(inputs).map((name) => given[`in ${name}`]!), {
      ...options,
      ...settings,
    });
    const found = gradients(
      [value],
      Object.keys(grads).map((name) => given[`in ${name}`]!),
      [given.cotangent],
    );
    return { output: value, ...Object.fromEntries(Object.keys(grads).map((name, at) => [`grad ${name}`, found[at]!])) };
  });
  const outputs = await runNative(graph, feeds);
  const wanted = { output: unpack(output, "f64"), ...unpackAll(grads, "grad ", "f64") };
  for (const [name, value] of Object.entries(wanted)) {
    expect(outputs[name]!.shape).toEqual(value.shape);
    assertClose(outputs[name]!, value, { scale: 5e-6, what: name });
  }
});

// Every loss on the native engine, in f32, against PyTorch's values and gradients.
import { expect, test } from "vitest";
import { gradients, type Tensor, trace } from "../../src/core/index.ts";
import * as nn from "../../src/nn/index.ts";
import { assertClose } from "../support/close.ts";
import { lossCases, unpack, unpackAll } from "../support/golden-losses.ts";
import { runNative } from "../support/run-native.ts";

const losses = nn as unknown as { readonly [name: string]: (...inputs: (Tensor | object)[]) => Tensor };

/** Probabilities are clipped at one ulp of the dtype: the figure is that of f64. */
const exact = lossCases.filter(({ name }) => !/certain (probabilities|answers)/.test(name));

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
  const wanted = { output: unpack(output), ...unpackAll(grads, "grad ") };
  for (const [name, value] of Object.entries(wanted)) {
    expect(outputs[name]!.shape).toEqual(value.shape);
    assertClose(outputs[name]!, value, { scale: 5e-6, what: name });
  }
});

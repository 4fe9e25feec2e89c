// The tiny models of the Llama family on the native engine in f32 against Transformers' figures.
import { expect, test } from "vitest";
import { toNumbers } from "../../src/base/index.ts";
import { assertClose } from "../support/close.ts";
import { nativeEngine, runNative } from "../support/run-native.ts";
import { tinyLlama, traceTinyLlama } from "../support/tiny-llama.ts";

test.skipIf(nativeEngine() === undefined).each(Object.entries(tinyLlama.cases))("%s", async (_, wanted) => {
  const { graph, feeds } = traceTinyLlama(wanted, "f32");
  const outputs = await runNative(graph, feeds);
  expect(outputs.logits!.shape).toEqual([tinyLlama.batch, tinyLlama.time, wanted.config.vocab]);
  assertClose(outputs.logits!, wanted.logits, { absolute: 1e-5, what: "logits" });
  assertClose(outputs.loss!, [wanted.loss], { absolute: 2e-6, what: "loss" });
  const norms = wanted.parameters.map(({ name }) => toNumbers(outputs[`norm ${name}`]!)[0]!);
  assertClose(norms, wanted.gradNorms, { absolute: 2e-6, relative: 1e-5, what: "gradient norms" });
});

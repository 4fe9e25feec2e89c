// The tiny BERT on the native engine in f32 against Transformers' f64 figures.
import { expect, test } from "vitest";
import { toNumbers } from "../../src/base/index.ts";
import { assertClose } from "../support/close.ts";
import { nativeEngine, runNative } from "../support/run-native.ts";
import { tinyBert, traceTinyBert } from "../support/tiny-bert.ts";

test.skipIf(nativeEngine() === undefined).each(Object.entries(tinyBert.cases))("%s", async (_, wanted) => {
  const { graph, feeds } = traceTinyBert(wanted, "f32");
  const outputs = await runNative(graph, feeds);
  expect(outputs.logits!.shape).toEqual([tinyBert.batch, tinyBert.config.context, tinyBert.config.vocab]);
  assertClose(outputs.logits!, wanted.logits, { absolute: 1e-5, what: "logits" });
  assertClose(outputs.loss!, [wanted.loss], { absolute: 1e-6, what: "loss" });
  const norms = tinyBert.parameters.map(({ name }) => toNumbers(outputs[`norm ${name}`]!)[0]!);
  assertClose(norms, wanted.gradNorms, { absolute: 1e-6, relative: 1e-5, what: "gradient norms" });
});

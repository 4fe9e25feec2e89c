// The tiny encoder–decoder on the native engine in f32 against PyTorch's f64 figures.
import { test } from "vitest";
import { toNumbers } from "../../src/base/index.ts";
import { assertClose } from "../support/close.ts";
import { nativeEngine, runNative } from "../support/run-native.ts";
import { normPlaces, tinyTransformer, traceTinyTransformer } from "../support/tiny-transformer.ts";

test.skipIf(nativeEngine() === undefined).each(normPlaces)("norms %s", async (place) => {
  const { graph, feeds } = traceTinyTransformer(place, "f32");
  const outputs = await runNative(graph, feeds);
  const wanted = tinyTransformer.cases[place];
  assertClose(outputs.logits!, wanted.logits, { absolute: 1e-5, what: "logits" });
  assertClose(outputs.loss!, [wanted.loss], { absolute: 1e-6, what: "loss" });
  const norms = wanted.parameters.map(({ name }) => toNumbers(outputs[`norm ${name}`]!)[0]!);
  assertClose(norms, wanted.gradNorms, { absolute: 1e-6, relative: 1e-5, what: "gradient norms" });
});

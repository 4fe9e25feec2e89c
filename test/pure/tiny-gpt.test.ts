// Twenty AdamW steps of a tiny GPT-2 in f64, through the programs of a step, against the same steps by PyTorch.
import { describe, expect, test } from "vitest";
import { toNumbers } from "../../src/base/index.ts";
import { ReferenceEngine } from "../../src/engine/index.ts";
import { assertClose } from "../support/close.ts";
import { tinyGpt } from "../support/tiny-gpt.ts";
import { norm, trainTinyGpt } from "../support/train-tiny-gpt.ts";

const { steps } = tinyGpt.training;

describe.each(Object.entries(tinyGpt.variants))("variant %s", (_, variant) => {
  test("losses, gradient norms and the weights at the end equal PyTorch's", async () => {
    const run = await trainTinyGpt(variant, new ReferenceEngine(), { dtype: "f64", steps });
    const tolerance = { absolute: 1e-9 };
    assertClose(run.losses, variant.f64.losses, { ...tolerance, what: "losses" });
    assertClose(run.globalNorms, variant.f64.globalNorms, { ...tolerance, what: "global gradient norms" });
    assertClose(run.gradNorms.flat(), variant.f64.gradNorms.flat(), { ...tolerance, what: "gradient norms" });
    const final = [...run.parameters.values()];
    assertClose(final.map(norm), variant.f64.finalNorms, { ...tolerance, what: "final norms" });
    const sums = final.map((array) => toNumbers(array).reduce((sum, x) => sum + x, 0));
    assertClose(sums, variant.f64.finalSums, { ...tolerance, what: "final sums" });
    assertClose([run.lossAfter], [variant.f64.lossAfter], { ...tolerance, what: "loss after" });
  });
});

test("a batch cut into lanes gives the same steps", async () => {
  const variant = tinyGpt.variants.A!;
  const run = await trainTinyGpt(variant, new ReferenceEngine(), { dtype: "f64", steps: 5, lanes: 3 });
  assertClose(run.losses, variant.f64.losses.slice(0, 5), { absolute: 1e-9, what: "losses" });
  expect(run.losses).toHaveLength(5);
});

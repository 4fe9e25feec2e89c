// Compilation of deep models: code and memory grow with depth, not with its square. How long it takes is test/slow/compile-time.test.ts.
import { expect, test } from "vitest";
import { compile, type Plan } from "../../src/compiler/index.ts";
import { trainingStep } from "../support/deep-model.ts";
import { stridedTarget } from "../support/strided-interpreter.ts";

test("each layer adds the same instructions and bytes", () => {
  const [two, three, ten] = [2, 3, 10].map((layers) => compile(trainingStep({ layers }), stridedTarget));
  const growth = (measure: (plan: Plan) => number) => [
    measure(three!) - measure(two!),
    (measure(ten!) - measure(two!)) / 8,
  ];
  const [codeOfOne, codeOfMany] = growth(({ code }) => code.length);
  expect(Math.abs(codeOfMany! - codeOfOne!)).toBeLessThan(2); // long chains of the norm are cut into tapes
  const [bytesOfOne, bytesOfMany] = growth(({ arenaBytes }) => arenaBytes);
  expect(bytesOfMany! / bytesOfOne!).toBeLessThan(1.1);
});

test("a training step writes every parameter and slot in place, in no more memory than activations take", () => {
  const plan = compile(trainingStep({ layers: 4 }), stridedTarget);
  const updates = plan.code.filter(({ kernel }) => kernel === "adamw");
  expect(updates.length).toBe(4 * 12 + 4);
  for (const { outputs, commit } of updates) {
    expect(commit).toBe(true);
    expect(outputs.slice(0, 3).map((at) => plan.tensors[at]!.space)).toEqual(["variable", "variable", "variable"]);
  }
  const counts: Record<string, number> = {};
  for (const { kernel } of plan.code) counts[kernel] = (counts[kernel] ?? 0) + 1;
  expect(counts).toMatchInlineSnapshot(`
    {
      "adamw": 52,
      "attention": 4,
      "attentionGrad": 4,
      "copy": 2,
      "crossEntropy": 1,
      "crossEntropyGrad": 1,
      "fill": 52,
      "layerNorm": 9,
      "layerNormGrad": 9,
      "matmul": 51,
      "scatterAdd": 1,
      "sum": 18,
      "sumSquares": 52,
      "take": 1,
      "tape": 33,
    }
  `);
});

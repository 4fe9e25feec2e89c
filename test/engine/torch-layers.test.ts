// The native engine's layers and gradients against PyTorch's figures: an oracle that is not ours, beside the reference engine.
import { expect, test } from "vitest";
import { assertClose } from "../support/close.ts";
import { runNative } from "../support/run-native.ts";
import { torchCases, traceTorchCase } from "../support/torch-layers.ts";

/** Inputs near 1000 are rounded to 6e-5 by f32 itself, which the norm divides by a deviation of 0.3. */
const lost: { readonly [name: string]: number } = { "layer norm, far from zero": 50 };

test.each(torchCases)("$name", async (torchCase) => {
  const { graph, feeds, wanted } = traceTorchCase(torchCase, "f32");
  const outputs = await runNative(graph, feeds);
  for (const [name, value] of Object.entries(wanted)) {
    expect(outputs[name]!.shape).toEqual(value.shape);
    const tolerance = 2e-6 * (lost[torchCase.name] ?? 1);
    assertClose(outputs[name]!, value, { absolute: tolerance, scale: tolerance, what: name });
  }
});

// Core's functions and their gradients against PyTorch's figures, in f64 on the reference engine.
import { expect, test } from "vitest";
import { assertClose } from "../support/close.ts";
import { runReference } from "../support/run-reference.ts";
import { torchCases, traceTorchCase } from "../support/torch-layers.ts";

test.each(torchCases)("$name", (torchCase) => {
  const { graph, feeds, wanted } = traceTorchCase(torchCase, "f64");
  const outputs = runReference(graph, feeds);
  for (const [name, value] of Object.entries(wanted)) {
    expect(outputs[name]!.shape).toEqual(value.shape);
    assertClose(outputs[name]!, value, { absolute: 1e-12, relative: 1e-11, scale: 1e-12, what: name });
  }
});

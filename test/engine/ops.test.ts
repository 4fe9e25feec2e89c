// Every op, from its samples, on the native engine against the reference engine in f32: results and gradients, operands in
// every layout, the same bytes for 1, 2 and 3 threads. All ops are enumerated; none is named.
import { describe, expect, test } from "vitest";
import type { HostArray } from "../../src/base/index.ts";
import { compile } from "../../src/compiler/index.ts";
import { type Graph, gradients, type OpKind, type Tensor } from "../../src/core/index.ts";
import { assertClose, type Tolerance } from "../support/close.ts";
import { applyCase, differentiable, layouts, type OpCase, opCases, traceCase, weighted } from "../support/op-cases.ts";
import { nativeEngine, runNative } from "../support/run-native.ts";
import { runReference } from "../support/run-reference.ts";

/** What f32 arithmetic in another order may differ by. `scale` is for sums, whose terms cancel. */
const tolerances: { readonly [kind in OpKind]?: Tolerance } = {
  view: {},
  index: { relative: 3e-7, scale: 3e-7 },
  elementwise: { relative: 6e-7, scale: 3e-7, absolute: 2e-7 },
  random: { relative: 1e-6, absolute: 1e-6 },
  reduce: { relative: 5e-6, scale: 1e-6 },
  scan: { relative: 1e-6, scale: 1e-6 },
  contract: { relative: 1e-6, scale: 1e-6, absolute: 1e-6 },
  fused: { relative: 3e-6, scale: 2e-6 },
};

/** A gradient is a few operations in a row, sums among them. */
function gradientTolerance({ op }: OpCase): Tolerance {
  const { relative = 0, scale = 0, absolute = 0 } = tolerances[op.kind]!;
  return {
    relative: Math.max(4e-6, 4 * relative),
    scale: Math.max(2e-6, 4 * scale),
    absolute: Math.max(1e-6, absolute),
  };
}

type Arrays = { readonly [name: string]: HostArray };

function named(outputs: readonly Tensor[]): Record<string, Tensor> {
  return Object.fromEntries(outputs.map((tensor, at) => [`out${at}`, tensor]));
}

/** Instruction-set paths that this processor has, besides its best. */
const otherPaths = ["portable", "avx2"].filter((isa) => isa !== nativeEngine()?.isa && nativeEngine(2, isa));

async function compareEngines(graph: Graph, feeds: Arrays, tolerance: Tolerance, what: string): Promise<void> {
  const expected = runReference(graph, feeds);
  const actual = await runNative(graph, feeds);
  for (const name of graph.outputs.keys())
    assertClose(actual[name]!, expected[name]!, { ...tolerance, what: `${what} ${name}` });
}

describe.skipIf(nativeEngine(2) === undefined).each(opCases())("$name", (opCase) => {
  const { op } = opCase;

  test.each(layouts)("native against reference, %s operands", async (layout) => {
    const { graph, feeds } = traceCase(opCase, "f32", layout, (inputs) => named(applyCase(opCase, inputs)));
    await compareEngines(graph, feeds, tolerances[op.kind]!, layout);
  });

  test.each(otherPaths)("native against reference, on %s", async (isa) => {
    const { graph, feeds } = traceCase(opCase, "f32", "sliced", (inputs) => named(applyCase(opCase, inputs)));
    const expected = runReference(graph, feeds);
    const actual = await runNative(graph, feeds, {}, nativeEngine(2, isa));
    for (const name of graph.outputs.keys())
      assertClose(actual[name]!, expected[name]!, { ...tolerances[op.kind], what: name });
  });

  test("native against itself without optimization", async () => {
    const { graph, feeds } = traceCase(opCase, "f32", "permuted", (inputs) => named(applyCase(opCase, inputs)));
    const plain = await runNative(graph, feeds, { optimize: false });
    const optimized = await runNative(graph, feeds);
    for (const name of graph.outputs.keys())
      assertClose(optimized[name]!, plain[name]!, { ...tolerances[op.kind], what: name });
  });

  if (op.vjp !== "none" && op.vjp !== "zero" && differentiable(opCase).length > 0) {
    test.each(layouts)("its gradient, native against reference, %s operands", async (layout) => {
      const { graph, feeds } = traceCase(opCase, "f32", layout, (inputs, raw) => {
        const wrt = differentiable(opCase).map((at) => raw[at]!);
        const value = weighted(opCase.name, applyCase(opCase, inputs).slice(0, 1));
        if (value === undefined) return {};
        return Object.fromEntries(gradients([value], wrt).flatMap((grad, i) => (grad ? [[`grad${i}`, grad]] : [])));
      });
      await compareEngines(graph, feeds, gradientTolerance(opCase), layout);
    });
  }

  test("the same bytes for 1, 2 and 3 threads", async () => {
    const { graph, feeds } = traceCase(opCase, "f32", "sliced", (inputs) => named(applyCase(opCase, inputs)));
    const bytes = await Promise.all(
      [1, 2, 3].map(async (threads) => {
        const engine = nativeEngine(threads)!;
        const program = engine.load(compile(graph, engine.target), engine.createStore());
        const [result] = await engine.run([{ program, feeds }]);
        return Object.values(result!.outputs).map(({ data }) =>
          Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex"),
        );
      }),
    );
    expect(bytes[1]).toEqual(bytes[0]);
    expect(bytes[2]).toEqual(bytes[0]);
  });
});

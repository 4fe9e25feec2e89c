// Every op, from its samples, on the reference engine: completeness, shape rule, gradient against central differences,
// second derivative, composition. All ops are enumerated; none is named.
import { describe, expect, test } from "vitest";
import { type HostArray, sizeOf } from "../../src/base/index.ts";
import { referenceTarget } from "../../src/compiler/index.ts";
import { allOps, Graph, gradientOfMany, gradients, type Op, type Tensor } from "../../src/core/index.ts";
import { assertClose } from "../support/close.ts";
import { checkedElements, derivative } from "../support/differences.ts";
import {
  applyCase,
  differentiable,
  drawInputs,
  layouts,
  type OpCase,
  opCases,
  traceCase,
  weighted,
  weightOf,
} from "../support/op-cases.ts";
import { prepare, runReference } from "../support/run-reference.ts";

const cases = opCases();
/** What does not apply to an op is no test of it, rather than a skipped one. */
const testUnless = (inapplicable: boolean) => (inapplicable ? () => undefined : test);
const ops = [...allOps().values()];

describe("every op", () => {
  test("says what it computes, and how it is tested", () => {
    for (const op of ops) {
      expect(op.doc.length, `${op.name}: doc`).toBeGreaterThan(1);
      const reason = op.noSamples ?? "";
      expect(op.samples.length > 0 ? reason === "" : reason.length > 10, `${op.name}: samples, or a reason`).toBe(true);
    }
  });

  test("has a meaning: a function of an element, an implementation, or a composition", () => {
    const meaning = (op: Op) => op.scalar ?? op.reference ?? op.expand;
    const without = ops.filter((op) => meaning(op) === undefined).map(({ name }) => name);
    expect(without).toEqual(ops.filter(({ kind }) => kind === "leaf" || kind === "update").map(({ name }) => name));
  });

  test("has a gradient rule, or a composition to differentiate", () => {
    expect(ops.filter((op) => op.vjp === undefined && op.expand === undefined).map(({ name }) => name)).toEqual([]);
  });

  test("has a sample with an empty dimension", () => {
    const isEmpty = ({ sample }: OpCase) =>
      [...sample.inputs.map(({ shape }) => shape), (sample.attrs?.shape ?? []) as number[]].some(
        (s) => sizeOf(s) === 0,
      );
    const covered = new Set(cases.filter(isEmpty).map(({ op }) => op));
    expect(ops.filter((op) => op.samples.length > 0 && !covered.has(op)).map(({ name }) => name)).toEqual([]);
  });

  test("runs on the reference engine without a kernel of its own, or has one there", () => {
    const stuck = ops.filter(
      (op) => op.samples.length > 0 && !referenceTarget.hasKernel(op.name) && op.expand === undefined,
    );
    expect(stuck).toEqual([]);
  });
});

/** Outputs of the case, named `out0`, `out1`, …. */
function named(outputs: readonly Tensor[]): Record<string, Tensor> {
  return Object.fromEntries(outputs.map((tensor, at) => [`out${at}`, tensor]));
}

describe.each(cases)("$name", (opCase) => {
  const { op, sample } = opCase;

  testUnless(op.reference === undefined)(
    "its implementation writes each element of what the shape rule promises",
    () => {
      const inputs = drawInputs(opCase, "f64");
      const attrs = sample.attrs ?? {};
      const inferred = op.infer(inputs, attrs);
      const types = Array.isArray(inferred) ? inferred : [inferred];
      const run = (before: number) => {
        const outputs = types.map(
          ({ dtype, shape }): HostArray => ({
            dtype,
            shape,
            data: new Float64Array(sizeOf(shape)).fill(before),
          }),
        );
        op.reference!(inputs, attrs, outputs);
        return outputs;
      };
      const [first, second] = [run(0), run(77)];
      first.forEach((output, at) => assertClose(second[at]!, output, { what: `output ${at}` }));
    },
  );

  test("gives the same through any layout, optimized or not, and types as its shape rule says", () => {
    for (const layout of layouts) {
      const { graph, feeds } = traceCase(opCase, "f64", layout, (inputs) => named(applyCase(opCase, inputs)));
      const outputs = runReference(graph, feeds);
      const plain = runReference(graph, feeds, { optimize: false });
      for (const [name, id] of graph.outputs) {
        const { dtype, shape } = graph.value(id);
        expect({ dtype: outputs[name]!.dtype, shape: outputs[name]!.shape }).toEqual({ dtype, shape });
        expect(outputs[name]!.data.length).toBe(sizeOf(shape));
        assertClose(outputs[name]!, plain[name]!, { absolute: 1e-13, relative: 1e-13, what: `${layout} ${name}` });
      }
    }
    const feeds = { dense: traceCase(opCase, "f64", "dense", (x) => named(applyCase(opCase, x))) };
    const dense = runReference(feeds.dense.graph, feeds.dense.feeds);
    for (const layout of ["permuted", "sliced"] as const) {
      const moved = traceCase(opCase, "f64", layout, (inputs) => named(applyCase(opCase, inputs)));
      const outputs = runReference(moved.graph, moved.feeds);
      for (const name of Object.keys(dense)) assertClose(outputs[name]!, dense[name]!, { what: `${layout} ${name}` });
    }
  });

  const smooth = sample.smooth !== false && op.vjp !== "none" && differentiable(opCase).length > 0;

  testUnless(!smooth)("its gradient is the slope", () => {
    for (const layout of layouts) {
      const { graph, feeds } = traceCase(opCase, "f64", layout, (inputs, raw) => {
        const value = weighted(opCase.name, applyCase(opCase, inputs));
        if (value === undefined) return {};
        const wrt = differentiable(opCase);
        const found = gradients(
          [value],
          wrt.map((at) => raw[at]!),
        );
        return {
          value,
          ...Object.fromEntries(found.map((grad, i) => [`grad${wrt[i]}`, grad ?? raw[wrt[i]!]!.mul(0)])),
        };
      });
      checkSlopes(graph, feeds, differentiable(opCase), layout === "dense" ? 12 : 4, layout);
    }
  });

  testUnless(!smooth)("its second derivative is the slope of its gradient", () => {
    const { graph, feeds } = traceCase(opCase, "f64", "dense", (inputs, raw) => {
      const wrt = differentiable(opCase).map((at) => raw[at]!);
      const first = weighted(opCase.name, applyCase(opCase, inputs));
      if (first === undefined) return {};
      const slopes = gradients([first], wrt).filter((grad): grad is Tensor => grad !== undefined);
      const value = weighted(`${opCase.name} direction`, slopes);
      if (value === undefined) return {};
      const found = gradients([value], wrt);
      return Object.fromEntries([
        ["value", value],
        ...found.map((grad, i) => [`grad${differentiable(opCase)[i]}`, grad ?? wrt[i]!.mul(0)]),
      ]);
    });
    checkSlopes(graph, feeds, differentiable(opCase), 6, "second derivative");
  });

  testUnless(op.expand === undefined || op.scalar === undefined)("computes what its composition says", () => {
    const { graph, feeds } = traceCase(opCase, "f64", "dense", (inputs) => {
      const composed = op.expand!(inputs as never, sample.attrs ?? {});
      return {
        fused: applyCase(opCase, inputs)[0]!,
        composed: Array.isArray(composed) ? composed[0] : composed,
      };
    });
    const { fused, composed } = runReference(graph, feeds);
    assertClose(fused!, composed!, { absolute: 1e-12, relative: 1e-12 });
  });

  testUnless(op.expand === undefined || typeof op.vjp !== "function")(
    "its gradient rule is its composition's gradient",
    () => {
      const { graph, feeds } = traceCase(opCase, "f64", "dense", (inputs) => {
        const outputs = applyCase(opCase, inputs);
        const wrt = differentiable(opCase);
        const seeds = outputs.map((output, at) => (at === 0 ? weightOf(opCase.name, output, at) : undefined));
        const byRule = gradients(
          outputs,
          wrt.map((at) => inputs[at]!),
          seeds,
        );
        const byComposition = gradientOfMany(
          (...own) => {
            const all = inputs.map((x, at) => (wrt.includes(at) ? own[wrt.indexOf(at)]! : x));
            const result = op.expand!(all as never, sample.attrs ?? {});
            return Array.isArray(result) ? result : [result];
          },
          wrt.map((at) => inputs[at]!),
          seeds,
        );
        return Object.fromEntries(
          wrt.flatMap((at, i) => [
            [`rule${at}`, byRule[i] ?? inputs[at]!.mul(0)],
            [`composition${at}`, byComposition[i]!],
          ]),
        );
      });
      const outputs = runReference(graph, feeds);
      for (const at of differentiable(opCase))
        assertClose(outputs[`rule${at}`]!, outputs[`composition${at}`]!, {
          absolute: 1e-12,
          scale: 1e-11,
          what: `input ${at}`,
        });
    },
  );
});

/** Compares outputs `grad<i>` of a graph with the slopes of its output `value`. */
function checkSlopes(
  graph: Graph,
  feeds: Record<string, HostArray>,
  wrt: readonly number[],
  most: number,
  what: string,
): void {
  const id = graph.outputs.get("value");
  if (id === undefined) return;
  const outputs = runReference(graph, feeds);
  const run = prepare(Object.assign(new Graph(), { ...graph, outputs: new Map([["value", id]]) }));
  const value = (moved: Record<string, HostArray>) => Number(run(moved).value!.data[0]);
  for (const at of wrt) {
    const grad = outputs[`grad${at}`]!;
    const elements = checkedElements(grad.data.length, most);
    const numeric = elements.map((element) => derivative(value, feeds, `in${at}`, element));
    const exact = elements.map((element) => Number(grad.data[element]));
    assertClose(exact, numeric, { absolute: 1e-8, relative: 1e-6, scale: 1e-7, what: `${what}, input ${at}` });
  }
}

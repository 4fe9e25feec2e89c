// Scans against the loops that they stand for: values and gradients, in every way of compiling them, by finite differences; graphs that do not
// grow; scans under vmap, of settings and of variables; what is refused.
import { describe, expect, test } from "vitest";
import { checkCompilation } from "../../test/support/check-compilation.ts";
import { assertClose } from "../../test/support/close.ts";
import { meaningOf } from "../../test/support/graph-interpreter.ts";
import { runReference } from "../../test/support/run-reference.ts";
import { feedsIn, loops, names, traced, unrolled } from "../../test/support/scan-loops.ts";
import { fromNumbers, toNumbers } from "../base/index.ts";
import { optimize, referenceTarget } from "../compiler/index.ts";
import {
  assign,
  gradients,
  scan,
  type Tensor,
  tanh,
  tap,
  trace,
  variable,
  varying,
  verifyGraph,
  vmap,
  zeros,
} from "./index.ts";

const feeds = feedsIn("f64");

describe.each(Object.entries(loops))("%s", (_, loop) => {
  const graph = traced(loop, scan);
  const written = traced(loop, unrolled);
  const wanted = meaningOf(written, feeds, {}).outputs;

  test("is the loop written out, its gradients too, however it is compiled", () => {
    expect(graph.nodesOf("scan").length).toBeGreaterThan(0);
    verifyGraph(graph);
    for (const optimize of [false, true]) {
      const outputs = runReference(graph, feeds, { optimize });
      expect(Object.keys(outputs)).toEqual(Object.keys(wanted));
      for (const [name, value] of Object.entries(wanted))
        assertClose(outputs[name]!, value, { absolute: 1e-12, what: name });
    }
    checkCompilation({ graph: traced(loop, scan, "f32"), feeds: feedsIn("f32"), variables: {} });
  });

  test("has the gradients that differences show", () => {
    const lossAt = (name: string, at: number, by: number) => {
      const { dtype, shape, data } = feeds[name]!;
      const moved = { dtype, shape, data: (data as Float64Array).map((x, i) => (i === at ? x + by : x)) };
      return toNumbers(meaningOf(graph, { ...feeds, [name]: moved }, {}).outputs.loss!)[0]!;
    };
    for (const name of names) {
      const grad = meaningOf(graph, feeds, {}).outputs[`gradient ${name}`];
      if (grad === undefined) continue;
      const ats = [0, 4].filter((at) => at < grad.data.length);
      const found = ats.map((at) => (lossAt(name, at, 1e-5) - lossAt(name, at, -1e-5)) / 2e-5);
      assertClose(
        found,
        ats.map((at) => toNumbers(grad)[at]!),
        { absolute: 1e-8, what: `by ${name}` },
      );
    }
  });
});

/** A loss of a recurrence over so many turns, with its gradients. */
function recurrence(turns: number, run: typeof scan) {
  return trace({ x: { dtype: "f32", shape: [turns, 2, 3] }, w: { dtype: "f32", shape: [3, 3] } }, ({ x, w }) => {
    const { outputs } = run(
      ([h], [x]) => {
        const next = tanh(h!.matmul(w).add(x!));
        return { carry: [next], outputs: [next] };
      },
      { carry: [zeros([2, 3])], sequences: [x] },
    );
    const loss = outputs[0]!.sum();
    return { loss, grad: gradients([loss], [w])[0]! };
  });
}

test("the graph is as large for many turns as for few, compiled too, and forward turns run once", () => {
  const sizeOf = (turns: number) => {
    const graph = recurrence(turns, scan);
    const compiled = optimize(graph, referenceTarget);
    expect(graph.nodesOf("scan").length).toBe(3); // forward, forward with what is kept, backward
    expect(compiled.nodesOf("scan").length).toBe(2);
    return [graph.nodes.length, compiled.nodes.length];
  };
  expect(sizeOf(1000)).toEqual(sizeOf(3));
  expect(recurrence(30, unrolled).nodes.length).toBeGreaterThan(8 * recurrence(3, unrolled).nodes.length);
});

test("its text shows the body", () => {
  const graph = trace({ x: { dtype: "f32", shape: [4, 2] } }, ({ x }) => {
    const { carry, outputs } = scan(([s], [x]) => ({ carry: [s!.add(x!)], outputs: [s!] }), {
      carry: [zeros([2])],
      sequences: [x],
    });
    return { last: carry[0]!, before: outputs[0]! };
  });
  expect(graph.toString()).toMatchInlineSnapshot(`
    "%0:f32[4,2] = input {name=x, dtype=f32, shape=[4, 2]}
    %1:f32[2] = fill {shape=[2], dtype=f32, value=0}
    %2:f32[2], %3:f32[4,2] = scan %1 %0 {body=(
        %0:f32[2] = input {name=0, dtype=f32, shape=[2]}
        %1:f32[2] = input {name=1, dtype=f32, shape=[2]}
        %2:f32[2] = add %0 %1
      ), results=[2, 0], carried=1, sequences=1, turns=4, reverse=false}
    output last = %2
    output before = %3"
  `);
});

test("one turn is a loop too, and turns may be nested in examples and gradients", () => {
  const sums = (x: Tensor) =>
    scan(([s], [x]) => ({ carry: [s!.mul(x!).add(x!)] }), { carry: [zeros([], x.dtype)], sequences: [x] }).carry[0]!;
  const graph = trace(
    { x: { dtype: "f64", shape: [2, 3] }, one: { dtype: "f64", shape: [1] } },
    ({ x, one }) => {
      const [first] = gradients([vmap(sums)(x).sum()], [x]);
      const [second] = gradients([first!.square().sum()], [x]);
      return { all: vmap(sums)(x), second: second!, one: sums(one) };
    },
    { floatDType: "f64" },
  );
  const found = runReference(graph, {
    x: fromNumbers("f64", [2, 3], [2, 3, 5, 1, 1, 1]),
    one: fromNumbers("f64", [1], [7]),
  });
  expect(Array.from(toNumbers(found.all!))).toEqual([50, 3]); // ((2·3 + 3)·5 + 5), ((1 + 1) + 1)
  expect(Array.from(toNumbers(found.one!))).toEqual([7]);
  // s = abc + bc + c: grad (bc, ac + c, ab + b + 1); Σ grad² by a, b, c for (2, 3, 5): 2[(ac + c)c + (ab + b + 1)b], …
  expect(Array.from(toNumbers(found.second!)).slice(0, 3)).toEqual([
    2 * (15 * 5 + 10 * 3),
    2 * (15 * 5 + 10 * 3),
    2 * (15 * 3 + 15 * 3),
  ]);
});

test("what a body asks of the outside is given once: a variable, a setting that varies", () => {
  const course = { linear: { from: 0, to: 1, until: 10 } } as never;
  const graph = trace({ x: { dtype: "f32", shape: [3] } }, ({ x }) => {
    const outer = varying(course) as Tensor;
    return scan(
      ([s], [x]) => ({
        carry: [
          s!
            .mul(variable("w", "f32", []))
            .add(x!)
            .add(varying(course)),
        ],
      }),
      { carry: [outer], sequences: [x] },
    ).carry[0]!;
  });
  expect(graph.nodesOf("variable").length).toBe(1);
  expect(graph.nodesOf("input").length).toBe(2);
});

describe("refused", () => {
  const run = (fn: (x: Tensor) => unknown) => () =>
    trace({ x: { dtype: "f32", shape: [4, 2] } }, ({ x }) => {
      fn(x);
      return undefined;
    });
  const zero = () => zeros([2]);
  const writing = ([s]: Tensor[]) => {
    assign("v", s!);
    return { carry: [s!] };
  };
  test.each<[string, (x: Tensor) => unknown, string]>([
    ["no turns", () => scan(([s]) => ({ carry: [s!] }), { carry: [zero()] }), "a scan has no turns"],
    ["none of them", () => scan(([s]) => ({ carry: [s!] }), { carry: [zero()], turns: 0 }), "got       0"],
    [
      "lengths that differ",
      (x) => scan(([s]) => ({ carry: [s!] }), { carry: [zero()], sequences: [x, x.slice(0, 0, 3)] }),
      "sequences differ in length",
    ],
    [
      "a carry that changes its shape",
      (x) => scan(([s]) => ({ carry: [s!.reshape(1, 2)] }), { carry: [zero()], sequences: [x] }),
      "what is carried changes its type",
    ],
    [
      "a carry that is lost",
      (x) => scan(() => ({ carry: [] }), { carry: [zero()], sequences: [x] }),
      "another number of tensors",
    ],
    ["a variable written", (x) => scan(writing, { carry: [zero()], sequences: [x] }), "only computes"],
    [
      "a tap",
      (x) => scan(([s]) => ({ carry: [tap("s", s!)] }), { carry: [zero()], sequences: [x] }),
      "no assign() and no tap()",
    ],
  ])("%s", (_, fn, message) => {
    expect(run(fn)).toThrow(message);
  });

  test("a tensor of a body, outside of it", () => {
    let kept: Tensor | undefined;
    const leak = (x: Tensor) => {
      scan(
        ([s]) => {
          kept = s;
          return { carry: [s!] };
        },
        { carry: [zero()], sequences: [x] },
      );
      kept!.add(1);
    };
    expect(run(leak)).toThrow("an input of add belongs to another trace");
  });
});

// Scans on the native engine: values and gradients as the reference engine's, the same bytes for every number of threads, a plan whose memory does
// not grow where nothing is kept, faults and guards inside of loops, times by instruction; loops that no plan may have.
import { describe, expect, test } from "vitest";
import { fromNumbers, RandomStream, sizeOf, toNumbers } from "../../src/base/index.ts";
import { compile, encodePlan, type Plan, workOf } from "../../src/compiler/index.ts";
import { assign, gradients, scan, type Tensor, take, tanh, trace, variable, zeros } from "../../src/core/index.ts";
import { assertClose } from "../support/close.ts";
import { nativeEngine, runNative } from "../support/run-native.ts";
import { runReference } from "../support/run-reference.ts";
import { feedsIn, loops, traced } from "../support/scan-loops.ts";
import { addon } from "./native-harness.ts";

test.each(Object.entries(loops))("%s", async (_, loop) => {
  const graph = traced(loop, scan, "f32");
  const feeds = feedsIn("f32");
  const wanted = runReference(graph, feeds);
  for (const optimize of [true, false]) {
    const found = await runNative(graph, feeds, { optimize });
    expect(Object.keys(found)).toEqual(Object.keys(wanted));
    for (const [name, value] of Object.entries(wanted))
      assertClose(found[name]!, value, { absolute: 2e-5, relative: 2e-5, what: name });
    const alone = await runNative(graph, feeds, { optimize }, nativeEngine(1));
    for (const [name, value] of Object.entries(found)) expect(alone[name]!.data).toEqual(value.data);
  }
});

/** s ← tanh(s·w + x), of which nothing but the end is wanted. */
const folded = (turns: number) =>
  trace({ x: { dtype: "f32", shape: [turns, 8, 16] }, w: { dtype: "f32", shape: [16, 16] } }, ({ x, w }) => {
    const step = ([s]: Tensor[], [now]: Tensor[]) => ({ carry: [tanh(s!.matmul(w).add(now!))] });
    return scan(step, { carry: [zeros([8, 16])], sequences: [x] }).carry[0]!;
  });
const planOf = (turns: number) => compile(folded(turns), nativeEngine()!.target);

test("a plan is as long, and its memory as large, for many turns as for few; what it computes is told whole", () => {
  const [few, many] = [planOf(8), planOf(8000)];
  expect(many.code.length).toBe(few.code.length);
  expect(many.arenaBytes).toBe(few.arenaBytes);
  const flops = ({ nodes }: Plan) => nodes.reduce((sum, node) => sum + node.flops, 0);
  expect(flops(many)).toBe(1000 * flops(few));
  expect(flops(few)).toBeGreaterThanOrEqual(8 * 2 * 8 * 16 * 16);
  const product = many.code.find(({ kernel }) => kernel === "matmulPanels")!; // of 32 columns, half of them zeros
  expect(workOf(many, product)).toEqual({ flops: 8000 * 2 * 8 * 16 * 16, bytes: 8000 * 4 * (2 * 8 * 16 + 16 * 32) });
});

/** The loss of s ← tanh(s·w + x·w) and its gradients by x and w, products as `multiply` makes them. */
const recurrence = (rows: number, width: number, multiply: (a: Tensor, b: Tensor) => Tensor) =>
  trace({ x: { dtype: "f32", shape: [8, rows, width] }, w: { dtype: "f32", shape: [width, width] } }, ({ x, w }) => {
    const step = ([s]: Tensor[], [now]: Tensor[]) => {
      const next = tanh(multiply(s!, w).add(now!));
      return { carry: [next], outputs: [next] };
    };
    const { outputs } = scan(step, { carry: [zeros([rows, width])], sequences: [multiply(x, w)] });
    const loss = outputs[0]!.square().sum();
    const [dx, dw] = gradients([loss], [x, w]);
    return { loss, dx: dx!, dw: dw! };
  });

const drawn = (rows: number, width: number) => {
  const random = new RandomStream(4, "recurrence");
  const draw = (shape: number[]) =>
    fromNumbers(
      "f32",
      shape,
      Array.from({ length: sizeOf(shape) }, (_, at) => random.normal(at) / Math.sqrt(width)),
    );
  return { x: draw([8, rows, width]), w: draw([width, width]) };
};

const paths = ["portable", "avx2", "avx512", "avx512bf16"].filter((isa) => nativeEngine(2, isa));

test.each([
  [2, 40],
  [3, 40],
  [8, 33],
  [19, 130],
  [64, 96],
])("a matrix that few rows are multiplied by in every turn, %i rows by %i columns", async (rows, width) => {
  const graph = recurrence(rows, width, (a, b) => a.matmul(b));
  const feeds = drawn(rows, width);
  const wanted = runReference(graph, feeds);
  for (const isa of paths) {
    const [one, two, three] = await Promise.all(
      [1, 2, 3].map((threads) => runNative(graph, feeds, {}, nativeEngine(threads, isa))),
    );
    for (const [name, value] of Object.entries(wanted)) {
      assertClose(one![name]!, value, { scale: 2e-6, relative: 2e-6, what: `${name} (${isa})` });
      for (const other of [two, three]) expect(other![name]!.data).toEqual(one![name]!.data);
    }
  }
});

test.each([8, 2])(
  "mixed precision rounds what products read, in turns the matrix once for all: %i rows",
  async (rows) => {
    const graph = recurrence(rows, 34, (a, b) => a.matmul(b));
    const feeds = drawn(rows, 34);
    const exact = runReference(graph, feeds);
    const wanted = runReference(graph, feeds, { storage: "bf16" });
    for (const isa of paths) {
      const [found, alone] = await Promise.all(
        [2, 1].map((threads) => runNative(graph, feeds, { storage: "bf16" }, nativeEngine(threads, isa))),
      );
      for (const [name, value] of Object.entries(wanted)) {
        assertClose(found![name]!, value, { scale: 2 ** -8, what: `${name} (${isa})` });
        expect(alone![name]!.data).toEqual(found![name]!.data);
        assertClose(value, exact[name]!, { scale: 0.02, what: name });
        expect(value.data).not.toEqual(exact[name]!.data);
      }
    }
  },
);

test("times are those of all turns together", async () => {
  const engine = nativeEngine()!;
  const program = engine.load(planOf(2000), engine.createStore());
  const feeds = {
    x: fromNumbers("f32", [2000, 8, 16], new Array<number>(2000 * 128).fill(0.1)),
    w: fromNumbers("f32", [16, 16], new Array<number>(256).fill(0.1)),
  };
  const times = new Float64Array(program.plan.code.length);
  await engine.run([{ program, feeds }], [times]);
  program.plan.code.forEach(({ turns = 1 }, at) => {
    if (turns > 1) expect(times[at]).toBeGreaterThan(2000 * 20); // no instruction takes less than 20 ns
  });
});

test("a loop waits for the guard, and a fault in one of its turns leaves the next run whole", async () => {
  const engine = nativeEngine()!;
  const graph = trace(
    { ids: { dtype: "i32", shape: [4, 2] }, table: { dtype: "f32", shape: [3, 2] } },
    ({ ids, table }) => {
      const { carry } = scan(([s], [now]) => ({ carry: [s!.add(take(table, now!))] }), {
        carry: [variable("sum", "f32", [2, 2])],
        sequences: [ids],
      });
      assign("sum", carry[0]!);
      return { allowed: table.sum().greater(0) };
    },
  );
  graph.guard = graph.outputs.get("allowed")!;
  const store = engine.createStore();
  const program = engine.load(compile(graph, engine.target), store);
  const table = fromNumbers("f32", [3, 2], [1, 2, 10, 20, 100, 200]);
  const run = (ids: number[], by = table) =>
    engine.run([{ program, feeds: { ids: fromNumbers("i32", [4, 2], ids), table: by } }]);
  await run([0, 0, 1, 1, 0, 2, 0, 0]);
  expect(Array.from(toNumbers(store.read("sum")))).toEqual([13, 26, 112, 224]);
  await expect(run([0, 0, 1, 1, 7, 2, 0, 0])).rejects.toThrow("7");
  expect(Array.from(toNumbers(store.read("sum")))).toEqual([13, 26, 112, 224]);
  const [skipped] = await run([0, 0, 0, 0, 0, 0, 0, 0], fromNumbers("f32", [3, 2], [-1, 0, 0, 0, 0, 0]));
  expect(skipped!.committed).toBe(false);
  await run([0, 0, 0, 0, 0, 0, 0, 0]);
  expect(Array.from(toNumbers(store.read("sum")))).toEqual([17, 34, 116, 232]);
});

describe("loops that no plan may have", () => {
  const good = planOf(4);
  const load = (changes: Partial<Plan>) => () => {
    const { bytes, kernelNames, variableNames, feedNames } = encodePlan({ ...good, ...changes });
    const engine = addon.createEngine({ threads: 1 });
    return engine.load(bytes, kernelNames, variableNames, feedNames, engine.createStore());
  };
  const [loop] = good.loops!;
  const moves = good.tensors.findIndex(({ step }) => step !== undefined);
  const stepped = (step: number, rest: object = {}) => ({
    tensors: good.tensors.map((tensor, at) => (at === moves ? { ...tensor, ...rest, step } : tensor)),
  });

  test("the plan itself may be", () => expect(load({})).not.toThrow());

  test.each<[string, Partial<Plan>, string]>([
    [
      "one that begins behind the end",
      { loops: [{ ...loop!, first: good.code.length }] },
      "begins behind the instructions",
    ],
    ["one that ends behind it", { loops: [{ ...loop!, count: good.code.length }] }, "ends behind the instructions"],
    ["one of nothing", { loops: [{ ...loop!, count: 0 }] }, "loops overlap, or are empty"],
    ["no turns", { loops: [{ ...loop!, turns: 0 }] }, "loops overlap, or are empty"],
    ["turns without end", { loops: [{ ...loop!, turns: 2 ** 52 }] }, "turns out of range"],
    ["two that overlap", { loops: [loop!, loop!] }, "loops overlap, or are empty"],
    ["one turn too many", { loops: [{ ...loop!, turns: 5 }] }, "moves out of its block"],
    ["a step too far", stepped(8 * 16 * 4 + 4), "moves out of its block"],
    ["a step back", stepped(-4), "moves out of its block"],
    ["a step that overflows", stepped(2 ** 45), "moves out of its block"],
    ["a step beyond all memory", stepped(2 ** 50), "a step is too large"],
    ["a step within an element", stepped(2), "not aligned"],
    ["one that moves outside of a loop", { loops: [] }, "moves outside of a loop"],
    ["an output that moves", { outputs: [{ name: "y", tensor: moves }] }, "an output moves"],
  ])("%s", (_, changes, message) => {
    expect(load(changes)).toThrow(message);
  });
});

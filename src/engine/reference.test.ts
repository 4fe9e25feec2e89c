// The reference engine as engines are used: stores, feeds, guards and what it refuses.
import { describe, expect, test } from "vitest";
import { fromNumbers, type HostArray, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { assign, take, trace, variable } from "../core/index.ts";
import { ReferenceEngine } from "./reference.ts";

const f32 = (...values: number[]): HostArray => fromNumbers("f32", [values.length], values);
const engine = new ReferenceEngine();

function counter() {
  const graph = trace({ by: { dtype: "f32", shape: [2] }, most: { dtype: "f32", shape: [] } }, ({ by, most }) => {
    const next = variable("count", "f32", [2]).add(by);
    assign("count", next);
    by.graph.guard = next.sum().less(most).id;
    return { next };
  });
  const store = engine.createStore();
  return { store, program: engine.load(compile(graph, engine.target), store) };
}
const most = (value: number) => fromNumbers("f32", [], [value]);

describe("a store", () => {
  test("holds zeros until written, gives copies, and counts its bytes", () => {
    const { store } = counter();
    expect(store.names()).toEqual(["count"]);
    expect(store.typeOf("count")).toEqual({ name: "count", dtype: "f32", shape: [2] });
    expect(store.bytes).toBe(8);
    const read = store.read("count");
    expect([...(read.data as Float32Array)]).toEqual([0, 0]);
    read.data[0] = 9;
    expect(store.read("count").data[0]).toBe(0);
  });

  test("gives parts of a variable", () => {
    const store = engine.createStore();
    store.declare([{ name: "x", dtype: "bf16", shape: [2, 3] }]);
    store.write("x", fromNumbers("bf16", [2, 3], [0, 1, 2, 3, 4, 5]));
    const read = store.read("x", undefined, { start: 1, step: 2, count: 3 });
    expect([...toNumbers(read)]).toEqual([1, 3, 5]);
    const { shape, data } = store.read("x", new ArrayBuffer(6), { start: 2, step: 1, count: 3 });
    expect([shape, data.length]).toEqual([[3], 3]);
    for (const [start, step, count] of [
      [2, 2, 3],
      [0, 0, 1],
      [0.5, 1, 1],
      [-1, 1, 1],
    ] as const)
      expect(() => store.read("x", undefined, { start, step, count })).toThrow(
        expect.objectContaining({ code: "store/part" }),
      );
  });

  test("is shared by programs that agree on types", () => {
    const { store } = counter();
    store.write("count", f32(1, 2));
    store.declare([{ name: "count", dtype: "f32", shape: [2] }]);
    expect(store.read("count").data[1]).toBe(2);
    expect(() => store.declare([{ name: "count", dtype: "f32", shape: [3] }])).toThrowErrorMatchingInlineSnapshot(`
      [AthanorError: [store/type] variable "count" has another type
        expected  f32[3]
        got       f32[2] with 2 elements]
    `);
  });

  test("refuses names it does not know and values that do not fit", () => {
    const { store } = counter();
    expect(() => store.read("cuont")).toThrowErrorMatchingInlineSnapshot(`
      [AthanorError: [store/unknown] the store has no variable "cuont"
        expected  count]
    `);
    expect(() => store.write("count", f32(1, 2, 3))).toThrowErrorMatchingInlineSnapshot(`
      [AthanorError: [store/type] variable "count" has another type
        expected  f32[2]
        got       f32[3] with 3 elements]
    `);
  });
});

describe("a run", () => {
  test("runs programs in order, each seeing what the one before wrote", async () => {
    const { store, program } = counter();
    const calls = [f32(1, 2), f32(10, 20)].map((by) => ({ program, feeds: { by, most: most(100) } }));
    const results = await engine.run(calls);
    expect(results.map(({ committed }) => committed)).toEqual([true, true]);
    expect(results.map(({ outputs }) => [...(outputs.next!.data as Float32Array)])).toEqual([
      [1, 2],
      [11, 22],
    ]);
    expect([...(store.read("count").data as Float32Array)]).toEqual([11, 22]);
  });

  test("with a false guard computes, and writes nothing", async () => {
    const { store, program } = counter();
    const [result] = await engine.run([{ program, feeds: { by: f32(1, 2), most: most(0) } }]);
    expect(result!.committed).toBe(false);
    expect(result!.outputs.next!.data[1]).toBe(2);
    expect(store.read("count").data[1]).toBe(0);
  });

  test("copies feeds and outputs: neither is shared with a later run", async () => {
    const { program } = counter();
    const by = f32(1, 1);
    const [first] = await engine.run([{ program, feeds: { by, most: most(100) } }]);
    by.data[0] = 50;
    await engine.run([{ program, feeds: { by: f32(5, 5), most: most(100) } }]);
    expect(first!.outputs.next!.data[0]).toBe(1);
  });

  test.each([
    ["a missing feed", { by: f32(1, 2) }],
    ["an unknown feed", { by: f32(1, 2), most: most(1), moust: most(1) }],
    ["a feed of another shape", { by: f32(1), most: most(1) }],
    ["a feed of another dtype", { by: fromNumbers("i32", [2], [1, 2]), most: most(1) }],
    ["a feed whose data is too short", { by: { ...f32(1, 2), data: new Float32Array(1) }, most: most(1) }],
  ])("refuses %s", async (_, feeds) => {
    const { program } = counter();
    await expect(engine.run([{ program, feeds }])).rejects.toThrow(/run\/feed/);
  });

  test("names the index that is out of range", async () => {
    const graph = trace({ x: { dtype: "f32", shape: [3] }, at: { dtype: "i32", shape: [2] } }, ({ x, at }) =>
      take(x, at),
    );
    const program = engine.load(compile(graph, engine.target), engine.createStore());
    const feeds = { x: f32(1, 2, 3), at: fromNumbers("i32", [2], [0, 3]) };
    await expect(engine.run([{ program, feeds }])).rejects.toThrowErrorMatchingInlineSnapshot(
      `
      [AthanorError: [run/index-out-of-range] an index is out of range in take
        at        take
        expected  0 ≤ index < 3
        got       3
        fix       a token or class id is larger than the model's vocabulary: check the tokenizer and the data]
    `,
    );
  });
});

test("stores and programs of another engine are refused", async () => {
  const { store, program } = counter();
  const foreignStore = Object.create({ ...store }) as typeof store;
  expect(() => engine.load(program.plan, foreignStore)).toThrow("engine/store");
  await expect(engine.run([{ program: { ...program }, feeds: {} }])).rejects.toThrow("engine/program");
});

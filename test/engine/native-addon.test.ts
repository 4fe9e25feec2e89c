// The native engine's door and executor: what a run does, what it refuses, and that nothing crashes whatever the order of
// calls, collections and exits.
import { spawnSync } from "node:child_process";
import { Worker } from "node:worker_threads";
import { describe, expect, it } from "vitest";
import type { DType } from "../../src/base/index.ts";
import { encodePlan, type Instruction, type Plan, type PlanTensor } from "../../src/compiler/index.ts";
import { loadAddon } from "../../src/engine/index.ts";
import type { AddonEngine, AddonProgram, AddonStore } from "../../src/engine/native-addon.ts";
import { collectGarbage } from "../support/collect-garbage.ts";
import { fuzzEntries, fuzzPlans } from "./native-fuzz.ts";
import { addon, denseStrides, paths } from "./native-harness.ts";

const tensor = (space: PlanTensor["space"], shape: number[], options: Partial<PlanTensor> = {}): PlanTensor => ({
  space,
  index: 0,
  offset: 0,
  dtype: "f32",
  shape,
  strides: denseStrides(shape),
  ...options,
});
const step = (
  kernel: string,
  inputs: number[],
  outputs: number[],
  params: number[] = [],
  rest: Partial<Instruction> = {},
): Instruction => ({
  kernel,
  inputs,
  outputs,
  params,
  attrs: {},
  node: 0,
  commit: false,
  ...rest,
});
const plan = (parts: Partial<Plan>): Plan => ({
  tensors: [],
  code: [],
  arenaBytes: 0,
  constants: new Uint8Array(0),
  variables: [],
  feeds: [],
  outputs: [],
  guard: -1,
  nodes: [],
  ...parts,
});

function load(engine: AddonEngine, store: AddonStore, parts: Partial<Plan>): AddonProgram {
  const { bytes, kernelNames, variableNames, feedNames } = encodePlan(plan(parts));
  return engine.load(bytes, kernelNames, variableNames, feedNames, store);
}

const signature = (name: string, shape: number[], dtype: DType = "f32") => ({ name, dtype, shape });
/** add = opcode 26: dst, a, b */
const addParams = [0, 1, 26, 2, 0, 1, 0, 2];

/** w += x when `ok`; y = w + x whatever happens. */
function accumulator(engine: AddonEngine, store: AddonStore, size: number): AddonProgram {
  const bytes = Math.ceil((size * 4) / 64) * 64;
  return load(engine, store, {
    tensors: [
      tensor("variable", [size]),
      tensor("feed", [size]),
      tensor("feed", [], { index: 1, dtype: "bool" }),
      tensor("arena", [size]),
    ],
    code: [step("tape", [0, 1], [3], addParams, { node: 11 }), step("copy", [3], [0], [], { node: 12, commit: true })],
    arenaBytes: bytes,
    variables: [signature("w", [size])],
    feeds: [signature("x", [size]), signature("ok", [], "bool")],
    outputs: [{ name: "y", tensor: 3 }],
    guard: 2,
  });
}

const yes = new Uint8Array([1]);
const no = new Uint8Array([0]);

function fresh(size = 4): { engine: AddonEngine; store: AddonStore; program: AddonProgram } {
  const engine = addon.createEngine({ threads: 2 });
  const store = engine.createStore();
  store.declare([signature("w", [size])]);
  return { engine, store, program: accumulator(engine, store, size) };
}

describe("a run", () => {
  it("runs its programs in order over one store, and commits only under the guard", async () => {
    const { engine, store, program } = fresh();
    const x = Float32Array.of(1, 2, 3, 4);
    const { results } = await engine.run([
      { program, feeds: [x, yes] },
      { program, feeds: [x, no] },
      { program, feeds: [x, yes] },
    ]);
    expect(results.map(({ committed }) => committed)).toEqual([true, false, true]);
    expect(results.map(({ outputs }) => [...new Float32Array(outputs[0]!)])).toEqual([
      [1, 2, 3, 4],
      [2, 4, 6, 8],
      [2, 4, 6, 8],
    ]);
    expect([...new Float32Array(store.read("w"))]).toEqual([2, 4, 6, 8]);
    const larger = new Float32Array(6).fill(-1).buffer;
    expect(store.read("w", larger)).toBe(larger);
    expect([...new Float32Array(larger)]).toEqual([2, 4, 6, 8, -1, -1]);
    expect(() => store.read("w", new ArrayBuffer(15))).toThrow("too small");
  });

  it("reads parts of a variable", () => {
    const { store } = fresh(5);
    store.write("w", Float32Array.of(0, 1, 2, 3, 4));
    const part = (start: number, step: number, count: number, into?: ArrayBuffer) => [
      ...new Float32Array(store.read("w", into, { start, step, count })),
    ];
    expect(part(1, 1, 3)).toEqual([1, 2, 3]);
    expect(part(1, 3, 2)).toEqual([1, 4]);
    expect(part(5, 1, 0)).toEqual([]);
    expect(part(0, 2, 3, new Float32Array(4).fill(-1).buffer)).toEqual([0, 2, 4, -1]);
    for (const [start, step, count] of [
      [3, 1, 3],
      [0, 3, 3],
      [6, 1, 0],
      [-1, 1, 1],
      [0, 0, 1],
      [0, 1, 6],
      [0, 0.5, 1],
    ])
      expect(() => part(start!, step!, count!)).toThrow(expect.objectContaining({ code: "engine/argument" }));
    expect(() => part(0, 1, 3, new ArrayBuffer(11))).toThrow("too small");
    expect(() => store.read("w", undefined, 3 as never)).toThrow("expected {start, step, count}");
  });

  it("copies feeds at the call", async () => {
    const { engine, store, program } = fresh();
    const x = Float32Array.of(1, 1, 1, 1);
    const first = engine.run([{ program, feeds: [x, yes] }]);
    x.fill(100);
    const second = engine.run([{ program, feeds: [x, yes] }]);
    x.fill(-1);
    await Promise.all([first, second]);
    expect([...new Float32Array(store.read("w"))]).toEqual([101, 101, 101, 101]);
  });

  it("queues runs that overlap", async () => {
    const { engine, store, program } = fresh(50_000);
    const x = new Float32Array(50_000).fill(1);
    const runs = Array.from({ length: 60 }, () => engine.run([{ program, feeds: [x, yes] }]));
    const settled = await Promise.all(runs);
    expect(settled.map(({ results }) => new Float32Array(results[0]!.outputs[0]!)[49_999])).toEqual(
      Array.from({ length: 60 }, (_, at) => at + 1),
    );
    expect(new Float32Array(store.read("w"))[0]).toBe(60);
  });

  it("lets nobody touch the store meanwhile", async () => {
    const { engine, store, program } = fresh(100_000);
    const running = engine.run([{ program, feeds: [new Float32Array(100_000), yes] }]);
    expect(() => store.read("w")).toThrow(expect.objectContaining({ code: "store/busy" }));
    expect(() => store.write("w", new Float32Array(100_000))).toThrow(expect.objectContaining({ code: "store/busy" }));
    await running;
    expect(store.read("w").byteLength).toBe(400_000);
  });

  it("leaves the JavaScript thread free", async () => {
    const { engine, program } = fresh(2_000_000);
    const x = new Float32Array(2_000_000);
    let ticks = 0;
    const timer = setInterval(() => ticks++, 1);
    // one job of 50 ms or more, however fast the machine is
    for (let [calls, ms] = [60, 0]; ms < 50; calls *= 2) {
      const started = performance.now();
      ticks = 0;
      await engine.run(Array.from({ length: calls }, () => ({ program, feeds: [x, yes] })));
      ms = performance.now() - started;
    }
    clearInterval(timer);
    expect(ticks).toBeGreaterThan(0);
  });

  it("leaves timers their turn between runs so brief that they are made at once", async () => {
    const { engine, store, program } = fresh();
    let fired = false;
    setTimeout(() => {
      fired = true;
    }, 20);
    let runs = 0;
    for (; !fired && runs < 300_000; runs++) await engine.run([{ program, feeds: [new Float32Array(4).fill(1), yes] }]);
    expect(fired).toBe(true);
    expect(new Float32Array(store.read("w"))[0]).toBe(runs);
  });

  it("takes no memory in the steady state", async () => {
    const { engine, program } = fresh(1000);
    const feeds = [new Float32Array(1000), yes];
    await engine.run([
      { program, feeds },
      { program, feeds },
    ]);
    const { currentBytes } = engine.info();
    for (let i = 0; i < 200; i++)
      await engine.run([
        { program, feeds },
        { program, feeds },
      ]);
    expect(engine.info().currentBytes).toBe(currentBytes);
    expect(engine.info().peakBytes).toBe(currentBytes);
  });

  it("names the instruction, node and value of an index out of range, and stops there", async () => {
    const engine = addon.createEngine({ threads: 2 });
    const store = engine.createStore();
    store.declare([signature("w", [2])]);
    const program = load(engine, store, {
      tensors: [
        tensor("constant", [3, 2]),
        tensor("feed", [1], { dtype: "i32" }),
        tensor("arena", [1, 2]),
        tensor("variable", [2]),
        tensor("arena", [2]),
      ],
      code: [step("take", [0, 1], [2], [], { node: 41 }), step("copy", [4], [3], [], { node: 42, commit: true })],
      arenaBytes: 64,
      constants: new Uint8Array(Float32Array.of(1, 2, 3, 4, 5, 6).buffer),
      variables: [signature("w", [2])],
      feeds: [signature("ids", [1], "i32")],
    });
    await engine.run([{ program, feeds: [Int32Array.of(2)] }]);
    expect([...new Float32Array(store.read("w"))]).toEqual([5, 6]);
    const bad = engine.run([
      { program, feeds: [Int32Array.of(0)] },
      { program, feeds: [Int32Array.of(-7)] },
      { program, feeds: [Int32Array.of(1)] },
    ]);
    await expect(bad).rejects.toMatchObject({
      ...{ code: "run/index-out-of-range", entry: 1, instruction: 0, node: 41, kernel: "take", value: -7 },
    });
    expect([...new Float32Array(store.read("w"))]).toEqual([1, 2]);
  });

  it("reads strided outputs and an arena past 4 GiB", async () => {
    const engine = addon.createEngine({ threads: 1 });
    const far = 4.5 * 2 ** 30;
    const program = load(engine, engine.createStore(), {
      tensors: [
        tensor("arena", [2, 3], { offset: far, dtype: "i32" }),
        tensor("arena", [3, 2], { offset: far, dtype: "i32", strides: [1, 3] }),
      ],
      code: [step("iota", [], [0], [1])],
      arenaBytes: 5 * 2 ** 30,
      outputs: [{ name: "transposed", tensor: 1 }],
    });
    expect(program.arenaBytes).toBe(5 * 2 ** 30);
    const { results } = await engine.run([{ program, feeds: [] }]);
    expect([...new Int32Array(results[0]!.outputs[0]!)]).toEqual([0, 0, 1, 1, 2, 2]);
  });

  it("goes on when a larger program is loaded meanwhile", async () => {
    const { engine, store, program } = fresh(300_000);
    const x = new Float32Array(300_000).fill(1);
    const runs = Array.from({ length: 10 }, () => engine.run([{ program, feeds: [x, yes] }]));
    const larger = load(engine, store, {
      tensors: [tensor("arena", [1 << 20])],
      code: [step("fill", [], [0], [3])],
      arenaBytes: 1 << 22,
    });
    runs.push(engine.run([{ program: larger, feeds: [] }]), engine.run([{ program, feeds: [x, yes] }]));
    await Promise.all(runs);
    expect(new Float32Array(store.read("w"))[299_999]).toBe(11);
  });

  it("reports the time of each instruction when asked", async () => {
    const { engine, program } = fresh(100_000);
    const feeds = [new Float32Array(100_000), yes];
    expect((await engine.run([{ program, feeds }])).profile).toBeUndefined();
    const { profile } = await engine.run([{ program, feeds }], { profile: true });
    expect(profile!.map((times) => times.length)).toEqual([2]);
    expect(profile![0]!.every((ns) => ns > 0 && ns < 1e10)).toBe(true);
  });

  it.each(paths)("gives the path that was asked for: %s", (isa) => {
    expect(addon.createEngine({ isa, threads: 1 }).info()).toMatchObject({ isa, threads: 1 });
  });
});

describe("the door", () => {
  const { engine, store, program } = fresh();
  const x = new Float32Array(4);
  const detached = new Float32Array(4);
  structuredClone(detached.buffer, { transfer: [detached.buffer] });
  const other = fresh();
  const refused: [string, string, () => unknown][] = [
    ["an unknown path", "engine/isa", () => addon.createEngine({ isa: "mmx" })],
    ["no threads", "engine/argument", () => addon.createEngine({ threads: 0 })],
    ["half a thread", "engine/argument", () => addon.createEngine({ threads: 1.5 })],
    ["too few feeds", "run/feeds", () => engine.run([{ program, feeds: [x] }])],
    ["a feed of another length", "run/feeds", () => engine.run([{ program, feeds: [new Float32Array(3), yes] }])],
    ["a feed of another dtype", "run/feeds", () => engine.run([{ program, feeds: [new Int32Array(4), yes] }])],
    ["a detached feed", "run/feeds", () => engine.run([{ program, feeds: [detached, yes] }])],
    ["a program of another engine", "engine/argument", () => engine.run([{ program: other.program, feeds: [x, yes] }])],
    ["a store of another engine", "engine/argument", () => load(engine, other.store, {})],
    ["a variable twice", "store/declared-twice", () => store.declare([signature("a", [1]), signature("a", [2])])],
    ["a variable that is there", "store/declared-twice", () => store.declare([signature("w", [4])])],
    ["a shape that overflows", "store/shape", () => store.declare([signature("b", [2 ** 40, 2 ** 40])])],
    ["a variable nobody declared", "store/unknown-variable", () => store.read("nobody")],
    ["a value of another length", "store/length", () => store.write("w", new Float32Array(5))],
    ["a value of another dtype", "engine/argument", () => store.write("w", new Int32Array(4))],
    [
      "a plan with an unknown kernel",
      "plan/unknown-kernel",
      () => load(engine, store, { tensors: [tensor("arena", [])], code: [step("conv9d", [], [0])], arenaBytes: 64 }),
    ],
    [
      "a plan with another variable",
      "plan/variable-mismatch",
      () => load(engine, store, { variables: [signature("w", [5])] }),
    ],
    [
      "a plan with an unknown variable",
      "plan/unknown-variable",
      () => load(engine, store, { variables: [signature("v", [5])] }),
    ],
    [
      "a tensor outside the arena",
      "plan/invalid",
      () => load(engine, store, { tensors: [tensor("arena", [17])], arenaBytes: 64 }),
    ],
    [
      "a view outside the arena",
      "plan/invalid",
      () => load(engine, store, { tensors: [tensor("arena", [2, 2], { strides: [15, 2] })], arenaBytes: 64 }),
    ],
    [
      "a negative stride",
      "plan/invalid",
      () => load(engine, store, { tensors: [tensor("arena", [2], { strides: [-1] })], arenaBytes: 64 }),
    ],
    [
      "an offset between elements",
      "plan/invalid",
      () => load(engine, store, { tensors: [tensor("arena", [1], { offset: 2 })], arenaBytes: 64 }),
    ],
    [
      "an output that repeats elements",
      "plan/instruction",
      () =>
        load(engine, store, {
          tensors: [tensor("arena", [4], { strides: [0] })],
          code: [step("fill", [], [0], [1])],
          arenaBytes: 64,
        }),
    ],
    [
      "an instruction that writes a constant",
      "plan/instruction",
      () =>
        load(engine, store, {
          tensors: [tensor("constant", [1])],
          code: [step("fill", [], [0], [1])],
          constants: new Uint8Array(4),
        }),
    ],
    [
      "a guard that is no bool",
      "plan/invalid",
      () => load(engine, store, { tensors: [tensor("arena", [])], arenaBytes: 64, guard: 0 }),
    ],
    ["an arena larger than any memory", "engine/out-of-memory", () => load(engine, store, { arenaBytes: 2 ** 45 })],
  ];
  it.each(refused)("refuses %s", async (_, code, body) => {
    await expect((async () => body())()).rejects.toMatchObject({ code });
  });

  it("still works after all of that", async () => {
    const { results } = await engine.run([{ program, feeds: [x.fill(2), yes] }]);
    expect([...new Float32Array(results[0]!.outputs[0]!)]).toEqual([2, 2, 2, 2]);
  });

  it("declares nothing when one of a list is refused", () => {
    const { store: untouched } = fresh();
    expect(() => untouched.declare([signature("good", [1]), signature("bad", [2 ** 52])])).toThrow();
    expect(untouched.names()).toEqual(["w"]);
  });

  it("tells the variables it has", () => {
    const { store: described } = fresh();
    described.declare([{ name: "ids", dtype: "i64", shape: [2, 0] }]);
    expect(described.variables()).toEqual([
      { name: "ids", dtype: "i64", shape: [2, 0] },
      { name: "w", dtype: "f32", shape: [4] },
    ]);
  });

  it("knows a plan's workspace without loading it", () => {
    const { bytes, kernelNames } = encodePlan(
      plan({
        tensors: [tensor("arena", [1 << 20]), tensor("arena", [1])],
        code: [step("sum", [0], [1], [1])],
        arenaBytes: 1 << 22,
      }),
    );
    const before = engine.info().currentBytes;
    expect(engine.workspaceBytes(bytes, kernelNames)).toBeGreaterThan(0);
    expect(engine.info().currentBytes).toBe(before);
  });
});

describe("nothing crashes", () => {
  it("on any arguments (X1)", async () => {
    const { calls, thrown } = await fuzzEntries(20_000, 1);
    expect(calls).toBe(20_000);
    expect(thrown).toBeGreaterThan(5_000);
  });

  it("on any plan", async () => {
    const { plans, loaded } = await fuzzPlans(10_000, 2);
    expect(plans).toBe(10_000);
    expect(loaded).toBeGreaterThan(100); // some mutations are harmless: those programs are run
  });

  it("when everything is collected in any order while runs are pending", async () => {
    for (let round = 0; round < 20; round++) {
      let { engine, store, program } = fresh(20_000) as
        | ReturnType<typeof fresh>
        | { engine: undefined; store: undefined; program: undefined };
      const running = engine!.run([{ program: program!, feeds: [new Float32Array(20_000), yes] }]);
      [engine, store, program] = [undefined, undefined, undefined];
      collectGarbage();
      expect((await running).results[0]!.committed).toBe(true);
      expect([engine, store, program]).toEqual([undefined, undefined, undefined]);
    }
    collectGarbage();
  });

  it("gives memory back to the system when a store is collected", async () => {
    const engine = addon.createEngine({ threads: 1 });
    for (let round = 0; round < 30; round++) {
      engine.createStore().declare([signature("big", [1 << 24])]);
      collectGarbage();
      await new Promise(setImmediate);
    }
    expect(engine.info().currentBytes).toBeLessThan(10 * 2 ** 26);
  });

  const found = loadAddon();
  const path = found.addon === undefined ? "" : found.path;
  /** A job of about a second, started; then `after`. */
  const busy = (after: string) => `
    const { createRequire } = require("node:module");
    const addon = require(${JSON.stringify(path)});
    const engine = addon.createEngine({ threads: 2 });
    const store = engine.createStore();
    const { bytes, kernels } = ${JSON.stringify(longPlan())};
    const program = engine.load(new Uint8Array(bytes).buffer, kernels, [], [], store);
    const running = engine.run(Array.from({ length: 50 }, () => ({ program, feeds: [] })));
    ${after}`;

  it("when the process exits during a run", () => {
    for (const after of ["process.exit(0)", "setTimeout(() => process.exit(0), 20)"]) {
      const { status, signal, stderr } = spawnSync(process.execPath, ["-e", busy(after)], {
        encoding: "utf8",
        timeout: 30_000,
      });
      expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: "" });
    }
  });

  it("when the process ends by itself: a run is waited for, an idle engine is not", () => {
    const { status, stdout } = spawnSync(process.execPath, ["-e", busy("running.then(() => console.log('done'))")], {
      encoding: "utf8",
      timeout: 30_000,
    });
    expect({ status, stdout }).toEqual({ status: 0, stdout: "done\n" });
  });

  it("in workers, and when they are stopped during a run", async () => {
    const workers = Array.from({ length: 4 }, (_, at) => {
      const after =
        at % 2 === 0
          ? "running.then(() => require('node:worker_threads').parentPort.postMessage('done'))"
          : "require('node:worker_threads').parentPort.postMessage('started')";
      return new Worker(busy(after), { eval: true });
    });
    const messages = await Promise.all(
      workers.map((worker) => new Promise((resolve, reject) => worker.once("message", resolve).once("error", reject))),
    );
    expect(messages).toEqual(["done", "started", "done", "started"]);
    await Promise.all(workers.map((worker) => worker.terminate()));
    const { engine, program } = fresh();
    expect((await engine.run([{ program, feeds: [new Float32Array(4), yes] }])).results).toHaveLength(1);
  });
});

function longPlan(): { bytes: number[]; kernels: string[] } {
  const { bytes, kernelNames } = encodePlan(
    plan({
      tensors: [tensor("arena", [1 << 21])],
      code: Array.from({ length: 10 }, () => step("fill", [], [0], [1])),
      arenaBytes: 1 << 23,
    }),
  );
  return { bytes: [...new Uint8Array(bytes)], kernels: kernelNames };
}

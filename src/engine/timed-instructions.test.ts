// Times of instructions: what engines give, what they come to in a step, and the floor beside them.
import { describe, expect, test } from "vitest";
import { fromNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { assign, trace, variable, withScope } from "../core/index.ts";
import { bandwidthFor } from "./bandwidth.ts";
import { Profiler } from "./profiler.ts";
import { ReferenceEngine } from "./reference.ts";
import { addTimes, groupBy, type MachineLimits, timeInstructions } from "./timed-instructions.ts";

const engine = new ReferenceEngine();
const plan = compile(
  trace({ x: { dtype: "f32", shape: [2, 3] }, go: { dtype: "bool", shape: [] } }, ({ x, go }) => {
    const y = withScope("up", () => x.matmul(variable("w", "f32", [3, 2])));
    const z = withScope("down", () => y.exp().add(y));
    x.graph.guard = go.id;
    assign("w", variable("w", "f32", [3, 2]).neg());
    return { z };
  }),
  engine.target,
);
const feeds = (go: number) => ({
  x: fromNumbers("f32", [2, 3], [1, 2, 3, 4, 5, 6]),
  go: fromNumbers("bool", [], [go]),
});

function profiled() {
  const profiler = new Profiler(engine);
  const store = profiler.createStore();
  const program = profiler.load(plan, store);
  store.write("w", fromNumbers("f32", [3, 2], [1, 0, 0, 1, 1, 1]));
  return { profiler, program };
}

describe("a profiler", () => {
  test("gives the engine's results, and a time per instruction between begin and end", async () => {
    const { profiler, program } = profiled();
    const [plain] = await profiler.run([{ program, feeds: feeds(0) }]);
    expect(profiler.end()).toEqual([]);
    profiler.begin();
    const [timed] = await profiler.run([{ program, feeds: feeds(0) }]);
    expect(timed).toEqual(plain);
    const [run, ...more] = profiler.end();
    expect(more).toEqual([]);
    expect(run!.plan).toBe(plan);
    expect(run!.nanoseconds).toHaveLength(plan.code.length);
    await profiler.run([{ program, feeds: feeds(0) }]);
    expect(profiler.end()).toEqual([]);
  });

  test("an instruction that the guard skipped took no time", async () => {
    const { profiler, program } = profiled();
    const commits = plan.code.flatMap(({ commit }, at) => (commit ? [at] : []));
    expect(commits).not.toEqual([]);
    const times = [new Float64Array(plan.code.length).fill(7)];
    await profiler.run([{ program, feeds: feeds(0) }], times);
    for (const at of commits) expect(times[0]![at]).toBe(0);
    expect(times[0]).not.toContain(7);
  });

  test("the programs of one job follow each other", async () => {
    const { profiler, program } = profiled();
    profiler.begin();
    await profiler.run([feeds(0), feeds(0)].map((given) => ({ program, feeds: given })));
    const [first, second] = profiler.end();
    const firstMs = first!.nanoseconds.reduce((sum, ns) => sum + ns, 0) / 1e6;
    expect(second!.startMs).toBeCloseTo(first!.startMs + firstMs, 9);
  });
});

describe("in a step", () => {
  const limits: MachineLimits = {
    flopsPerSecond: 1e9,
    dispatchSeconds: 1e-6,
    bandwidths: [
      { bytes: 100, bytesPerSecond: 4e9 },
      { bytes: 1000, bytesPerSecond: 1e9 },
    ],
  };
  // four runs in two steps: each instruction twice a step
  const runs = [1, 3, 2, 900].map((ms) => ({
    plan,
    startMs: 0,
    nanoseconds: new Float64Array(plan.code.length).fill(ms * 1e6),
  }));
  const timed = timeInstructions("accumulate", plan, runs, 2, limits);

  test("an instruction takes its median, as often as it runs", () => {
    for (const { calls, ms } of timed) expect([calls, ms]).toEqual([2, 6]);
  });

  test("its floor is the larger of arithmetic and memory", () => {
    const product = timed.find(({ op }) => op === "matmul")!;
    // per call 2·2·3·2 FLOPs at 1 per ns, and (6 + 6 + 4)·4 bytes at 4 per ns
    expect([product.flops, product.bytes]).toEqual([2 * 24, 2 * 64]);
    expect(product.floorMs).toBeCloseTo((2 * Math.max(24, 64 / 4)) / 1e6, 12);
    expect(bandwidthFor(99, limits)).toBe(4e9); // smaller than what was measured
    expect(bandwidthFor(999, limits)).toBe(4e9);
    expect(bandwidthFor(1000, limits)).toBe(1e9);
  });

  test("groups hold every instruction once, and their shares sum to one", () => {
    for (const nameOf of [(one: (typeof timed)[number]) => one.op, (one: (typeof timed)[number]) => one.layer]) {
      const groups = groupBy(timed, nameOf);
      expect(groups.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 12);
      expect(groups.flatMap(({ members }) => members)).toHaveLength(timed.length);
      expect(addTimes(groups).ms).toBeCloseTo(addTimes(timed).ms, 9);
      expect(groups.map(({ ms }) => ms)).toEqual(groups.map(({ ms }) => ms).toSorted((a, b) => b - a));
    }
    expect(groupBy(timed, ({ layer }) => layer).map(({ name }) => name)).toEqual(
      expect.arrayContaining(["up", "down", ""]),
    );
  });
});

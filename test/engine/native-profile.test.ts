// Timed runs of the native engine: the results of untimed ones, and a time for every instruction that ran.
import { expect, test } from "vitest";
import { fromNumbers } from "../../src/base/index.ts";
import { compile } from "../../src/compiler/index.ts";
import { assign, trace, variable } from "../../src/core/index.ts";
import { loadNativeEngine } from "../../src/engine/index.ts";

test("a timed run has the bytes of an untimed one, and times what the guard lets run", async () => {
  const engine = loadNativeEngine({ threads: 2 }).engine!;
  const graph = trace({ x: { dtype: "f32", shape: [65, 33] }, go: { dtype: "bool", shape: [] } }, ({ x, go }) => {
    x.graph.guard = go.id;
    const w = variable("w", "f32", [33, 17]);
    assign("w", w.add(1));
    return { y: x.matmul(w).tanh().sum() };
  });
  const plan = compile(graph, engine.target);
  const program = engine.load(plan, engine.createStore());
  const x = fromNumbers(
    "f32",
    [65, 33],
    Array.from({ length: 65 * 33 }, (_, at) => Math.sin(at)),
  );
  const call = (go: number) => ({ program, feeds: { x, go: fromNumbers("bool", [], [go]) } });
  program.store.write("w", fromNumbers("f32", [33, 17], new Float32Array(33 * 17).fill(0.1)));
  const times = [call(0), call(0)].map(() => new Float64Array(plan.code.length).fill(-1));
  const timed = await engine.run([call(0), call(0)], times);
  expect(timed).toEqual(await engine.run([call(0), call(0)]));
  expect(timed[0]!.committed).toBe(false);
  for (const all of times) {
    plan.code.forEach(({ commit }, at) => {
      if (commit) expect(all[at]).toBe(0);
      else expect(all[at]).toBeGreaterThan(0);
    });
  }
  expect(plan.code.some(({ commit }) => commit)).toBe(true);
});

// What this machine can do: matrix products per second on an engine, measured, for "share of peak" and for forecasts.
import { fromNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { trace } from "../core/index.ts";
import type { Engine } from "../engine/index.ts";
import type { Recipe } from "../recipe/index.ts";
import { chooseEngine } from "./engine.ts";

/** Floating-point operations per second of a large matrix product on the recipe's engine: about 50 ms of work. */
export async function measurePeak(recipe: Pick<Recipe, "engine" | "precision">): Promise<number> {
  const { engine } = chooseEngine(recipe);
  return await measureMatmul(engine, engine.name === "native" ? 768 : 64);
}

/** Best of several products of two n×n matrices, in floating-point operations per second. */
export async function measureMatmul(engine: Engine, n: number, rounds = 8): Promise<number> {
  const type = { dtype: "f32", shape: [n, n] } as const;
  const graph = trace({ a: type, b: type }, ({ a, b }) => a.matmul(b).slice(0, 0, 1));
  const program = engine.load(compile(graph, engine.target), engine.createStore());
  const values = new Float32Array(n * n).map((_, i) => ((i * 7919) % 1000) / 1000 - 0.5);
  const feeds = { a: fromNumbers("f32", [n, n], values), b: fromNumbers("f32", [n, n], values) };
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    await engine.run([{ program, feeds }]);
    best = Math.min(best, (performance.now() - started) / 1000);
  }
  return (2 * n ** 3) / best;
}

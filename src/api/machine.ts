// What this machine can do: matrix products per second on an engine, measured, for "share of peak" and for forecasts.
import { type DType, fromNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { trace, variable } from "../core/index.ts";
import type { Engine } from "../engine/index.ts";
import type { Recipe } from "../recipe/index.ts";
import { chooseEngine } from "./engine.ts";

/** Floating-point operations per second of a large matrix product on the recipe's engine, in its precision: about 150 ms of work. */
export async function measurePeak(recipe: Pick<Recipe, "engine" | "precision">): Promise<number> {
  const { engine } = chooseEngine(recipe);
  const dtype = recipe.precision === "bf16" ? "bf16" : "f32";
  return await measureMatmul(engine, engine.name === "native" ? 768 : 64, 8, dtype);
}

const productsPerRun = 4;

/**
 * Best of several runs of products of two n×n matrices of this dtype, in floating-point operations per second. The matrices lie in the
 * store, so that a run is nothing but products.
 */
export async function measureMatmul(engine: Engine, n: number, rounds = 8, dtype: DType = "f32"): Promise<number> {
  const graph = trace({}, () => {
    const [a, b] = [variable("a", dtype, [n, n]), variable("b", dtype, [n, n])];
    let product = a;
    // in f32: an engine that multiplies bf16 takes the casts away
    for (let at = 0; at < productsPerRun; at++) product = product.cast("f32").matmul(b.cast("f32")).cast(dtype);
    return product.slice(0, 0, 1).cast("f32");
  });
  const store = engine.createStore();
  const program = engine.load(compile(graph, engine.target), store);
  const values = new Float32Array(n * n).map((_, i) => (((i * 7919) % 1000) / 1000 - 0.5) / n);
  for (const name of ["a", "b"]) store.write(name, fromNumbers(dtype, [n, n], values));
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const started = performance.now();
    await engine.run([{ program, feeds: {} }]);
    best = Math.min(best, (performance.now() - started) / 1000);
  }
  return (productsPerRun * 2 * n ** 3) / best;
}

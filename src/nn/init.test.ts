// Initial values: their moments and exact properties, PyTorch's fans and SciPy's deviations, and the rules of muP. What muP is for is shown in study/coordinate-check.test.ts.
import { describe, expect, test } from "vitest";
import golden from "../../test/golden/init.json" with { type: "json" };
import { type Shape, sizeOf, toNumbers } from "../base/index.ts";
import { fans, type Init, initialize, initNames, Linear, Mlp, Module, mup } from "./index.ts";

const values = (init: Init, shape: Shape, name = "weight", seed = 2): number[] =>
  Array.from(toNumbers(initialize(init, name, shape, "f64", seed)));

function moments(list: readonly number[]): { average: number; spread: number } {
  const average = list.reduce((sum, x) => sum + x, 0) / list.length;
  return { average, spread: Math.sqrt(list.reduce((sum, x) => sum + (x - average) ** 2, 0) / list.length) };
}

test("every initializer has the mean and deviation of its definition", () => {
  const shape = [80, 120];
  const size = sizeOf(shape);
  const truncated = golden.truncated.find(({ cut }) => cut === 2)!.deviation;
  const definitions: { readonly [name: string]: readonly [mean: number, deviation: number] } = {
    zeros: [0, 0],
    ones: [1, 0],
    normal: [0, 1],
    truncatedNormal: [0, truncated],
    uniform: [0, 1 / Math.sqrt(3)],
    xavierUniform: [0, Math.sqrt(2 / 200)],
    xavierNormal: [0, Math.sqrt(2 / 200)],
    heUniform: [0, Math.sqrt(2 / 80)],
    heNormal: [0, Math.sqrt(2 / 80)],
    lecunUniform: [0, Math.sqrt(1 / 80)],
    lecunNormal: [0, Math.sqrt(1 / 80)],
    orthogonal: [0, Math.sqrt(1 / 120)], // rows of length 1
    identity: [1 / 120, Math.sqrt(1 / 120 - 1 / 120 ** 2)],
    sparse: [0, 0.01 * Math.sqrt(0.1)],
  };
  expect(Object.keys(definitions)).toEqual([...initNames]);
  const inits: [Init, mean: number, deviation: number][] = [
    ...initNames.map((name): [Init, number, number] => [name, ...definitions[name]!]),
    [{ name: "normal", std: 0.02, mean: 3 }, 3, 0.02],
    [{ name: "truncatedNormal", std: 0.02, mean: 3 }, 3, 0.02 * truncated],
    [{ name: "uniform", bound: 0.3 }, 0, 0.3 / Math.sqrt(3)],
    [{ name: "constant", value: 0.7 }, 0.7, 0],
    [{ name: "heNormal", gain: 3, fan: "out" }, 0, 3 * Math.sqrt(2 / 120)],
    [{ name: "lecunUniform", fan: "out" }, 0, Math.sqrt(1 / 120)],
    [{ name: "xavierUniform", gain: 5 / 3 }, 0, (5 / 3) * Math.sqrt(2 / 200)],
    [{ name: "scaled", init: { name: "normal", std: 2, mean: 1 }, factor: 0.25 }, 0.25, 0.5],
    [{ name: "scaled", init: "ones", factor: -2 }, -2, 0],
  ];
  for (const [init, mean, deviation] of inits) {
    const { average, spread } = moments(values(init, shape));
    const fourth = init === "sparse" ? Math.sqrt(15) : 1; // a tenth of normal numbers: their fourth moment is 30 σ⁴, not 3
    expect(Math.abs(average - mean), JSON.stringify(init)).toBeLessThanOrEqual(
      (4 * deviation) / Math.sqrt(size) + 1e-12,
    );
    expect(Math.abs(spread - deviation), JSON.stringify(init)).toBeLessThanOrEqual(
      (4 * deviation * fourth) / Math.sqrt(2 * size) + 1e-12,
    );
  }
});

test("a value depends on seed, name and element alone: not on dtype, buffer or what was made before", () => {
  for (const init of initNames) {
    const own = values(init, [20, 5], "a", 1);
    expect(values(init, [20, 5], "a", 1), init).toEqual(own);
    const buffer = new ArrayBuffer(4 * 128);
    const inF32 = initialize(init, "a", [20, 5], "f32", 1, buffer);
    expect(Array.from(inF32.data, Number), init).toEqual(own.map(Math.fround));
    expect(inF32.data.buffer).toBe(buffer);
    if (["zeros", "ones", "identity"].includes(init)) continue;
    expect(values(init, [20, 5], "b", 1), init).not.toEqual(own);
    expect(values(init, [20, 5], "a", 2), init).not.toEqual(own);
  }
});

test.each(golden.fans)("fans of $shape are PyTorch's", ({ shape, fans: expected }) => {
  expect(fans(shape)).toEqual(expected);
});

test.each(golden.truncated)("a normal distribution cut at $cut deviations", ({ cut, deviation }) => {
  const std = 0.5;
  const list = values({ name: "truncatedNormal", std, mean: 2, cut }, [20_000]);
  for (const value of list) expect(Math.abs(value - 2)).toBeLessThanOrEqual(cut * std);
  const { average, spread } = moments(list);
  expect(Math.abs(average - 2)).toBeLessThan((4 * std * deviation) / Math.sqrt(20_000));
  expect(Math.abs(spread / (std * deviation) - 1)).toBeLessThan(4 / Math.sqrt(2 * 20_000));
});

test.each([[[40, 40]], [[60, 24]], [[24, 60]], [[3, 3, 4, 8]], [[1, 5]]])("orthogonal %o", (shape) => {
  const [rows, columns] = [sizeOf(shape.slice(0, -1)), shape.at(-1)!];
  const q = values({ name: "orthogonal", gain: 3 }, shape);
  const isTall = rows >= columns;
  const [count, length] = isTall ? [columns, rows] : [rows, columns];
  const at = (vector: number, i: number) => (isTall ? q[i * columns + vector]! : q[vector * columns + i]!);
  for (let a = 0; a < count; a++) {
    for (let b = 0; b <= a; b++) {
      let dot = 0;
      for (let i = 0; i < length; i++) dot += at(a, i) * at(b, i);
      expect(Math.abs(dot - (a === b ? 9 : 0)), `${a} · ${b}`).toBeLessThan(1e-12);
    }
  }
});

test("identity has ones on the diagonal, sparse so many zeros per output", () => {
  expect(values("identity", [2, 3])).toEqual([1, 0, 0, 0, 1, 0]);
  const [rows, columns] = [50, 40];
  const weight = values({ name: "sparse", sparsity: 0.73, std: 2 }, [rows, columns]);
  for (let c = 0; c < columns; c++) {
    const column = Array.from({ length: rows }, (_, r) => weight[r * columns + c]!);
    expect(column.filter((value) => value === 0)).toHaveLength(37); // ⌈0.73 · 50⌉
  }
  const kept = weight.filter((value) => value !== 0);
  expect(Math.abs(moments(kept).spread / 2 - 1)).toBeLessThan(4 / Math.sqrt(2 * kept.length));
  const first = (c: number) => Array.from({ length: rows }, (_, r) => weight[r * columns + c] === 0);
  expect(first(0)).not.toEqual(first(1)); // not the same inputs for all
});

test.each<[string, Init, Shape, string]>([
  ["a name", "xavierNorma" as Init, [2, 2], "did you mean xavierNormal?"],
  ["a cut", { name: "truncatedNormal", std: 1, cut: 0 }, [2], "cut of truncatedNormal is out of its range"],
  ["a share", { name: "sparse", sparsity: 1 }, [2, 2], "a share from 0 to below 1"],
  ["an orthogonal vector", "orthogonal", [3], "a matrix"],
  ["the identity of a vector", "identity", [3], "a matrix"],
])("refused: %s", (_what, init, shape, message) => {
  expect(() => initialize(init, "w", shape, "f32", 0)).toThrow(message);
  expect(() => initialize(init, "w", shape, "f32", 0)).toThrow("[nn/init]");
});

test("hidden layers that start at equal numbers are refused with the reason; a linear model may start so", () => {
  for (const init of ["zeros", "ones", { name: "constant", value: 2 }] as const)
    expect(() => new Mlp([2, 3, 1], { init })).toThrow(/nn\/symmetry[\s\S]*stay alike[\s\S]*fix/);
  expect(new Mlp([2, 1], { init: "zeros" }).layers).toHaveLength(1);
});

describe("muP", () => {
  const build = (width: number) => new Mlp([16, width, width, 4]);

  test("the rules of the paper, by parameter", () => {
    const model = build(128);
    const rates = mup(model, build(32));
    expect(Object.fromEntries(rates)).toEqual({
      "layers.0.weight": { kind: "input", adam: 1, sgd: 4 },
      "layers.0.bias": { kind: "input", adam: 1, sgd: 4 },
      "layers.1.weight": { kind: "hidden", adam: 0.25, sgd: 1 },
      "layers.1.bias": { kind: "input", adam: 1, sgd: 4 },
      "layers.2.weight": { kind: "output", adam: 0.25, sgd: 0.25 },
      "layers.2.bias": { kind: "fixed", adam: 1, sgd: 1 },
    });
    const own = build(128).parameters().get("layers.2.weight")!.init;
    expect(model.parameters().get("layers.2.weight")!.init).toEqual({ name: "scaled", init: own, factor: 0.5 });
    expect(model.parameters().get("layers.1.weight")!.init).toBe("heNormal");
  });

  test("models that differ in more than width are refused", () => {
    expect(() => mup(build(8), new Mlp([16, 4, 4]))).toThrow("[nn/mup]");
    expect(() => mup(new Mlp([16, 8, 4]), build(4))).toThrow("[nn/mup]");
    class Other extends Module {
      readonly head = new Linear(2, 2);
      forward(): void {}
    }
    expect(() => mup(new Other(), build(4))).toThrow("no such parameter");
  });
});

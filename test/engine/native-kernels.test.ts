// Copies, reductions, running sums and random numbers against plain loops, on random layouts, on each path.
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type DType, philox, toBf16, toF16, wordToUniform } from "../../src/base/index.ts";
import {
  addon,
  anyLayout,
  dense,
  denseStrides,
  elements,
  engines,
  fillWith,
  type Laid,
  product,
  type RandomSource,
  randomSource,
  runKernel,
} from "./native-harness.ts";

const shapes = [
  [],
  [1],
  [5],
  [3, 4],
  [0, 4],
  [700],
  [33, 70],
  [70, 33],
  [2, 3, 4, 5],
  [9000],
  [300, 130],
  [130, 300],
  [5, 1, 4100],
  [64, 2, 65],
];

/** Calls `visit(index, flat position)` in row-major order. */
function eachIndex(shape: readonly number[], visit: (index: readonly number[], at: number) => void): void {
  const index = new Array<number>(shape.length).fill(0);
  for (let at = 0; at < product(shape); at++) {
    visit(index, at);
    for (let d = shape.length - 1; d >= 0; d--) {
      if (++index[d]! < shape[d]!) break;
      index[d] = 0;
    }
  }
}

const normalish = (random: RandomSource) => () => Math.fround(random.uniform(-1, 1) + random.uniform(-1, 1));

describe.each(engines)("kernels on $isa", ({ engine }) => {
  it("copy moves any view to any view", async () => {
    const random = randomSource(1);
    for (const dtype of ["f32", "u8", "bf16", "f64", "i32", "bool"] as const) {
      for (const shape of shapes) {
        for (let round = 0; round < 3; round++) {
          const x = fillWith(anyLayout(random, dtype, shape, true), () => random.below(2 ** 8));
          const y = fillWith(anyLayout(random, dtype, shape), () => 7);
          expect((await runKernel(engine, { kernel: "copy", inputs: [x], outputs: [y] }))[0]).toEqual(elements(x));
        }
      }
    }
  });

  // a mean in f32 is off by its last places, which here are as large as the deviations
  it.each(["f32", "bf16"] as const)("layerNorm of %s rows far from zero, and its gradient", async (dtype) => {
    const random = randomSource(9);
    const [rows, n, eps] = [5, 301, 1e-5];
    const step = dtype === "f32" ? 2 ** -14 : 4; // one unit in the last place of 800
    const spread = [0, 1, 40, 3, 0]; // in steps; 0: a constant row
    const x = Array.from({ length: rows * n }, (_, at) => 800 + step * random.below(spread[Math.floor(at / n)]! + 1));
    const g = x.map(() => Math.fround(random.uniform(-1, 1)));
    const [w, b] = [0, 1].map(() => Array.from({ length: n }, () => Math.fround(random.uniform(-1, 1))));
    const [y, dx, means, rstds]: number[][] = [[], [], [], []];
    const dw = new Array<number>(n).fill(0);
    for (let row = 0; row < rows; row++) {
      const at = (from: readonly number[]) => from.slice(row * n, (row + 1) * n);
      const average = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / n;
      const mean = average(at(x));
      const rstd = 1 / Math.sqrt(average(at(x).map((value) => (value - mean) ** 2)) + eps);
      const normal = at(x).map((value) => (value - mean) * rstd);
      const h = at(g).map((value, i) => value * w![i]!);
      const [averageH, averageHn] = [average(h), average(h.map((value, i) => value * normal[i]!))];
      means!.push(mean);
      rstds!.push(rstd);
      y!.push(...normal.map((value, i) => value * w![i]! + b![i]!));
      dx!.push(...normal.map((value, i) => rstd * (h[i]! - averageH - value * averageHn)));
      normal.forEach((value, i) => {
        dw[i]! += value * at(g)[i]!;
      });
    }
    const rowsOf = dense(dtype, [rows, n], dtype === "f32" ? x : x.map(toBf16));
    const [weight, bias] = [dense("f32", [n], w!), dense("f32", [n], b!)];
    const [mean, rstd] = [dense("f32", [rows], means!), dense("f32", [rows], rstds!)];
    const close = (got: readonly number[], expected: readonly number[], scale: number) =>
      got.forEach((value, i) => {
        expect(Math.abs(value - expected[i]!), `${i}: ${value}`).toBeLessThan(2e-6 * (scale + Math.abs(expected[i]!)));
      });
    const forward = await runKernel(engine, {
      kernel: "layerNorm",
      inputs: [rowsOf, weight, bias],
      outputs: [dense("f32", [rows, n]), dense("f32", [rows]), dense("f32", [rows])],
      params: [eps],
    });
    [y, means, rstds].forEach((expected, i) => {
      close(forward[i]!, expected!, i === 0 ? 1 : 0);
    });
    const backward = await runKernel(engine, {
      kernel: "layerNormGrad",
      inputs: [dense("f32", [rows, n], g), rowsOf, weight, mean, rstd],
      outputs: [dense("f32", [rows, n]), dense("f32", [n]), dense("f32", [n])],
      params: [eps],
    });
    close(backward[0]!, dx!, Math.max(...rstds!));
    close(backward[1]!, dw, 10);
  });

  it("copy transposes large matrices", async () => {
    const x = fillWith(dense("f32", [257, 515]), normalish(randomSource(2)));
    const transposed: Laid = { ...x, shape: [515, 257], strides: [1, 515] };
    const [got] = await runKernel(engine, {
      kernel: "copy",
      inputs: [transposed],
      outputs: [dense("f32", [515, 257])],
    });
    expect(got).toEqual(elements(transposed));
  });

  it("fill writes every dtype as conversion has it", async () => {
    for (const value of [
      0,
      1,
      -2.7,
      300.5,
      65519,
      65520,
      1e-7,
      3e-8,
      Number.NaN,
      Number.POSITIVE_INFINITY,
      1e300,
      3.25e4,
    ]) {
      const y = dense("f32", [3, 50]);
      expect((await runKernel(engine, { kernel: "fill", inputs: [], outputs: [y], params: [value] }))[0]![149]).toBe(
        Math.fround(value),
      );
      const half = (
        await runKernel(engine, { kernel: "fill", inputs: [], outputs: [dense("f16", [5])], params: [value] })
      )[0]![4];
      expect(half, `f16 of ${value}`).toBe(toF16(Math.fround(value)));
      const brain = (
        await runKernel(engine, { kernel: "fill", inputs: [], outputs: [dense("bf16", [5])], params: [value] })
      )[0]![4];
      expect(brain, `bf16 of ${value}`).toBe(toBf16(Math.fround(value)));
    }
    const strided: Laid = { ...dense("i32", [4, 6]), shape: [4, 2], strides: [6, 3], offset: 1 };
    expect((await runKernel(engine, { kernel: "fill", inputs: [], outputs: [strided], params: [-9] }))[0]).toEqual(
      new Array(8).fill(-9),
    );
    expect(
      (await runKernel(engine, { kernel: "fill", inputs: [], outputs: [dense("bool", [2])], params: [0.5] }))[0],
    ).toEqual([1, 1]);
  });

  it("iota writes the index along an axis", async () => {
    const random = randomSource(3);
    for (const shape of shapes.filter((s) => s.length > 0)) {
      const axis = random.below(shape.length);
      const y = fillWith(anyLayout(random, "i32", shape), () => -1);
      const want: number[] = [];
      eachIndex(shape, (index) => want.push(index[axis]!));
      expect((await runKernel(engine, { kernel: "iota", inputs: [], outputs: [y], params: [axis] }))[0]).toEqual(want);
    }
  });

  it("updateSlice writes a window, clamped, in place or not, one start for all or one per row", async () => {
    const random = randomSource(4);
    for (let round = 0; round < 60; round++) {
      const shape = random.pick([[6], [4, 5], [3, 7, 2], [2, 200, 9]]);
      const axis = random.below(shape.length);
      const part = shape.map((dim, d) => (d === axis ? random.below(dim + 1) : dim));
      const x = fillWith(anyLayout(random, "f32", shape), normalish(random));
      const value = fillWith(anyLayout(random, "f32", part, true), normalish(random));
      const perRow = axis > 0 && random.below(2) === 0;
      const starts = Array.from({ length: perRow ? shape[0]! : 1 }, () => random.below(14) - 4);
      const y = random.below(2) === 0 ? x : fillWith(anyLayout(random, "f32", shape), () => 5);
      const first = starts.map((start) => Math.min(Math.max(start, 0), shape[axis]! - part[axis]!));
      const want = elements(x);
      const strides = denseStrides(shape);
      const values = elements(value);
      eachIndex(part, (index, at) => {
        const from = first[perRow ? index[0]! : 0]!;
        want[index.reduce((sum, i, d) => sum + (i + (d === axis ? from : 0)) * strides[d]!, 0)] = values[at]!;
      });
      const [got] = await runKernel(engine, {
        kernel: "updateSlice",
        inputs: [x, value, dense("i32", perRow ? [shape[0]!] : [], starts)],
        outputs: [y],
        params: [axis],
      });
      expect(got).toEqual(want);
    }
  });

  it.each(["sum", "reduceMax", "reduceMin", "prod"])("%s reduces any axes of any view", async (kernel) => {
    const random = randomSource(kernel.length);
    for (const shape of shapes) {
      for (let round = 0; round < 6; round++) {
        const dtype: DType = round % 3 === 2 ? "i32" : "f32";
        const mask = random.below(2 ** shape.length);
        if (kernel.startsWith("reduce") && product(shape) === 0) continue;
        const x = fillWith(
          anyLayout(random, dtype, shape, true),
          dtype === "i32" ? () => random.below(9) - 4 : normalish(random),
        );
        if (kernel === "prod" && dtype === "f32") fillWith(x, () => Math.fround(random.uniform(0.99, 1.01)));
        const kept = shape.map((dim, d) => ((mask >> d) & 1 ? 1 : dim));
        const y = fillWith(anyLayout(random, dtype, kept), () => 9);
        const strides = denseStrides(kept);
        const start = { sum: 0, reduceMax: -Infinity, reduceMin: Infinity, prod: 1 }[kernel]!;
        const combine = {
          sum: (a: number, b: number) => a + b,
          reduceMax: Math.max,
          reduceMin: Math.min,
          prod: dtype === "i32" ? Math.imul : (a: number, b: number) => a * b,
        }[kernel]!;
        const want = new Array<number>(product(kept)).fill(start);
        const scale = new Array<number>(product(kept)).fill(0);
        const values = elements(x);
        eachIndex(shape, (index, at) => {
          const into = index.reduce((sum, i, d) => sum + (kept[d] === 1 ? 0 : i) * strides[d]!, 0);
          want[into] = combine(want[into]!, values[at]!);
          scale[into]! += Math.abs(values[at]!);
        });
        const [got] = await runKernel(engine, { kernel, inputs: [x], outputs: [y], params: [mask] });
        if (dtype === "i32" || kernel.startsWith("reduce")) {
          expect(got).toEqual(want.map((v) => (dtype === "i32" ? v | 0 : v)));
          continue;
        }
        const allowed = (i: number) => (kernel === "sum" ? 1e-6 * scale[i]! : 1e-4 * Math.abs(want[i]!));
        const wrong = got!.findIndex((v, i) => !(Math.abs(v - want[i]!) <= allowed(i)));
        expect(wrong, `${kernel} of [${shape}] over ${mask}: got ${got![wrong]}, expected ${want[wrong]}`).toBe(-1);
      }
    }
  });

  it("reduceMax and reduceMin pass NaN on from any position", async () => {
    for (const at of [0, 5, 63, 64, 4095, 4096, 8999]) {
      const x = fillWith(dense("f32", [9000]), normalish(randomSource(at)));
      (x.block as Float32Array)[at] = Number.NaN;
      for (const kernel of ["reduceMax", "reduceMin"]) {
        const [got] = await runKernel(engine, { kernel, inputs: [x], outputs: [dense("f32", [1])], params: [1] });
        expect(got).toEqual([Number.NaN]);
        const columns: Laid = { ...x, shape: [90, 100], strides: [100, 1] };
        const [byColumn] = await runKernel(engine, {
          kernel,
          inputs: [columns],
          outputs: [dense("f32", [1, 100])],
          params: [1],
        });
        expect(byColumn!.map(Number.isNaN)).toEqual(byColumn!.map((_, column) => column === at % 100));
      }
    }
  });

  it("sums keep their accuracy as they grow", async () => {
    // ten million times 0.1: one by one in f32 the error would be 9 %
    const n = 10_000_000;
    const x: Laid = { ...dense("f32", [1], [0.1]), shape: [n], strides: [0] };
    const exact = Math.fround(0.1) * n;
    const [sum] = await runKernel(engine, { kernel: "sum", inputs: [x], outputs: [dense("f32", [1])], params: [1] });
    expect(Math.abs(sum![0]! - exact) / exact).toBeLessThan(1e-6);
    const dense2 = fillWith(dense("f32", [2000, 500]), () => Math.fround(0.1));
    const [columns] = await runKernel(engine, {
      kernel: "sum",
      inputs: [dense2],
      outputs: [dense("f32", [1, 500])],
      params: [1],
    });
    expect(Math.max(...columns!.map((column) => Math.abs(column - 200)))).toBeLessThan(200 * 1e-6);
  });

  it("sumSquares of any view, and of none", async () => {
    const random = randomSource(12);
    for (const shape of shapes) {
      const x = fillWith(anyLayout(random, "f32", shape, true), normalish(random));
      const exact = elements(x).reduce((sum, v) => sum + v * v, 0);
      const [got] = await runKernel(engine, { kernel: "sumSquares", inputs: [x], outputs: [dense("f32", [])] });
      expect(Math.abs(got![0]! - exact)).toBeLessThanOrEqual(1e-6 * exact);
    }
  });

  it("argmax takes the first of equals, and NaN before all", async () => {
    const random = randomSource(13);
    for (const shape of [[5], [3, 4], [700, 3], [3, 700], [2, 3, 4, 5]]) {
      for (const dtype of ["f32", "i32"] as const) {
        const axis = random.below(shape.length);
        const value = () => (dtype === "f32" && random.below(30) === 0 ? Number.NaN : random.below(6));
        const x = fillWith(anyLayout(random, dtype, shape), value);
        const kept = shape.map((dim, d) => (d === axis ? 1 : dim));
        const strides = denseStrides(kept);
        const best = new Array<number>(product(kept)).fill(-Infinity);
        const want = new Array<number>(product(kept)).fill(0);
        const values = elements(x);
        eachIndex(shape, (index, at) => {
          const into = index.reduce((sum, i, d) => sum + (d === axis ? 0 : i) * strides[d]!, 0);
          if (Number.isNaN(best[into])) return;
          if (values[at]! > best[into]! || Number.isNaN(values[at]))
            [best[into], want[into]] = [values[at]!, index[axis]!];
        });
        const [got] = await runKernel(engine, {
          kernel: "argmax",
          inputs: [x],
          outputs: [anyLayout(random, "i32", kept)],
          params: [axis],
        });
        expect(got).toEqual(want);
      }
    }
  });

  it("cumsum runs both ways, with and without the element, in place", async () => {
    const random = randomSource(14);
    for (let round = 0; round < 40; round++) {
      const shape = random.pick([[9], [4, 5], [3, 50, 2], [1, 300], [0, 3]]);
      const [axis, exclusive, reverse] = [random.below(shape.length), random.below(2), random.below(2)];
      const x = fillWith(anyLayout(random, "f32", shape), () => random.below(17) - 8);
      const want = elements(x);
      const strides = denseStrides(shape);
      eachIndex(
        shape.map((dim, d) => (d === axis ? Math.min(dim, 1) : dim)),
        (index) => {
          const first = index.reduce((sum, i, d) => sum + i * strides[d]!, 0);
          let total = 0;
          for (let step = 0; step < shape[axis]!; step++) {
            const at = first + (reverse ? shape[axis]! - 1 - step : step) * strides[axis]!;
            const value = want[at]!;
            want[at] = exclusive ? total : total + value;
            total += value;
          }
        },
      );
      const y = random.below(2) === 0 ? x : anyLayout(random, "f32", shape);
      const [got] = await runKernel(engine, {
        kernel: "cumsum",
        inputs: [x],
        outputs: [y],
        params: [axis, exclusive, reverse],
      });
      expect(got).toEqual(want);
    }
  });

  const draws = [
    [1, 1],
    [2, 7],
    [3, 64],
    [2, 1030],
    [5, 3, 35],
  ];
  it("uniform draws the words of Philox, row by row", async () => {
    const random = randomSource(15);
    for (const shape of draws) {
      const [key, ids, stream] = [
        [-7, 123456789, 42],
        Array.from({ length: shape[0]! }, () => random.below(2 ** 31)),
        0xdeadbeef,
      ];
      const perRow = product(shape.slice(1));
      const y = fillWith(anyLayout(random, "f32", shape), () => 5);
      const [got] = await runKernel(engine, {
        kernel: "uniform",
        inputs: [dense("i32", [3], key), dense("i32", [ids.length], ids)],
        outputs: [y],
        params: [stream],
      });
      const block = new Uint32Array(4);
      expect(got).toEqual(
        Array.from({ length: product(shape) }, (_, at) => {
          const e = at % perRow;
          philox(block, e >> 2, ids[Math.floor(at / perRow)]!, key[2]!, stream | 0, key[0]!, key[1]!);
          return wordToUniform(block[e & 3]!);
        }),
      );
    }
  });

  it("uniform agrees with the known answers of Random123", async () => {
    const { vectors } = JSON.parse(readFileSync("test/golden/philox.json", "utf8")) as {
      vectors: { source: string; counter: number[]; key: number[]; out: number[] }[];
    };
    // a counter (c0, row, step, stream) whose first word is small enough to reach as an element index
    const reachable = vectors.filter(({ counter }) => counter[0]! < 1000);
    expect(reachable.length).toBeGreaterThan(0);
    for (const { counter, key, out } of reachable) {
      const [block, row, step, stream] = counter as [number, number, number, number];
      const inputs = [dense("i32", [3], [key[0]! | 0, key[1]! | 0, step | 0]), dense("i32", [1], [row | 0])];
      const n = 4 * block + 4;
      const [got] = await runKernel(engine, {
        kernel: "uniform",
        inputs,
        outputs: [dense("f32", [1, n])],
        params: [stream],
      });
      expect(got!.slice(-4)).toEqual(out.map(wordToUniform));
    }
  });

  it("normal is Box and Muller of the same words", async () => {
    for (const shape of draws) {
      const ids = Array.from({ length: shape[0]! }, (_, i) => i * 3 + 1);
      const perRow = product(shape.slice(1));
      const [got] = await runKernel(engine, {
        kernel: "normal",
        inputs: [dense("i32", [3], [1, 2, 3]), dense("i32", [ids.length], ids)],
        outputs: [dense("f32", shape)],
        params: [77],
      });
      const block = new Uint32Array(4);
      got!.forEach((value, at) => {
        const e = at % perRow;
        philox(block, e >> 1, ids[Math.floor(at / perRow)]!, 3, 77, 1, 2);
        const [u, v] = [1 - wordToUniform(block[2 * (e & 1)]!), wordToUniform(block[2 * (e & 1) + 1]!)];
        const exact = Math.sqrt(-2 * Math.log(u)) * Math.cos(2 * Math.PI * v);
        expect(Math.abs(value - exact), `element ${at}`).toBeLessThan(1e-6);
      });
    }
  });

  it("normal has the moments of a normal distribution", async () => {
    const n = 400_000;
    const [got] = await runKernel(engine, {
      kernel: "normal",
      inputs: [dense("i32", [3], [9, 9, 9]), dense("i32", [1], [0])],
      outputs: [dense("f32", [1, n])],
      params: [1],
    });
    const moment = (k: number) => got!.reduce((sum, v) => sum + v ** k, 0) / n;
    expect(Math.abs(moment(1))).toBeLessThan(0.008); // five standard errors each
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.012);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.08);
  });

  it("dropout keeps what uniform draws at or above p, on any layout and in place", async () => {
    const random = randomSource(16);
    for (const shape of draws) {
      for (const p of [0, 0.25, 0.9]) {
        const ids = Array.from({ length: shape[0]! }, () => random.below(1000));
        const [key, rows] = [dense("i32", [3], [5, 6, 7]), dense("i32", [ids.length], ids)];
        const [drawn] = await runKernel(engine, {
          kernel: "uniform",
          inputs: [key, rows],
          outputs: [dense("f32", shape)],
          params: [3],
        });
        const x = fillWith(anyLayout(random, "f32", shape), normalish(random));
        const y = random.below(2) === 0 ? x : anyLayout(random, "f32", shape);
        const [got] = await runKernel(engine, {
          kernel: "dropout",
          inputs: [x, dense("f32", [], [p]), key, rows],
          outputs: [y],
          params: [3],
        });
        const rate = Math.fround(p);
        const want = elements(x).map((v, i) => (drawn![i]! >= rate ? Math.fround(v / Math.fround(1 - rate)) : 0));
        expect(got).toEqual(want);
      }
    }
  });
});

describe("kernels", () => {
  it("give the same bytes for one and for many threads", async () => {
    const random = randomSource(20);
    const x = fillWith(dense("f32", [700, 330]), normalish(random));
    const calls = [
      { kernel: "sum", inputs: [x], outputs: [dense("f32", [1, 1])], params: [3] },
      { kernel: "sum", inputs: [x], outputs: [dense("f32", [1, 330])], params: [1] },
      { kernel: "sum", inputs: [x], outputs: [dense("f32", [700, 1])], params: [2] },
      { kernel: "sumSquares", inputs: [x], outputs: [dense("f32", [])] },
      {
        kernel: "normal",
        inputs: [dense("i32", [3], [1, 2, 3]), dense("i32", [7], [1, 2, 3, 4, 5, 6, 7])],
        outputs: [dense("f32", [7, 5000])],
        params: [1],
      },
    ];
    const [one, many] = [addon.createEngine({ threads: 1 }), addon.createEngine({ threads: 4 })];
    for (const call of calls) expect(await runKernel(many, call)).toEqual(await runKernel(one, call));
  });

  const x = dense("f32", [2, 3]);
  const refused: [string, Parameters<typeof runKernel>[1]][] = [
    ["a sum whose output keeps the axis", { kernel: "sum", inputs: [x], outputs: [dense("f32", [2, 3])], params: [1] }],
    [
      "a sum over an axis that is not there",
      { kernel: "sum", inputs: [x], outputs: [dense("f32", [1, 3])], params: [4] },
    ],
    ["a copy between dtypes", { kernel: "copy", inputs: [x], outputs: [dense("i32", [2, 3])] }],
    ["a copy between shapes", { kernel: "copy", inputs: [x], outputs: [dense("f32", [3, 2])] }],
    ["argmax into floats", { kernel: "argmax", inputs: [x], outputs: [dense("f32", [2, 1])], params: [1] }],
    [
      "cumsum along NaN",
      { kernel: "cumsum", inputs: [x], outputs: [dense("f32", [2, 3])], params: [Number.NaN, 0, 0] },
    ],
    [
      "a key of two words",
      { kernel: "uniform", inputs: [dense("i32", [2]), dense("i32", [2])], outputs: [x], params: [0] },
    ],
    [
      "rows that do not fit",
      { kernel: "uniform", inputs: [dense("i32", [3]), dense("i32", [3])], outputs: [x], params: [0] },
    ],
    [
      "a value longer than its axis",
      { kernel: "updateSlice", inputs: [x, dense("f32", [3, 3]), dense("i32", [])], outputs: [x], params: [0] },
    ],
    ["iota of no axis", { kernel: "iota", inputs: [], outputs: [dense("i32", [])], params: [0] }],
  ];
  it.each(refused)("refuse %s", async (_, call) => {
    await expect(runKernel(engines[0]!.engine, call)).rejects.toMatchObject({ code: "plan/instruction" });
  });
});

// Mixed precision: kernels that read and write bf16 against the same graph with its casts written out, on the reference
// engine in f64; and a model trained with it beside the same model in f32.
import { describe, expect, test } from "vitest";
import {
  fromBf16,
  fromNumbers,
  type HostArray,
  RandomStream,
  sizeOf,
  toBf16,
  toNumbers,
} from "../../src/base/index.ts";
import { compile } from "../../src/compiler/index.ts";
import {
  assign,
  attention,
  broadcastTo,
  concat,
  feed,
  type Graph,
  gradients,
  groupedMatmul,
  iota,
  layerNorm,
  roundStochastic,
  type Tensor,
  trace,
  variable,
} from "../../src/core/index.ts";
import { type Engine, ReferenceEngine } from "../../src/engine/index.ts";
import { Gpt, type GptConfig } from "../../src/models/index.ts";
import { Experts, functionalCall, type Module } from "../../src/nn/index.ts";
import { adamw } from "../../src/optim/index.ts";
import { languageModelTask, type StepDescription, StepGraphs, StepPrograms } from "../../src/train/index.ts";
import { assertClose } from "../support/close.ts";
import { nativeEngine, runNative } from "../support/run-native.ts";
import { runReference } from "../support/run-reference.ts";

const isas = ["avx512bf16", "avx512", "avx2", "portable"].filter((isa) => nativeEngine(2, isa) !== undefined);

/** As it is after it was stored in bf16. */
const stored = (x: Tensor): Tensor => x.cast("bf16").cast("f32");

function numbers(name: string, shape: readonly number[], scale = 1): HostArray {
  const random = new RandomStream(7, name);
  return fromNumbers(
    "f32",
    shape,
    Float64Array.from({ length: sizeOf(shape) }, (_, i) => scale * random.normal(i)),
  );
}

const bytesOf = ({ data }: HostArray): Buffer => Buffer.from(data.buffer, data.byteOffset, data.byteLength);
const sameBytes = (a: HostArray, b: HostArray): boolean => bytesOf(a).equals(bytesOf(b));

/** Kernels of the plan with the dtypes of their operands, as `matmul(bf16 f32) → bf16`. */
function kernelsOf(graph: Graph, storage?: "bf16"): string[] {
  const plan = compile(graph, nativeEngine()!.target, storage === undefined ? {} : { storage });
  const dtypes = (tensors: readonly number[]) => tensors.map((at) => plan.tensors[at]!.dtype).join(" ");
  return plan.code.map(({ kernel, inputs, outputs }) => `${kernel}(${dtypes(inputs)}) → ${dtypes(outputs)}`);
}

/** Native results against the reference engine's: f32 closely, rounded ones to a unit in the last place of bf16. */
async function compare(graph: Graph, feeds: Record<string, HostArray>, rounds: boolean): Promise<void> {
  const expected = await runReference(graph, feeds);
  for (const isa of isas) {
    const [one, two, three] = await Promise.all(
      [1, 2, 3].map((threads) => runNative(graph, feeds, {}, nativeEngine(threads, isa))),
    );
    for (const [name, value] of Object.entries(expected)) {
      assertClose(one![name]!, value, { scale: 2e-6, relative: rounds ? 2 ** -7 : 2e-6, what: `${name} (${isa})` });
      expect(sameBytes(two![name]!, one![name]!) && sameBytes(three![name]!, one![name]!)).toBe(true);
    }
  }
}

describe("casts round to nearest even", () => {
  const special = [
    0,
    -0,
    1,
    1 + 2 ** -8,
    1 + 3 * 2 ** -8,
    3.3895e38,
    1e-40,
    2 ** -133,
    2 ** -134,
    Number.NaN,
    -Number.NaN,
  ];
  const values = [
    ...special,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    ...toNumbers(numbers("x", [1000], 3)),
  ];
  test.each(isas)("%s", async (isa) => {
    const x = fromNumbers("f32", [values.length], values);
    const graph = trace({ x }, ({ x }) => ({ words: x.cast("bf16"), twice: stored(x).mul(1) }));
    const { words, twice } = await runNative(graph, { x }, {}, nativeEngine(2, isa));
    const expected = Array.from(x.data as Float32Array, toBf16);
    expect(Array.from(words!.data as Uint16Array).map(fromBf16)).toEqual(expected.map(fromBf16));
    expect(Array.from(twice!.data as Float32Array)).toEqual(expected.map(fromBf16));
  });

  test.each(isas)(
    "in a tape that stores what it rounds and reads it again, without a step per cast: %s",
    async (isa) => {
      const x = numbers("x", [1000], 3);
      const narrow = fromNumbers("bf16", [1000], toNumbers(numbers("narrow", [1000], 3)));
      const graph = trace({ x, narrow }, ({ x, narrow }) => {
        const words = x.mul(3).cast("bf16");
        const sum = words.cast("f32").add(narrow.cast("f32"));
        return { words, sum, rounded: sum.cast("bf16") };
      });
      const engine = nativeEngine(2, isa)!;
      const { code } = compile(graph, engine.target);
      expect(code.map(({ kernel }) => kernel)).toEqual(["tape"]);
      expect(code[0]!.params[1]).toBe(4); // 3, mul, roundToBf16, add
      const found = await runNative(graph, { x, narrow }, {}, engine);
      const words = Array.from(x.data as Float32Array, (value) => toBf16(Math.fround(3 * value)));
      const addends = Array.from(narrow.data as Uint16Array, fromBf16);
      const sum = words.map((word, i) => Math.fround(fromBf16(word) + addends[i]!));
      expect(Array.from(found.words!.data as Uint16Array)).toEqual(words);
      expect(Array.from(found.sum!.data as Float32Array)).toEqual(sum);
      expect(Array.from(found.rounded!.data as Uint16Array)).toEqual(sum.map(toBf16));
    },
  );
});

test.each(isas)("rounding by chance gives the reference's words, and x as their mean: %s", async (isa) => {
  const extremes = [0, -0, 1, 1e-40, -1e-40, 3.3895e38, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  const values = [...extremes, ...toNumbers(numbers("x", [500], 3)), ...Array<number>(20_000).fill(1 + 2 ** -9)];
  const x = fromNumbers("f32", [values.length], values);
  const key = fromNumbers("i32", [3], [5, -6, 7]);
  const feeds = { x, key };
  const graph = trace(feeds, ({ x, key }) => {
    const wide = broadcastTo(x.reshape(1, -1), [3, values.length]);
    const byColumn = x.slice(0, 0, 500).reshape(20, 25).transpose();
    return {
      rows: roundStochastic(wide.add(0), key, iota([3], 0), "s"),
      columns: roundStochastic(byColumn, key, iota([25], 0), "t"),
    };
  });
  const expected = await runReference(graph, feeds);
  const [one, three] = await Promise.all(
    [1, 3].map((threads) => runNative(graph, feeds, {}, nativeEngine(threads, isa))),
  );
  for (const [name, value] of Object.entries(expected)) {
    expect(Array.from(toNumbers(one![name]!))).toEqual(Array.from(toNumbers(value)));
    expect(sameBytes(one![name]!, three![name]!)).toBe(true);
  }
  // 60,000 draws of 1 + 2^-9, a quarter of the way from 1 to its upper neighbour
  const copies = [0, 1, 2].flatMap((row) =>
    Array.from(toNumbers(one!.rows!).subarray(row * values.length + 509, (row + 1) * values.length)),
  );
  const up = copies.filter((value) => value === 1 + 2 ** -7).length / copies.length;
  expect(new Set(copies)).toEqual(new Set([1, 1 + 2 ** -7]));
  expect(Math.abs(up - 0.25)).toBeLessThan(5 * Math.sqrt((0.25 * 0.75) / copies.length));
});

describe("matmul", () => {
  const shapes: [number, number, number][] = [
    [1, 1, 1],
    [3, 5, 4],
    [0, 4, 3],
    [4, 0, 3],
    [7, 130, 49],
    [48, 64, 200],
    [130, 700, 96],
    [200, 96, 300],
    [130, 4100, 70], // deeper than what is packed at once
    [65, 4100, 9],
  ];
  const kinds = ["a", "b", "c", "ab", "bc", "abc"];
  test.each(shapes)("%i × %i × %i", async (m, k, n) => {
    for (const [at, kind] of kinds.entries()) {
      const [transposeA, transposeB] = [at % 2 === 1, at % 3 === 1];
      const feeds = {
        a: numbers("a", transposeA ? [k, m] : [m, k]),
        b: numbers("b", transposeB ? [n, k] : [k, n]),
      };
      const graph = trace(feeds, ({ a, b }) => {
        const x = kind.includes("a") ? stored(a) : a;
        const w = kind.includes("b") ? stored(b) : b;
        const product = (transposeA ? x.transpose() : x).matmul(transposeB ? w.transpose() : w);
        return { y: kind.includes("c") ? stored(product) : product };
      });
      await compare(graph, feeds, kind.includes("c"));
    }
  });

  test.each([
    [3, 37, 9],
    [40, 260, 100],
  ])("%i × %i × %i of any magnitude within the bound of a sum in f32", async (m, k, n) => {
    const random = new RandomStream(5, "magnitudes");
    const spread = (size: number, from: number): Float32Array =>
      Float32Array.from({ length: size }, (_, i) => {
        const exponent = random.below(60, from + 2 * i) - 140 + 80 * random.below(2, from + 2 * i + 1); // subnormal to 1
        return fromBf16(toBf16(random.normal(from + i) * 2 ** exponent));
      });
    const [x, y] = [spread(m * k, 0), spread(k * n, 10_000).map((value) => fromBf16(toBf16(value * 2 ** 70)))];
    [x[1], x[k + 1]] = [Number.NaN, Number.POSITIVE_INFINITY];
    const feeds = { a: fromNumbers("f32", [m, k], x), b: fromNumbers("f32", [k, n], y) };
    const graph = trace(feeds, ({ a, b }) => ({ c: stored(a).matmul(stored(b)) }));
    for (const isa of isas) {
      const c = toNumbers((await runNative(graph, feeds, {}, nativeEngine(2, isa))).c!);
      for (let i = 0; i < m; i++) {
        for (let j = 0; j < n; j++) {
          let [exact, size, flushed] = [0, 0, 0];
          for (let l = 0; l < k; l++) {
            const [a, b] = [x[i * k + l]!, y[l * n + j]!];
            exact += a * b;
            size += Math.abs(a * b);
            // what a path may lose that takes subnormal factors and results for zeros
            flushed += 2 ** -126 * (1 + Math.abs(a) + Math.abs(b));
          }
          const got = c[i * n + j]!;
          if (i < 2) expect([got, isa]).toEqual([i === 0 ? Number.NaN : exact, isa]);
          else
            expect(Math.abs(got - exact), `${isa} ${i} ${j}`).toBeLessThanOrEqual((k + 1) * 2 ** -24 * size + flushed);
        }
      }
    }
  });

  test("reads and writes bf16 itself, without casts between", () => {
    const graph = trace(
      { a: numbers("a", [8, 16]), b: numbers("b", [16, 8]), c: numbers("c", [8, 8]) },
      ({ a, b, c }) => stored(stored(a.mul(2)).matmul(stored(b.mul(2)))).matmul(stored(c.mul(2))),
    );
    expect(kernelsOf(graph)).toEqual([
      "tape(f32) → bf16",
      "tape(f32) → bf16",
      "matmul(bf16 bf16) → bf16",
      "tape(f32) → bf16",
      "matmul(bf16 bf16) → f32",
    ]);
  });

  test("batches and broadcast operands", async () => {
    const feeds = { a: numbers("a", [3, 2, 40, 33]), b: numbers("b", [3, 2, 33, 70]), w: numbers("w", [33, 50]) };
    const graph = trace(feeds, ({ a, b, w }) => ({
      batched: stored(stored(a).matmul(stored(b))),
      shared: stored(stored(a).matmul(stored(w))),
    }));
    await compare(graph, feeds, true);
  });
});

describe("products by groups and their gradients", () => {
  test.each([
    [[0, 2, 2, 7], 5, 4],
    [[1, 4, 40, 40, 42], 70, 49], // the first row is of no group
    [[0, 300, 301, 431], 130, 230],
    [[0, 0, 700], 33, 1],
  ] as const)("groups from %j, %i × %i", async (bounds, k, n) => {
    const [rows, groups] = [bounds.at(-1)! + 1, bounds.length - 1];
    const names = Array.from({ length: groups }, (_, group) => `w${group}`);
    const feeds = {
      ...{ x: numbers("x", [rows, k]), g: numbers("g", [rows, n]), offsets: fromNumbers("i32", [groups + 1], bounds) },
      ...Object.fromEntries(names.map((name) => [name, numbers(name, [k, n])])),
    };
    for (const kind of ["x", "w", "y", "xw", "xwy"]) {
      const as = (what: string, value: Tensor) => (kind.includes(what) ? stored(value) : value);
      const graph = trace(feeds, (given: { readonly [name: string]: Tensor }) => {
        const [x, ...matrices] = [as("x", given.x!), ...names.map((name) => as("w", given[name]!))] as const;
        const y = as("y", groupedMatmul(x, given.offsets!, matrices));
        const [dx, ...grads] = gradients([y.mul(as("y", given.g!)).sum()], [x, ...matrices]);
        return { y, dx: as("y", dx!), ...Object.fromEntries(grads.map((grad, at) => [`d${at}`, grad!])) };
      });
      await compare(graph, feeds, kind.includes("y"));
    }
  });

  test("experts read and hand on bf16; rows are sent as bf16; gradients of weights stay f32", () => {
    const model = new Experts({ count: 3, chosen: 2, width: 8, hidden: 16 });
    const kinds = new Map([...model.parameters()].map(([name, { shape }]) => [name, numbers(name, shape)]));
    const graph = trace({ ...Object.fromEntries(kinds), x: numbers("x", [9, 8]) }, (given) => {
      const parameters = new Map([...kinds.keys()].map((name) => [name, (given as { [name: string]: Tensor })[name]!]));
      const { mixed } = functionalCall(model as Module, parameters, () => model.forward(given.x));
      const grads = gradients([mixed.square().sum()], [...parameters.values()]);
      return Object.fromEntries(grads.map((grad, at) => [`d${at}`, grad!]));
    });
    const calls = kernelsOf(graph, "bf16").filter((text) => /^(grouped|take\(bf16)/.test(text));
    expect([...new Set(calls)].toSorted()).toEqual([
      "groupedMatmul(bf16 i32 bf16 bf16 bf16) → bf16",
      "groupedMatmulGrad(bf16 bf16 i32) → f32 f32 f32",
      "take(bf16 i32) → bf16",
    ]);
  });
});

describe("attention and its gradient", () => {
  test.each([
    [2, 5, 5, 2, 2, 8, true],
    [1, 300, 300, 2, 2, 16, true],
    [2, 70, 130, 4, 2, 20, false],
  ])("B %i, T %i, S %i, H %i, G %i, D %i, causal %s", async (B, T, S, H, G, D, causal) => {
    const feeds = {
      q: numbers("q", [B, T, H, D]),
      k: numbers("k", [B, S, G, D]),
      v: numbers("v", [B, S, G, D]),
      g: numbers("g", [B, T, H, D]),
    };
    const graph = trace(feeds, ({ q, k, v, g }) => {
      const inputs = [q, k, v].map(stored) as [Tensor, Tensor, Tensor];
      const o = stored(attention(...inputs, { causal }));
      const grads = gradients([o.mul(stored(g)).sum()], inputs).map((grad) => stored(grad!));
      return { o, dq: grads[0]!, dk: grads[1]!, dv: grads[2]! };
    });
    const expected = await runReference(graph, feeds);
    for (const isa of isas) {
      const one = await runNative(graph, feeds, {}, nativeEngine(1, isa));
      const two = await runNative(graph, feeds, {}, nativeEngine(2, isa));
      for (const [name, value] of Object.entries(expected)) {
        // o differs by a unit in its last place here and there, and the gradients see it
        assertClose(one[name]!, value, { scale: 2 ** -8, relative: 2 ** -7, what: `${name} (${isa})` });
        expect(sameBytes(two[name]!, one[name]!)).toBe(true);
      }
    }
  });
});

test("norms read and write bf16", async () => {
  const feeds = { x: numbers("x", [9, 37]), w: numbers("w", [37]), b: numbers("b", [37]), g: numbers("g", [9, 37]) };
  const graph = trace(feeds, ({ x, w, b, g }) => {
    const y = layerNorm(stored(x), w, b);
    const [dx, dw] = gradients([y.mul(stored(g)).sum()], [x, w]);
    return { y: stored(y), dx: dx!, dw: dw! };
  });
  await compare(graph, feeds, true);
});

test("views of bf16 values move bf16", () => {
  const graph = trace({ x: numbers("x", [4, 6]), w: numbers("w", [12, 4]) }, ({ x, w }) => {
    const half = stored(x.mul(2)).reshape(2, 12);
    return concat([half, half], 0).matmul(stored(w.mul(2)));
  });
  expect(kernelsOf(graph)).toEqual([
    "tape(f32) → bf16",
    "copy(bf16) → bf16",
    "copy(bf16) → bf16",
    "tape(f32) → bf16",
    "matmul(bf16 bf16) → f32",
  ]);
});

describe("a model trained in mixed precision", () => {
  const model = {
    vocab: 60,
    context: 32,
    width: 48,
    layers: 2,
    heads: 3,
    dropout: 0,
    bias: true,
    normBias: true,
  } as const;
  const rows = 8;

  const description = (config: Pick<GptConfig, keyof typeof model>): StepDescription => ({
    model: new Gpt({ ...config, activation: "gelu", tiedHead: true, eps: 1e-5 }),
    task: languageModelTask(config.context),
    optimizer: adamw({ lr: 3e-3, clip: 1 }),
    batchSize: rows,
    lanes: 2,
    evalBatchSize: rows,
    dtype: "f32",
    seed: 1,
  });

  async function losses(
    engine: Engine,
    storage: "bf16" | undefined,
    steps: number,
    weights?: "bf16",
  ): Promise<number[]> {
    const programs = new StepPrograms({ ...description({ ...model, dropout: 0.1 }), storage, weights }, engine);
    programs.initialize();
    const random = new RandomStream(3, "tokens");
    // one of four texts, each repeated: something to learn
    const tokens = Int32Array.from({ length: rows * (model.context + 1) }, (_, i) =>
      random.below(model.vocab, i % 100),
    );
    const cut = (shift: number): HostArray => {
      const data = Int32Array.from({ length: rows * model.context }, (_, i) => {
        const [row, at] = [Math.floor(i / model.context), i % model.context];
        return tokens[row * (model.context + 1) + at + shift]!;
      });
      return { dtype: "i32", shape: [rows, model.context], data };
    };
    const batch = { tokens: cut(0), targets: cut(1) };
    const sampleIds = Int32Array.from({ length: rows }, (_, row) => row);
    const found: number[] = [];
    for (let step = 0; step < steps; step++) {
      found.push((await programs.step({ step, learningRate: 3e-3, batch, sampleIds })).loss);
    }
    return found;
  }

  test("its losses follow those of f32 within 1 %, on each path, with the same bytes for any number of threads", async () => {
    const steps = 30;
    for (const isa of isas) {
      const inF32 = await losses(nativeEngine(2, isa)!, undefined, steps);
      const [one, two, three] = await Promise.all([1, 2, 3].map((n) => losses(nativeEngine(n, isa)!, "bf16", steps)));
      expect(inF32.at(-1)).toBeLessThan(0.75 * inF32[0]!);
      assertClose(two!, inF32, { relative: 0.01, what: `losses (${isa})` });
      expect(two).not.toEqual(inF32);
      expect(one).toEqual(two);
      expect(three).toEqual(two);
    }
  });

  test("its losses are the reference engine's, which runs every cast", async () => {
    const native = await losses(nativeEngine()!, "bf16", 2);
    const reference = await losses(new ReferenceEngine(), "bf16", 2);
    assertClose(native, reference, { relative: 1e-3, what: "losses" });
  });

  test("with weights in bf16, rounded by chance, they stay as close, and no other copy of a matrix is kept", async () => {
    const steps = 30;
    for (const isa of isas) {
      const inF32 = await losses(nativeEngine(2, isa)!, undefined, steps);
      for (const storage of ["bf16", undefined] as const) {
        const [one, two, three] = await Promise.all(
          [1, 2, 3].map((n) => losses(nativeEngine(n, isa)!, storage, steps, "bf16")),
        );
        assertClose(two!, inF32, { relative: 0.015, what: `losses (${isa})` });
        expect(two).not.toEqual(inF32);
        expect([one, three]).toEqual([two, two]);
      }
    }
    const graphs = new StepGraphs({ ...description(model), storage: "bf16", weights: "bf16" });
    const { accumulate, update } = graphs.compile(nativeEngine()!);
    const readers = accumulate.flatMap(({ code, tensors }) =>
      code.filter(({ inputs }) =>
        inputs.some((at) => tensors[at]!.space === "variable" && tensors[at]!.dtype === "bf16"),
      ),
    );
    // positions, which are added to the stream, are widened where they are added; tokens are looked up
    expect(new Set(readers.map(({ kernel }) => kernel))).toEqual(new Set(["take", "matmul", "tape"]));
    expect(readers.filter(({ kernel }) => kernel === "tape")).toHaveLength(accumulate.length);
    // one matrix at a time is wide
    const largest = Math.max(...graphs.parameterTypes.map(({ shape }) => 4 * sizeOf(shape)));
    expect(update.arenaBytes).toBeLessThan(3 * largest);
  });

  test("steps smaller than half a unit in the last place are lost by rounding to the nearest, and not by chance", async () => {
    // a parameter at 1 that goes down by 2^-12 in each of 256 steps: in all 1/16, eight units of bf16 below 1
    const engine = nativeEngine()!;
    const graph = trace({}, () => {
      const key = feed("key", { dtype: "i32", shape: [3] });
      const [w, n] = [variable("w", "bf16", [64, 64]), variable("n", "bf16", [64, 64])];
      assign("w", roundStochastic(w.cast("f32").sub(2 ** -12), key, iota([64], 0), "w"));
      assign(
        "n",
        n
          .cast("f32")
          .sub(2 ** -12)
          .cast("bf16"),
      );
    });
    const store = engine.createStore();
    const types = ["w", "n"].map((name) => ({ name, dtype: "bf16" as const, shape: [64, 64] }));
    store.declare(types);
    for (const { name } of types) store.write(name, fromNumbers("bf16", [64, 64], Array<number>(64 * 64).fill(1)));
    const program = engine.load(compile(graph, engine.target), store);
    for (let step = 0; step < 256; step++)
      await engine.run([{ program, feeds: { key: fromNumbers("i32", [3], [1, 0, step]) } }]);
    const mean = (name: string) => toNumbers(store.read(name)).reduce((sum, value) => sum + value, 0) / 4096;
    expect(mean("n")).toBe(1);
    // each step's variance is at most ulp²/4 = 2^-18, over 256 steps and 4,096 weights
    expect(Math.abs(mean("w") - (1 - 1 / 16))).toBeLessThan(5 * Math.sqrt((256 * 2 ** -18) / 4096));
  });

  test("what matmuls and attention read and hand on lies in bf16, and the arena is smaller", () => {
    const engine = nativeEngine()!;
    const graphsOf = (storage: "bf16" | undefined): StepGraphs => {
      const config = { ...model, width: 96, bias: false, normBias: false } as const;
      return new StepGraphs({ ...description(config), batchSize: 64, lanes: 1, storage });
    };
    const graphs = graphsOf("bf16");
    const kernels = kernelsOf(graphs.accumulate(graphs.sums[0]!), "bf16");
    const callsOf = (kernel: string) => kernels.filter((text) => text.startsWith(`${kernel}(`));
    const matmuls = callsOf("matmul").map((text) => text.replace("matmul(bf16 bf16) → ", ""));
    // logits and the gradients of weights (four a layer and the head's) stay f32
    expect(matmuls.filter((dtype) => dtype === "f32")).toHaveLength(1 + 4 * model.layers + 1);
    expect(matmuls.filter((dtype) => dtype === "bf16")).toHaveLength(4 * model.layers + 4 * model.layers + 1);
    for (const text of callsOf("attention")) expect(text).toMatch(/^attention\(bf16 bf16 bf16 .*→ bf16 f32$/);
    for (const text of callsOf("attentionGrad"))
      expect(text).toMatch(/^attentionGrad\(bf16 bf16 bf16 bf16 .*→ bf16 bf16 bf16$/);
    // casts stand alone only where weights and the logits' gradient are rounded
    const plan = (storage: "bf16" | undefined) => graphsOf(storage).compile(engine).accumulate[0]!;
    const casts = plan("bf16").code.filter(({ attrs }) =>
      (attrs.steps as { op: string }[] | undefined)?.every(({ op }) => op === "cast"),
    );
    expect(casts.length).toBeLessThanOrEqual(4 * model.layers + 1 + 1 + 1 + 2 * model.layers);
    expect(plan("bf16").arenaBytes).toBeLessThan(0.75 * plan(undefined).arenaBytes);
  });
});

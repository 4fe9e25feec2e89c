// Throws random arguments at every entry of the addon, and mutated plans at its loader. The only acceptable answers are a
// result and a JavaScript exception. Used with small counts by the engine tier and with large ones by the slow tier.
import { byteSize, dtypes } from "../../src/base/index.ts";
import { encodePlan, type Plan } from "../../src/compiler/index.ts";
import type { AddonEngine, AddonProgram, AddonStore } from "../../src/engine/native-addon.ts";
import { addon, denseStrides, planOf, product, type RandomSource, randomSource } from "./native-harness.ts";

type Callable = (...args: unknown[]) => unknown;

/** Values that no caller should pass, among some that they should. */
function strangeValue(random: RandomSource, depth = 0): unknown {
  const leaf = (): unknown =>
    random.pick<() => unknown>([
      () => undefined,
      () => null,
      () => random.below(5),
      () => random.pick([Number.NaN, -1, 0.5, 2 ** 31, 2 ** 53, -(2 ** 63), 1e308, Number.POSITIVE_INFINITY, -0]),
      () => random.pick(["", "w", "f32", "fill", "bool", "portable", "avx512", "x".repeat(1000), "\ud800", "a\0b"]),
      () => Symbol("s"),
      () => 10n ** 30n,
      () => true,
      () => () => strangeValue(random, 3),
      () => new Date(),
      () => /x/,
      () => {
        const array = new Float32Array(random.below(6));
        if (random.below(2) === 0) structuredClone(array.buffer, { transfer: [array.buffer] });
        return array;
      },
      () => new Uint8Array(random.below(300)),
      () => new DataView(new ArrayBuffer(random.below(40))),
      () => new ArrayBuffer(random.below(8) * 8),
      () => new SharedArrayBuffer(16),
      () => new BigInt64Array(3),
      () => new Uint8Array(new ArrayBuffer(64), 3, 8),
      () => Object.create(null),
      () => new Proxy({}, { get: () => strangeValue(random, 3) }),
      () =>
        new Proxy([], {
          get: () => {
            throw new Error("trap");
          },
        }),
      () => ({
        get length() {
          throw new Error("getter");
        },
        get program() {
          throw new Error("getter");
        },
      }),
    ])();
  if (depth >= 3 || random.below(3) > 0) return leaf();
  return random.pick<() => unknown>([
    () => Array.from({ length: random.below(5) }, () => strangeValue(random, depth + 1)),
    () => {
      const sparse: unknown[] = [];
      sparse.length = random.pick([3, 2 ** 32 - 1]);
      return sparse;
    },
    () =>
      Object.fromEntries(
        ["name", "dtype", "shape", "program", "feeds", "threads", "isa", "profile"]
          .filter(() => random.below(2) === 0)
          .map((key) => [key, strangeValue(random, depth + 1)]),
      ),
    () => ({
      name: random.pick(["w", "v", "u"]),
      dtype: random.pick([...dtypes]),
      shape: random.pick([[], [3], [0, 2], [2 ** 52], [-1], [1.5], [Number.NaN], "3"]),
    }),
  ])();
}

/** Calls random entries with random receivers and arguments. Every throw must be an Error. */
export async function fuzzEntries(count: number, seed: number): Promise<{ calls: number; thrown: number }> {
  const random = randomSource(seed);
  const pool: { engines: AddonEngine[]; stores: AddonStore[]; programs: AddonProgram[] } = {
    engines: [],
    stores: [],
    programs: [],
  };
  const { plan } = planOf({
    kernel: "fill",
    inputs: [],
    outputs: [{ block: new Float32Array(3), dtype: "f32", shape: [3], strides: [1], offset: 0 }],
    params: [2],
  });
  const encoded = encodePlan({
    ...plan,
    variables: [{ name: "w", dtype: "f32", shape: [3] }],
    feeds: [{ name: "x", dtype: "f32", shape: [2] }],
  });
  let thrown = 0;
  let pending: Promise<unknown>[] = [];
  for (let calls = 0; calls < count; calls++) {
    if (calls % 2000 === 0) {
      await Promise.allSettled(pending);
      pending = [];
      const engines = [addon.createEngine({ threads: 1 + random.below(3) }), addon.createEngine({ threads: 1 })];
      const stores = engines.map((engine) => engine.createStore());
      for (const store of stores) store.declare([{ name: "w", dtype: "f32", shape: [3] }]);
      const programs = engines.map((engine, at) =>
        engine.load(encoded.bytes, encoded.kernelNames, encoded.variableNames, encoded.feedNames, stores[at]!),
      );
      Object.assign(pool, { engines, stores, programs });
    }
    const targets: unknown[] = [addon, ...pool.engines, ...pool.stores, ...pool.programs];
    const argument = (): unknown =>
      random.pick<() => unknown>([
        () => strangeValue(random),
        () => strangeValue(random),
        () => random.pick(targets),
        () => encoded.bytes.slice(0), // read() may write into it
        () => random.pick([encoded.kernelNames, encoded.variableNames, encoded.feedNames]),
        () => [
          {
            program: random.pick([...targets]),
            feeds: random.pick<unknown>([[new Float32Array(2)], [], strangeValue(random)]),
          },
        ],
        () => "w",
        () => new Float32Array(3),
      ])();
    const owner = random.pick(targets) as object;
    const names = [...Object.keys(owner), ...Object.getOwnPropertyNames(Object.getPrototypeOf(owner) as object)];
    const args = Array.from({ length: random.below(7) }, argument);
    try {
      const method: unknown = Reflect.get(owner, random.pick(names));
      if (typeof method !== "function") continue;
      const receiver = random.below(6) === 0 ? random.pick([...targets, {}, null]) : owner;
      const result =
        random.below(15) === 0 ? Reflect.construct(method, args) : Reflect.apply(method as Callable, receiver, args);
      if (result instanceof Promise) pending.push(result.catch(() => undefined));
    } catch (error) {
      if (!(error instanceof Error)) throw new Error(`call ${calls} threw ${String(error)}`);
      thrown++;
    }
  }
  await Promise.allSettled(pending);
  return { calls: count, thrown };
}

/** A plan that uses most kernels, with feeds, constants, views, an arena and a guard. */
function largePlan(): Plan {
  const tensors: Plan["tensors"][number][] = [];
  const code: Plan["code"][number][] = [];
  let arenaBytes = 0;
  const add = (
    space: "arena" | "variable" | "feed" | "constant",
    dtype: (typeof dtypes)[number],
    shape: number[],
    index = 0,
  ): number => {
    const offset = space === "arena" ? arenaBytes : 0;
    if (space === "arena") arenaBytes += Math.ceil((product(shape) * byteSize(dtype)) / 64) * 64;
    return tensors.push({ space, index, offset, dtype, shape, strides: denseStrides(shape) }) - 1;
  };
  const run = (kernel: string, inputs: number[], outputs: number[], params: number[] = [], commit = false): void => {
    code.push({ kernel, inputs, outputs, params, attrs: {}, node: code.length, commit });
  };
  const w = add("variable", "f32", [8, 12]);
  const x = add("feed", "f32", [4, 8]);
  const ids = add("feed", "i32", [4], 1);
  const ok = add("feed", "bool", [], 2);
  const c = add("constant", "f32", [12]);
  const [y, z] = [add("arena", "f32", [4, 12]), add("arena", "f32", [4, 12])];
  const [rows, mean, rstd, scalar] = [
    add("arena", "f32", [4, 8]),
    add("arena", "f32", [4]),
    add("arena", "f32", [4]),
    add("arena", "f32", []),
  ];
  const bias = tensors.push({ ...tensors[c]!, shape: [4, 12], strides: [0, 1] }) - 1;
  const turned = tensors.push({ ...tensors[y]!, shape: [12, 4], strides: [1, 12] }) - 1;
  const [t, column, key] = [add("arena", "f32", [12, 4]), add("arena", "f32", [1, 12]), add("arena", "i32", [3])];
  const moving = (at: number, step: number, offset = 0) =>
    tensors.push({ ...tensors[at]!, offset: tensors[at]!.offset + offset, shape: [12], strides: [1], step }) - 1;
  run("copy", [moving(w, 48)], [moving(y, -48, 144)]); // in a loop of four turns
  run("take", [x, ids], [rows]);
  run("matmul", [x, w], [y], [0, 0, 0]);
  run("tape", [y, bias], [z], [0, 2, 26, 2, 0, 1, 0, 4, 3, 2, 0, 0, 3]);
  run("copy", [turned], [t]);
  run("softmax", [z], [z]);
  run("layerNorm", [z, c, c], [y, mean, rstd], [1e-5]);
  run("crossEntropy", [z, ids], [mean, rstd], [-1]);
  run("sum", [y], [column], [1]);
  run("sumSquares", [y], [scalar]);
  run("iota", [], [key], [0]);
  run("uniform", [key, ids], [y], [5]);
  run("dropout", [z, scalar, key, ids], [y], [5]);
  run("cumsum", [y], [y], [1, 0, 1]);
  run("argmax", [t], [add("arena", "i32", [1, 4])], [0]);
  run("updateSlice", [y, y, tensors.push({ ...tensors[ids]!, shape: [], strides: [] }) - 1], [y], [0]);
  run("fill", [], [w], [0.5], true);
  const known = new Set(addon.kernelNames());
  return {
    tensors,
    code: code.filter(({ kernel }) => known.has(kernel)),
    loops: [{ first: 0, count: 1, turns: 4 }],
    arenaBytes,
    constants: new Uint8Array(48),
    variables: [{ name: "w", dtype: "f32", shape: [8, 12] }],
    feeds: [
      { name: "x", dtype: "f32", shape: [4, 8] },
      { name: "ids", dtype: "i32", shape: [4] },
      { name: "ok", dtype: "bool", shape: [] },
    ],
    outputs: [
      { name: "y", tensor: y },
      { name: "turned", tensor: turned },
    ],
    guard: ok,
    nodes: [],
  };
}

/** Loads plans with random words changed; runs those that are accepted. */
export async function fuzzPlans(count: number, seed: number): Promise<{ plans: number; loaded: number }> {
  const random = randomSource(seed);
  const engine = addon.createEngine({ threads: 2 });
  const { bytes, kernelNames, variableNames, feedNames } = encodePlan(largePlan());
  const original = new BigInt64Array(bytes);
  const feeds = [new Float32Array(32).fill(0.25), Int32Array.of(0, 1, 2, 3), Uint8Array.of(1)];
  const fresh = (): AddonStore => {
    const store = engine.createStore();
    store.declare([{ name: "w", dtype: "f32", shape: [8, 12] }]);
    return store;
  };
  let store = fresh();
  await engine.run([{ program: engine.load(bytes, kernelNames, variableNames, feedNames, store), feeds }]);
  const double = new DataView(new ArrayBuffer(8));
  const mutated = (word: bigint): bigint =>
    random.pick<() => bigint>([
      () => word + 1n,
      () => word - 1n,
      () => -word,
      () => word ^ (1n << BigInt(random.below(64))),
      () => BigInt(random.below(64)),
      () => BigInt(random.below(2 ** 20)),
      () => original[random.below(original.length)]!,
      () => BigInt.asIntN(64, 1n << BigInt(random.below(64))),
      () => random.pick([-1n, 2n ** 62n, -(2n ** 63n), 2n ** 63n - 1n, 0n]),
      () => {
        double.setFloat64(
          0,
          random.pick([Number.NaN, Number.POSITIVE_INFINITY, -1, 0.5, 1e300, 2 ** 31, random.below(20)]),
        );
        return double.getBigInt64(0);
      },
    ])();
  let loaded = 0;
  for (let plans = 0; plans < count; plans++) {
    const words = original.slice();
    for (let change = 1 + random.below(3); change > 0; change--) {
      const at = random.below(words.length);
      words[at] = BigInt.asIntN(64, mutated(words[at]!));
    }
    const length = random.below(40) === 0 ? random.below(words.byteLength) : words.byteLength;
    if (plans % 500 === 0) store = fresh();
    try {
      const program = engine.load(words.buffer.slice(0, length), kernelNames, variableNames, feedNames, store);
      loaded++;
      if (program.arenaBytes + program.workspaceBytes + program.stagingBytes > 2 ** 26) store = fresh();
      else if (tooLarge(words)) continue;
      else await engine.run([{ program, feeds }]);
    } catch (error) {
      if (!(error instanceof Error) || !("code" in error)) throw error;
    }
  }
  return { plans: count, loaded };
}

/** A view may repeat one element 2^40 times: legal, and hours of work. Such plans are loaded, not run. */
function tooLarge(words: BigInt64Array): boolean {
  for (let tensor = 0; tensor < Number(words[2]); tensor++) {
    let size = 1n;
    for (let d = 0; d < Number(words[16 + tensor * 22 + 4]); d++) size *= words[16 + tensor * 22 + 6 + d]!;
    if (size > 2n ** 22n) return true;
  }
  return false;
}

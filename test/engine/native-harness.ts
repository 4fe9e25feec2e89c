// Runs one kernel of the native engine on views laid out by hand, and checks that nothing beside the views was written.
// Not a compiler: plans here are written word for word.
import { createRequire } from "node:module";
import { resolve } from "node:path";
import { allocate, byteSize, type DType, type HostData, viewOf } from "../../src/base/index.ts";
import { encodePlan, type Plan, type PlanTensor } from "../../src/compiler/index.ts";
import { loadAddon } from "../../src/engine/index.ts";
import type { Addon, AddonEngine } from "../../src/engine/native-addon.ts";

/** The addon, or another build of it that a tester names: a sanitized one. */
export const addon: Addon = (() => {
  const other = process.env.ATHANOR_TEST_ADDON;
  if (other !== undefined) return createRequire(import.meta.url)(resolve(other)) as Addon;
  const found = loadAddon();
  if (found.addon === undefined) throw new Error(found.reason);
  return found.addon;
})();

/** Every instruction-set path that this processor has. */
export const paths: string[] = ["portable", "avx2", "avx512", "avx512bf16"].filter((isa) => {
  try {
    addon.createEngine({ isa, threads: 1 });
    return true;
  } catch {
    return false;
  }
});

/** One engine per path, each with three threads (more than processors, so that chunks do change hands). */
export const engines: { isa: string; engine: AddonEngine }[] = paths.map((isa) => ({
  isa,
  engine: addon.createEngine({ isa, threads: 3 }),
}));

/** A small generator of test data; tests name their seed. */
export function randomSource(seed: number) {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return {
    uniform: (low = 0, high = 1) => low + (high - low) * next(),
    below: (bound: number) => Math.floor(next() * bound),
    pick: <T>(items: readonly T[]): T => items[Math.floor(next() * items.length)]!,
  };
}
export type RandomSource = ReturnType<typeof randomSource>;

/** A stretch of memory, and a view of it. */
export interface Laid {
  block: HostData;
  dtype: DType;
  shape: readonly number[];
  strides: readonly number[];
  offset: number;
}

export const product = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

export function denseStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let d = shape.length - 1; d >= 0; d--) {
    strides[d] = stride;
    stride *= shape[d]!;
  }
  return strides;
}

/** Block positions of a view's elements in row-major order. */
export function positions({ shape, strides, offset }: Laid): Int32Array {
  const result = new Int32Array(product(shape));
  const index = new Array<number>(shape.length).fill(0);
  let at = offset;
  for (let i = 0; i < result.length; i++) {
    result[i] = at;
    for (let d = shape.length - 1; d >= 0; d--) {
      at += strides[d]!;
      if (++index[d]! < shape[d]!) break;
      at -= strides[d]! * shape[d]!;
      index[d] = 0;
    }
  }
  return result;
}

/** A view's elements as numbers, row-major. */
export function elements(view: Laid): number[] {
  return Array.from(positions(view), (at) => Number(view.block[at]));
}

export function dense(dtype: DType, shape: readonly number[], values?: ArrayLike<number>): Laid {
  const block = allocate(dtype, product(shape));
  if (values !== undefined) for (let i = 0; i < block.length; i++) (block as Float64Array)[i] = values[i]!;
  return { block, dtype, shape, strides: denseStrides(shape), offset: 0 };
}

/** A view of the shape with dims in another order in memory, gaps between, or (`repeats`) repeated elements. */
export function anyLayout(random: RandomSource, dtype: DType, shape: readonly number[], repeats = false): Laid {
  const strides = new Array<number>(shape.length).fill(0);
  const order = shape.map((_, d) => d);
  if (random.below(3) === 0) order.sort(() => random.uniform() - 0.5);
  let stride = random.below(4) === 0 ? 2 : 1;
  for (const d of order.reverse()) {
    if (repeats && random.below(5) === 0) continue;
    strides[d] = stride;
    stride *= Math.max(1, shape[d]!);
    if (random.below(4) === 0) stride += random.below(20);
  }
  const offset = random.below(3) === 0 ? random.below(5) : 0;
  return { block: allocate(dtype, offset + stride + random.below(3)), dtype, shape, strides, offset };
}

export function fillWith(view: Laid, value: () => number): Laid {
  for (let i = 0; i < view.block.length; i++) (view.block as Float64Array)[i] = value();
  return view;
}

export interface KernelCall {
  kernel: string;
  inputs: Laid[];
  /** May share a block with an input: then the kernel works in place. */
  outputs: Laid[];
  params?: readonly number[];
}

/** The plan of one call. Blocks are variables; a block that several views share is one variable. */
export function planOf({ kernel, inputs, outputs, params = [] }: KernelCall): { plan: Plan; blocks: HostData[] } {
  const blocks: HostData[] = [];
  const variables: { name: string; dtype: DType; shape: number[] }[] = [];
  const tensors = [...inputs, ...outputs].map(({ block, dtype, shape, strides, offset }): PlanTensor => {
    let index = blocks.indexOf(block);
    if (index < 0) {
      index = blocks.push(block) - 1;
      variables.push({ name: `block${index}`, dtype, shape: [block.length] });
    }
    return { space: "variable", index, offset: offset * byteSize(dtype), dtype, shape, strides };
  });
  const plan: Plan = {
    tensors,
    code: [
      {
        kernel,
        inputs: inputs.map((_, at) => at),
        outputs: outputs.map((_, at) => inputs.length + at),
        params,
        attrs: {},
        node: 0,
        commit: false,
      },
    ],
    arenaBytes: 0,
    constants: new Uint8Array(0),
    variables,
    feeds: [],
    outputs: [],
    guard: -1,
    nodes: [],
  };
  return { plan, blocks };
}

/**
 * Runs a kernel and returns the outputs' elements. Throws when the kernel wrote outside its outputs' views.
 * The given blocks are left as they are.
 */
export async function runKernel(engine: AddonEngine, call: KernelCall): Promise<number[][]> {
  const { plan, blocks } = planOf(call);
  const store = engine.createStore();
  store.declare(plan.variables);
  blocks.forEach((block, at) => {
    store.write(`block${at}`, block);
  });
  const { bytes, kernelNames, variableNames, feedNames } = encodePlan(plan);
  const program = engine.load(bytes, kernelNames, variableNames, feedNames, store);
  await engine.run([{ program, feeds: [] }]);
  const after = blocks.map((block, at) => {
    const { dtype } = plan.variables[at]!;
    return viewOf(dtype, store.read(`block${at}`), 0, block.length);
  });
  const written = blocks.map((block) => new Uint8Array(block.length));
  for (const output of call.outputs) for (const at of positions(output)) written[blocks.indexOf(output.block)]![at] = 1;
  blocks.forEach((block, b) => {
    for (let i = 0; i < block.length; i++) {
      if (written[b]![i] === 0 && !Object.is(after[b]![i], block[i])) {
        throw new Error(
          `${call.kernel} wrote outside its outputs: block ${b}[${i}] was ${block[i]}, is ${after[b]![i]}`,
        );
      }
    }
  });
  return call.outputs.map((output) => elements({ ...output, block: after[blocks.indexOf(output.block)]! }));
}

/** Units in the last place of f32 between a result and the exact value. */
export function ulps(got: number, exact: number): number {
  const want = Math.fround(exact);
  if (Object.is(got, want) || (got === 0 && want === 0)) return 0;
  if (Number.isNaN(got) || Number.isNaN(want) || !Number.isFinite(got) || !Number.isFinite(want)) return Infinity;
  const exponent = Math.max(-126, Math.floor(Math.log2(Math.abs(exact) || 2 ** -149)));
  return Math.abs(got - exact) / 2 ** (exponent - 23);
}

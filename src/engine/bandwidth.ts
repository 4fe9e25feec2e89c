// How fast an engine moves memory on this machine, and what an instruction costs that has next to nothing to do. Measured.
import { byteSize, fromNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { assign, trace, variable } from "../core/index.ts";
import type { Engine } from "./engine.ts";

export interface Bandwidth {
  /** Read and written by one instruction, again and again: what fits a cache stays there. */
  readonly bytes: number;
  readonly bytesPerSecond: number;
}

export interface MemorySpeed {
  /** By size, the smallest first. */
  readonly bandwidths: readonly Bandwidth[];
  /** Of an instruction on a few numbers. */
  readonly dispatchSeconds: number;
}

const kB = 1024;
const sizes = { native: [384 * kB, 1536 * kB, 6144 * kB, 24576 * kB, 98304 * kB], reference: [384 * kB] };

/** Sums of two arrays in f32, at several sizes: the best of each, in about a tenth of a second. */
export async function measureMemory(engine: Engine): Promise<MemorySpeed> {
  const bandwidths: Bandwidth[] = [];
  for (const bytes of sizes[engine.name])
    bandwidths.push({ bytes, bytesPerSecond: bytes / (await secondsOfSum(engine, bytes)) });
  return { bandwidths, dispatchSeconds: await secondsOfSum(engine, 3 * 64) };
}

/** Best time of c = a + b, which moves `bytes` in all. */
async function secondsOfSum(engine: Engine, bytes: number): Promise<number> {
  const length = bytes / 3 / byteSize("f32");
  const graph = trace({}, () => {
    assign("c", variable("a", "f32", [length]).add(variable("b", "f32", [length])));
    return undefined;
  });
  const store = engine.createStore();
  const program = engine.load(compile(graph, engine.target), store);
  const ones = fromNumbers("f32", [length], new Float32Array(length).fill(1));
  for (const name of ["a", "b"]) store.write(name, ones);
  const times = [new Float64Array(program.plan.code.length)];
  let best = Number.POSITIVE_INFINITY;
  const rounds = Math.min(100, Math.max(6, Math.round(2e8 / bytes)));
  for (let round = 0; round < rounds; round++) {
    await engine.run([{ program, feeds: {} }], times);
    best = Math.min(best, times[0]!.reduce((sum, ns) => sum + ns, 0) / 1e9);
  }
  return best;
}

/**
 * The bandwidth that an instruction of this size could have at best: measured at the largest size that is not above it, as if
 * what it reads were in the nearest cache that can hold it.
 */
export function bandwidthFor(bytes: number, { bandwidths }: MemorySpeed): number {
  return (bandwidths.findLast((measured) => measured.bytes <= bytes) ?? bandwidths[0]!).bytesPerSecond;
}

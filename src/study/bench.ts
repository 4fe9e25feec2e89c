// The benchmarks of `athanor bench`: rounds that take turns with a probe of the machine's peak, medians and bests. Prints nothing.
import { chooseEngine, measureMatmul } from "../api/index.ts";
import { describeEngine, median } from "../engine/index.ts";
import type { StepProfile } from "./profile.ts";
import { requireRoom } from "./room.ts";
import type { StepBench, StepBenchOptions, StepShape } from "./step-bench.ts";

export interface BenchRun extends StepBenchOptions {
  /** Rounds; between them the peak is probed anew. Default 5. */
  readonly rounds?: number;
  readonly signal?: AbortSignal;
}

export interface StepFigures {
  readonly shape: StepShape;
  readonly engine: string;
  readonly precision: "f32" | "bf16";
  readonly parameters: number;
  readonly steps: number;
  /** Median and best over all timed steps. */
  readonly msPerStep: number;
  readonly bestMsPerStep: number;
  /** Tokens, or rows, per second, at the median. */
  readonly itemsPerSecond: number;
  /** At the median, by the usual count of operations. */
  readonly gflops: number;
  /** Best matrix product of 1024 × 1024 in this precision, probed between the rounds. */
  readonly peakGflops: number;
  readonly ofPeak: number;
  /** Of some steps more, timed instruction by instruction; a signal leaves it out. */
  readonly profile: StepProfile | undefined;
}

/**
 * Times steps. `steps` per round; left out, as many as fill about half a second. The signal ends it after the step under way;
 * before the first timed one there is nothing to tell.
 */
export async function benchStep(
  bench: StepBench,
  { rounds = 5, signal, ...given }: Pick<BenchRun, "rounds" | "signal"> & { readonly steps?: number } = {},
): Promise<StepFigures | undefined> {
  await bench.step();
  const warm = await bench.step();
  const steps = given.steps ?? Math.max(1, Math.min(200, Math.round(500 / warm)));
  const times: number[] = [];
  let peak = 0;
  for (let round = 0; round < rounds && !signal?.aborted; round++) {
    peak = Math.max(peak, await measureMatmul(bench.engine, probeSize(bench), 3, bench.precision));
    for (let step = 0; step < steps && !signal?.aborted; step++) times.push(await bench.step());
  }
  if (times.length === 0) return undefined;
  const ms = median(times);
  return {
    shape: bench.shape,
    engine: describeEngine(bench.engine),
    precision: bench.precision,
    parameters: bench.numParameters,
    steps: times.length,
    msPerStep: ms,
    bestMsPerStep: times.reduce((least, ms) => Math.min(least, ms)),
    itemsPerSecond: (1000 * bench.itemsPerStep) / ms,
    gflops: bench.flopsPerStep / ms / 1e6,
    peakGflops: peak / 1e9,
    ofPeak: bench.flopsPerStep / (ms / 1000) / peak,
    profile: signal?.aborted ? undefined : await bench.profile(),
  };
}

const probeSize = ({ engine }: StepBench): number => (engine.name === "native" ? 1024 : 64);

export interface MatmulFigures {
  readonly size: number;
  readonly gflops: number;
}

/** Matrices of numbers that timing a product takes at once, here and in the engine. */
const matricesHeld = 6;

/** Square matrix products: the best of the rounds, for each size in turn. Errors with `plan/memory` before the first. */
export async function* benchMatmul(
  sizes: readonly number[],
  { rounds = 5, threads, precision = "f32" }: BenchRun = {},
): AsyncGenerator<MatmulFigures> {
  const { engine } = chooseEngine({
    precision,
    engine: { name: "auto", threads: threads ?? "auto", isa: "auto" },
  });
  requireRoom(matricesHeld * 4 * Math.max(...sizes) ** 2);
  for (const size of sizes) yield { size, gflops: (await measureMatmul(engine, size, rounds, precision)) / 1e9 };
}

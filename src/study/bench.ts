// The benchmarks of `athanor bench`: rounds that take turns with a probe of the machine's peak, medians and bests. Prints nothing.
import { chooseEngine, measureMatmul } from "../api/index.ts";
import { median } from "../engine/index.ts";
import type { StepProfile } from "./profile.ts";
import { StepBench, type StepBenchOptions, type StepShape } from "./step-bench.ts";

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
  /** Of some steps more, timed instruction by instruction. */
  readonly profile: StepProfile;
}

/**
 * Times a step of this shape. `steps` per round; left out, as many as fill about half a second. The signal ends it after the
 * round under way; before the first one there is nothing to tell.
 */
export async function benchStep(
  shape: StepShape,
  options: BenchRun & { steps?: number } = {},
): Promise<StepFigures | undefined> {
  const { rounds = 5, signal } = options;
  const bench = new StepBench(shape, options);
  await bench.step();
  const warm = await bench.step();
  const steps = options.steps ?? Math.max(1, Math.min(200, Math.round(500 / warm)));
  const times: number[] = [];
  let peak = 0;
  for (let round = 0; round < rounds && !signal?.aborted; round++) {
    peak = Math.max(peak, await measureMatmul(bench.engine, probeSize(bench), 3, bench.precision));
    for (let step = 0; step < steps; step++) times.push(await bench.step());
  }
  if (times.length === 0) return undefined;
  const ms = median(times);
  return {
    shape,
    engine: `${bench.engine.name} ${bench.engine.isa}, ${bench.engine.threads} threads`,
    precision: bench.precision,
    parameters: bench.numParameters,
    steps: times.length,
    msPerStep: ms,
    bestMsPerStep: Math.min(...times),
    itemsPerSecond: (1000 * bench.itemsPerStep) / ms,
    gflops: bench.flopsPerStep / ms / 1e6,
    peakGflops: peak / 1e9,
    ofPeak: bench.flopsPerStep / (ms / 1000) / peak,
    profile: await bench.profile(),
  };
}

const probeSize = ({ engine }: StepBench): number => (engine.name === "native" ? 1024 : 64);

export interface MatmulFigures {
  readonly size: number;
  readonly gflops: number;
}

/** Square matrix products: the best of the rounds, for each size. */
export async function benchMatmul(
  sizes: readonly number[],
  { rounds = 5, threads, precision = "f32" }: BenchRun = {},
): Promise<MatmulFigures[]> {
  const { engine } = chooseEngine({
    precision,
    engine: { name: "auto", threads: threads ?? "auto", isa: "auto" },
  });
  const figures: MatmulFigures[] = [];
  for (const size of sizes)
    figures.push({ size, gflops: (await measureMatmul(engine, size, rounds, precision)) / 1e9 });
  return figures;
}

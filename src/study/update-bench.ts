// Optimizer updates alone, timed: the norm of all gradients, the clip by it and the rule, over matrices larger than any cache.
import { chooseEngine } from "../api/index.ts";
import { type FloatDType, fromNumbers, RandomStream, sizeOf } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { type Engine, type Feeds, measureMemory, median, type Program } from "../engine/index.ts";
import { Mlp } from "../nn/index.ts";
import { type Optimizer, parseOptimizer } from "../optim/index.ts";
import { classificationTask, StepGraphs } from "../train/index.ts";
import type { BenchRun } from "./bench.ts";
import { requireRoom } from "./room.ts";

export interface UpdateShape {
  /** Settings as a recipe has them: `{ adamw: { clip: 1 } }`. */
  readonly optimizer: object;
  /** Square matrices of this many rows, each with a vector. */
  readonly width: number;
  readonly layers: number;
}

export class UpdateBench {
  readonly engine: Engine;
  readonly numParameters: number;
  /**
   * The least that memory can see of an update, in bytes: parameters and slots read and written, gradients read for the norm and
   * again for the rule.
   */
  readonly leastBytes: number;
  private readonly optimizer: Optimizer;
  private readonly program: Program;
  private steps = 0;

  /** Errors with `config/invalid`, and `plan/memory` before it takes any. */
  constructor({ optimizer, width, layers }: UpdateShape, { threads }: { threads?: number } = {}) {
    this.engine = chooseEngine({
      precision: "f32",
      engine: { name: "auto", threads: threads ?? "auto", isa: "auto" },
    }).engine;
    this.optimizer = parseOptimizer(optimizer, { steps: 1_000_000 });
    const graphs = new StepGraphs({
      model: new Mlp(new Array(layers + 1).fill(width), { activation: "relu" }),
      task: classificationTask({ features: { dtype: "f32", shape: [width] } }),
      ...{ optimizer: this.optimizer, batchSize: 1, lanes: 1, evalBatchSize: 1, dtype: "f32", seed: 1 },
    });
    const numbersIn = (types: readonly { readonly shape: readonly number[] }[]) =>
      types.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
    this.numParameters = numbersIn(graphs.parameterTypes);
    this.leastBytes = 4 * (4 * this.numParameters + 2 * numbersIn(graphs.slotTypes));
    requireRoom(4 * (2 * this.numParameters + numbersIn(graphs.slotTypes)));
    const plan = compile(graphs.update(), this.engine.target, graphs.compileOptions("update"));
    const store = this.engine.createStore();
    this.program = this.engine.load(plan, store);
    const slots = new Set(graphs.slotTypes.map(({ name }) => name));
    for (const { name, dtype, shape } of plan.variables) {
      if (slots.has(name)) continue;
      const stream = new RandomStream(1, name);
      const scale = name.startsWith("grad.") ? 1e-3 : 0.02;
      const normal = Float32Array.from({ length: 4096 }, (_, at) => scale * stream.normal(at));
      const data = new Float32Array(sizeOf(shape)).map((_, at) => normal[at % normal.length]!);
      store.write(name, fromNumbers(dtype as FloatDType, shape, name.startsWith("loss.count") ? [1] : data));
    }
  }

  /** One update; its time in ms. */
  async step(): Promise<number> {
    const started = performance.now();
    const scalars = this.optimizer.scalarsAt(this.steps, 1e-4);
    const given: Feeds = {
      ...Object.fromEntries(Object.entries(scalars).map(([name, value]) => [name, fromNumbers("f32", [], [value])])),
      "random.key": fromNumbers("i32", [3], [1, 0, this.steps++]),
    };
    const feeds = Object.fromEntries(this.program.plan.feeds.map(({ name }) => [name, given[name]!]));
    await this.engine.run([{ program: this.program, feeds }]);
    return performance.now() - started;
  }

  /** What memory gives on arrays as large, in bytes per second. */
  async memoryBytesPerSecond(): Promise<number> {
    return (await measureMemory(this.engine)).bandwidths.at(-1)!.bytesPerSecond;
  }
}

export interface UpdateFigures {
  readonly optimizer: string;
  readonly parameters: number;
  readonly msPerUpdate: number;
  readonly bestMsPerUpdate: number;
  /** Least bytes over the best time. */
  readonly bytesPerSecond: number;
  /** Of this machine's memory, measured in the same process on arrays as large. */
  readonly memoryBytesPerSecond: number;
}

/**
 * Times the update of each optimizer: medians and bests of the rounds. A signal leaves those out that have no round yet. Errors with
 * `config/invalid` and `plan/memory` before any is timed.
 */
export async function benchUpdates(
  optimizers: readonly string[],
  shape: { readonly width: number; readonly layers: number },
  { rounds = 5, threads, signal }: BenchRun = {},
): Promise<UpdateFigures[]> {
  const figures: UpdateFigures[] = [];
  const settings = optimizers.map((name) => ({ [name]: { clip: 1 } }));
  for (const optimizer of settings) parseOptimizer(optimizer, { steps: 1 }); // before any is timed
  for (const [at, optimizer] of settings.entries()) {
    if (signal?.aborted) break;
    const bench = new UpdateBench({ optimizer, ...shape }, threads === undefined ? {} : { threads });
    await bench.step();
    const times: number[] = [];
    for (let round = 0; round < rounds && !signal?.aborted; round++) times.push(await bench.step());
    if (times.length === 0) break;
    const best = Math.min(...times);
    figures.push({
      optimizer: optimizers[at]!,
      parameters: bench.numParameters,
      msPerUpdate: median(times),
      bestMsPerUpdate: best,
      bytesPerSecond: (1000 * bench.leastBytes) / best,
      memoryBytesPerSecond: await bench.memoryBytesPerSecond(),
    });
  }
  return figures;
}

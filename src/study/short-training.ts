// A recipe's training that can be begun anew as often as wanted, in memory taken once. Saves nothing, prints nothing.
import { chooseEngine, writeStart } from "../api/index.ts";
import { allocate, type HostArray, sizeOf } from "../base/index.ts";
import { type Prepared, type PrepareOptions, prepare, type Recipe } from "../recipe/index.ts";
import { evaluateAll, forecast, requireMemory, StepGraphs, StepPrograms } from "../train/index.ts";
import type { Trial } from "./range-test.ts";

export class ShortTraining implements Trial {
  readonly prepared: Prepared;
  private readonly programs: StepPrograms;
  private readonly start: unknown;
  /** What a recipe with `from` or an adapter begins with. */
  private readonly weights: ReadonlyMap<string, HostArray>;
  private done = 0;

  private constructor(prepared: Prepared, programs: StepPrograms, weights: ReadonlyMap<string, HostArray>) {
    this.prepared = prepared;
    this.programs = programs;
    this.weights = weights;
    this.start = prepared.source.state();
  }

  /** Reads the data, and the weights that the recipe begins with; takes the memory. Errors as `prepare`, and with `plan/memory`. */
  static async open(recipe: Recipe, options: PrepareOptions = {}): Promise<ShortTraining> {
    const { engine, note } = chooseEngine(recipe);
    if (note !== undefined) options.onNote?.(note);
    const prepared = await prepare(recipe, options);
    try {
      const graphs = new StepGraphs(prepared.description);
      const plans = graphs.compile(engine);
      requireMemory(forecast(graphs, plans, engine));
      const programs = new StepPrograms(prepared.description, engine, { graphs, plans });
      const { from, adapter } = recipe;
      await writeStart(programs, prepared, from, options.onNote ?? (() => undefined));
      const isDrawn = from === undefined && adapter === undefined;
      const kept = isDrawn ? [] : graphs.parameterTypes.map(({ name }) => [name, programs.store.read(name)] as const);
      const training = new ShortTraining(prepared, programs, new Map(kept));
      training.restart();
      await prepared.begin?.(training.programs);
      return training;
    } catch (error) {
      await prepared.close?.();
      throw error;
    }
  }

  /** Back to the weights that the recipe begins with, to slots of zero, and to the first batch. */
  restart(): void {
    const { programs } = this;
    if (this.weights.size === 0) programs.initialize();
    for (const [name, value] of this.weights) programs.store.write(name, value);
    for (const { name, dtype, shape } of programs.graphs.slotTypes)
      programs.store.write(name, { dtype, shape, data: allocate(dtype, sizeOf(shape)) });
    this.prepared.source.restore(this.start);
    this.done = 0;
  }

  async step(learningRate: number): Promise<number> {
    const { source, batchSizes, clockAt, coupled } = this.prepared;
    const clock = clockAt(this.done);
    const size = batchSizes.at(clock);
    const { rows, ...batch } = await source.next(size);
    const inputs = {
      step: this.done++,
      clock,
      learningRate: coupled(learningRate, size),
      batch,
      sampleIds: rows!.data as Int32Array,
    };
    const { committed, loss } = await this.programs.step(inputs);
    return committed ? loss : Number.NaN;
  }

  /** Mean loss on the held-out rows, with the weights that the optimizer has for evaluations. */
  async heldOutLoss(): Promise<number> {
    return (await evaluateAll(this.programs, this.prepared.heldOut())).loss;
  }

  async close(): Promise<void> {
    await this.prepared.close?.();
  }
}

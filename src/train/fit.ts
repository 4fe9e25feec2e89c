// fit(): a model, arrays and a loss in one call, which is what the loops of tutorials are. For lessons, experiments and small data in
// memory; a run that should survive the process, with a folder and checkpoints, is train()'s.
import {
  clockStart,
  type DType,
  didYouMean,
  fail,
  fromNumbers,
  type HostArray,
  type Shape,
  sameShape,
  sizeOf,
  toNumbers,
} from "../base/index.ts";
import { type Tensor, where } from "../core/index.ts";
import { makeSampler, rowsOfBatch } from "../data/index.ts";
import { type FeedValue, loadNativeEngine, ReferenceEngine, toHostArray } from "../engine/index.ts";
import {
  categoricalCrossEntropy,
  Dense,
  Dropout,
  type LayerPlan,
  type LossOptions,
  Module,
  Sequential,
} from "../nn/index.ts";
import { clockOf, createBatchSizes, type Optimizer, sgd, validateSchedule } from "../optim/index.ts";
import { advance } from "./clock.ts";
import { diagnose } from "./diagnose.ts";
import { Predictor } from "./predictor.ts";
import { StepPrograms } from "./programs.ts";
import type { Task } from "./task.ts";

/** A loss of `nn`, or one of your own: one number per element or per row when `reduction` is `none`, as `fit` asks for. */
export type Loss = (prediction: Tensor, target: Tensor, options: LossOptions) => Tensor;

/** Rows of inputs and of targets. Numbers become floats; class ids are given as a host array of i32, or by `classIds`. */
export interface FitData {
  readonly x: FeedValue;
  readonly y: FeedValue;
}

export interface FitOptions {
  readonly loss: Loss;
  /** Default `sgd()`, at 0.01. */
  readonly optimizer?: Optimizer;
  /** Rows of a step, or all of them, in their order. Default 32, or `all` where the data has fewer rows. */
  readonly batch?: number | "all";
  /** Whether each epoch takes the rows in an order of its own. Default true. */
  readonly shuffle?: boolean;
  /** When the data has fewer rows than `batch`: refuse (default), make it smaller, or repeat rows. */
  readonly onShort?: "error" | "truncate" | "wrap";
  /** Passes over the data. Default 1. */
  readonly epochs?: number;
  /** Of the initial values, the order of the rows, dropout. Default 1. */
  readonly seed?: number;
  /** Default f32, on the native engine where it is there; f64 runs on the reference engine. */
  readonly precision?: "f32" | "f64";
  /** Values to start from, by name, in place of the initial ones. */
  readonly parameters?: { readonly [name: string]: FeedValue } | ReadonlyMap<string, FeedValue>;
}

export interface EpochReport {
  /** From 1. */
  readonly epoch: number;
  /** Updates made so far. */
  readonly step: number;
  /** Mean over the epoch's rows, each as the model was when its batch came. */
  readonly loss: number;
  /** Of the epoch's last step. */
  readonly learningRate: number;
  /** As it is now: to evaluate it on other data, or to look at its parameters. */
  readonly model: FittedModel;
}

/** A fit under way: iterate over its epochs, await its model, or both. Works while somebody asks. */
export class Fitting implements AsyncIterable<EpochReport>, PromiseLike<FittedModel> {
  private readonly epochs: AsyncGenerator<EpochReport>;
  private readonly model: FittedModel;

  constructor(model: FittedModel, epochs: AsyncGenerator<EpochReport>) {
    this.model = model;
    this.epochs = epochs;
  }

  [Symbol.asyncIterator](): AsyncGenerator<EpochReport> {
    return this.epochs;
  }

  // biome-ignore lint/suspicious/noThenProperty: `await fit(...)` gives the model
  then<A = FittedModel, B = never>(
    onModel?: ((model: FittedModel) => A | PromiseLike<A>) | null,
    onError?: ((error: unknown) => B | PromiseLike<B>) | null,
  ): PromiseLike<A | B> {
    return this.finish().then(onModel, onError);
  }

  private async finish(): Promise<FittedModel> {
    while (!(await this.epochs.next()).done);
    return this.model;
  }
}

/** What a fit leaves: parameters, predictions, the loss on other data. */
export class FittedModel {
  private readonly programs: StepPrograms;
  private readonly predictor: Predictor;
  private readonly inputType: DType;
  /** Of one row. */
  private readonly inputShape: Shape;

  constructor(programs: StepPrograms, input: HostArray) {
    this.programs = programs;
    this.inputType = input.dtype;
    this.inputShape = input.shape.slice(1);
    const { model, dtype, optimizer } = programs.graphs.description;
    const { engine, store } = programs;
    const inputs = { x: { dtype: input.dtype, shape: this.inputShape } };
    this.predictor = new Predictor({ module: model, inputs, engine, store, dtype, optimizer });
  }

  /** Parameters by name, with their values. */
  get parameters(): Map<string, HostArray> {
    return new Map([...this.programs.graphs.parameterTypes].map(({ name }) => [name, this.programs.store.read(name)]));
  }

  /** The model's output for each row of `x`. Errors with `data/rows` for rows of another shape than it was fitted to. */
  async predict(x: FeedValue): Promise<number[][]> {
    const rows = this.asFitted(toHostArray(x, this.inputType, "x"));
    const outputs = await this.predictor.run({ x: rows.data }, rows.shape[0] ?? 0);
    return outputs.map((output) => Array.from(output));
  }

  private asFitted(x: HostArray): HostArray {
    if (x.shape.length > 0 && sameShape(x.shape.slice(1), this.inputShape)) return x;
    return fail("data/rows", "the rows are not of the shape that the model was fitted to", {
      where: "x",
      expected: `[rows${this.inputShape.map((size) => `, ${size}`).join("")}]`,
      got: `[${x.shape.join(", ")}]`,
      fix: "give a list of rows, each as those of the fit; one row is a list of one",
    });
  }

  /** The mean loss over the rows, in evaluation mode: nothing is dropped. */
  async evaluate({ x, y }: FitData): Promise<number> {
    const { task, evalBatchSize, dtype } = this.programs.graphs.description;
    const data = new Rows(x, y, dtype, task.feeds(1).y!.dtype);
    this.asFitted(data.x);
    let [sum, count] = [0, 0];
    for (let start = 0; start < data.count; start += evalBatchSize) {
      const positions = Array.from({ length: Math.min(evalBatchSize, data.count - start) }, (_, i) => start + i);
      const result = await this.programs.evaluate(data.batch(positions, evalBatchSize));
      sum += result.sum!;
      count += result.count!;
    }
    return sum / count;
  }
}

/** Class ids as targets: i32, one per row. */
export function classIds(ids: readonly number[]): HostArray {
  const wrong = ids.findIndex((id) => !(Number.isInteger(id) && id >= 0));
  if (wrong >= 0) {
    fail("data/class-id", "a class id is a whole number from 0 on", {
      where: `row ${wrong + 1}`,
      got: String(ids[wrong]),
      fix: "number the classes 0, 1, 2, …",
    });
  }
  return fromNumbers("i32", [ids.length], ids);
}

/** Inputs and targets as arrays, and batches of them. */
class Rows {
  readonly x: HostArray;
  readonly y: HostArray;

  constructor(x: FeedValue, y: FeedValue, dtype: "f32" | "f64" | DType, targets: DType = dtype) {
    this.x = toHostArray(x, dtype, "x");
    this.y = toHostArray(y, targets, "y");
    if (this.x.shape.length > 0 && this.x.shape[0] === this.y.shape[0]) return;
    fail("data/rows", "inputs and targets have different numbers of rows", {
      expected: "one target for each row",
      got: `x [${this.x.shape}], y [${this.y.shape}]`,
      fix: "give x and y as lists of rows, of one length",
    });
  }

  get count(): number {
    return this.x.shape[0]!;
  }

  /** The rows at `positions`, filled up to `size` with rows that are not counted. */
  batch(positions: readonly number[], size: number): { [name: string]: HostArray } {
    const filled = Array.from({ length: size }, (_, i) => positions[Math.min(i, positions.length - 1)]!);
    const counted = Uint8Array.from(filled, (_, i) => Number(i < positions.length));
    return { x: pick(this.x, filled), y: pick(this.y, filled), counted: fromNumbers("bool", [size], counted) };
  }
}

function pick({ dtype, shape, data }: HostArray, rows: readonly number[]): HostArray {
  const width = sizeOf(shape.slice(1));
  const picked = new (data.constructor as Float64ArrayConstructor)(rows.length * width);
  rows.forEach((row, at) => {
    picked.set((data as Float64Array).subarray(row * width, (row + 1) * width), at * width);
  });
  return { dtype, shape: [rows.length, ...shape.slice(1)], data: picked };
}

/** The mean of a loss over the rows that are counted. */
function lossTask({ x, y }: Rows, loss: Loss): Task {
  return {
    name: y.dtype === "i32" ? "classification" : "regression",
    itemsPerRow: 1,
    feeds: (rows) => ({
      x: { dtype: x.dtype, shape: [rows, ...x.shape.slice(1)] },
      y: { dtype: y.dtype, shape: [rows, ...y.shape.slice(1)] },
      counted: { dtype: "bool", shape: [rows] },
    }),
    loss: (model, { x, y, counted }) => {
      const [rows] = x!.shape as [number];
      const losses = loss(model.forward(x!) as Tensor, y!, { reduction: "none" });
      if (losses.shape[0] !== rows) {
        fail("train/loss", "the loss is reduced already, so that its rows cannot be weighed", {
          where: loss.name || "loss",
          expected: `one number for each of ${rows} rows, or for each of their elements`,
          got: losses.toString(),
          fix: "leave the mean to fit: pass `reduction` on, or do not reduce",
        });
      }
      const ofRows = losses.rank === 1 ? losses : losses.reshape(rows, -1).mean({ axis: 1 });
      return { sum: where(counted!, ofRows, 0).sum(), count: counted!.cast(ofRows.dtype).sum() };
    },
  };
}

/**
 * Fits a model to rows of `x` and `y`. Everything that can be refused is refused here, before the first step: shapes that do not go
 * together, a batch larger than the data, rates that no step should have.
 *
 * @param model a module, or a plan such as `sequential` gives, which takes its width from the data
 * @returns the fit: `for await` it for its epochs, `await` it for its model
 * Errors with `shape/*`, `data/rows`, `data/empty`, `data/short-batch`, `train/loss`, `optim/learning-rate`; while it works with `train/non-finite`.
 * @example
 * ```ts run
 * import { dense, fit, meanSquaredError, sequential, sgd } from "athanor";
 * const data = { x: [[1], [2], [3], [4]], y: [[2], [4], [6], [8]] };
 * const fitting = fit(sequential([dense(1)]), data, { loss: meanSquaredError, optimizer: sgd({ lr: 0.05 }), epochs: 200 });
 * for await (const { epoch, loss } of fitting) if (epoch % 50 === 0) console.log(epoch, loss);
 * const model = await fitting;
 * console.log(await model.predict([[5]])); // near 10
 * ```
 */
export function fit(model: Module | LayerPlan, data: FitData, options: FitOptions): Fitting {
  refuseUnknown(options);
  const { loss, optimizer = sgd(), shuffle = true, onShort, epochs = 1, seed = 1, precision = "f32" } = options;
  const rows = new Rows(data.x, data.y, precision);
  const { count } = rows;
  if (count === 0)
    fail("data/empty", "there is no row to learn from", {
      where: "x",
      expected: "a row or more",
      got: `[${rows.x.shape}]`,
      fix: "give x and y at least one row",
    });
  if (!(Number.isInteger(epochs) && epochs >= 0))
    fail("config/epochs", "epochs is not a whole number", {
      where: "epochs",
      expected: "0 or more",
      got: String(epochs),
      fix: "give passes over the data, such as 10",
    });
  const { batch = count < 32 ? "all" : 32 } = options;
  const size = batch === "all" ? count : rowsOfBatch(count, { batchSize: batch, onShort });
  const perEpoch = Math.max(count, size);
  const onClock = clockOf(createBatchSizes(size), { itemsPerRow: 1, samplesPerEpoch: perEpoch });
  validateSchedule(optimizer.learningRate, epochs * Math.ceil(perEpoch / size), onClock);
  const native = precision === "f32" ? loadNativeEngine().engine : undefined;
  const engine = native ?? new ReferenceEngine();
  const built = Module.is(model) ? model : model.build(rows.x.shape.at(-1)!);
  if (loss === categoricalCrossEntropy) requireSoftmax(built);
  const description = { model: built, task: lossTask(rows, loss), optimizer, dtype: precision, seed };
  const programs = new StepPrograms({ ...description, batchSize: size, lanes: 1, evalBatchSize: size }, engine);
  programs.initialize();
  startFrom(programs, options.parameters ?? {});
  const fitted = new FittedModel(programs, rows.x);
  return new Fitting(fitted, walk());

  async function* walk(): AsyncGenerator<EpochReport> {
    const sampler = makeSampler(shuffle && batch !== "all" ? "shuffled" : "sequential", count, seed);
    let clock = clockStart;
    for (let epoch = 1; epoch <= epochs; epoch++) {
      let [sum, learningRate] = [0, 0];
      for (let start = 0; start < perEpoch; start += size) {
        const taken = Math.min(size, perEpoch - start);
        const first = (epoch - 1) * perEpoch + start;
        learningRate = optimizer.learningRate.at(clock);
        const inputs = {
          step: clock.step,
          clock,
          learningRate,
          batch: rows.batch(sampler.range(first, taken), size),
          sampleIds: Int32Array.from({ length: size }, (_, i) => first + i),
        };
        const result = await programs.step(inputs);
        if (!result.committed) throw await diagnose(programs, inputs);
        sum += result.loss * taken;
        clock = advance(clock, taken, 1, perEpoch);
      }
      yield { epoch, step: clock.step, loss: sum / perEpoch, learningRate, model: fitted };
    }
  }
}

const optionNames = [
  "loss",
  "optimizer",
  "batch",
  "shuffle",
  "onShort",
  "epochs",
  "seed",
  "precision",
  "parameters",
] satisfies (keyof FitOptions)[];

/** Numbers that are no probabilities have a logarithm too, or NaN. Errors with `train/loss`. */
function requireSoftmax(model: Module): void {
  const last = model instanceof Sequential ? model.layers.findLast((layer) => !(layer instanceof Dropout)) : undefined;
  if (!(last instanceof Dense) || last.activation === "softmax") return;
  const units = last.weight.shape[1]!;
  fail("train/loss", "categoricalCrossEntropy takes probabilities, and this model's last layer gives none", {
    where: "options.loss",
    expected: `dense(${units}, "softmax") at the end`,
    got: `dense(${units}, "${last.activation}")`,
    fix: `write dense(${units}, "softmax"), or take crossEntropy, which reads scores`,
  });
}

/** JavaScript has no compiler that would tell a misspelt option. Errors with `config/options`. */
function refuseUnknown(options: FitOptions): void {
  const unknown = Object.keys(options).find((name) => !optionNames.some((known) => known === name));
  if (unknown !== undefined) {
    const near = didYouMean(unknown, optionNames);
    fail("config/options", `fit has no option ${unknown}`, {
      where: "options",
      expected: optionNames.join(", "),
      got: unknown,
      fix: near === undefined ? "take it out" : `did you mean ${near}?`,
    });
  }
  if (typeof options.loss !== "function")
    fail("config/options", "fit needs a loss", {
      where: "options.loss",
      expected: "a function, such as meanSquaredError",
      got: typeof options.loss,
      fix: 'import one: import { meanSquaredError } from "athanor"',
    });
}

/** Writes given values over initial ones. Errors with `fit/parameters`. */
function startFrom({ store, graphs }: StepPrograms, given: NonNullable<FitOptions["parameters"]>): void {
  const names = graphs.parameterTypes.map(({ name }) => name);
  for (const [name, value] of given instanceof Map ? given : Object.entries(given as { [name: string]: FeedValue })) {
    const known = graphs.parameterTypes.find((type) => type.name === name);
    const array = toHostArray(value, graphs.description.dtype, name);
    if (known === undefined || `${known.shape}` !== `${array.shape}`) {
      fail("fit/parameters", known ? `${name} has another shape` : `the model has no parameter ${name}`, {
        where: "parameters",
        expected: known ? `[${known.shape}]` : names.join(", "),
        got: known ? `[${array.shape}]` : name,
        fix: "name the parameters as the model does, and give each its shape",
      });
    }
    store.write(name, fromNumbers(known.dtype, known.shape, toNumbers(array)));
  }
}

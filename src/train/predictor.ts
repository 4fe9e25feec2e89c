// Prediction: rows in, model outputs out, through programs of a few fixed batch sizes over one store.
import {
  type DType,
  type FloatDType,
  fromNumbers,
  type HostArray,
  isFloat,
  type Shape,
  sizeOf,
} from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { type Tensor, trace, variable } from "../core/index.ts";
import type { Engine, Program, Store } from "../engine/index.ts";
import { functionalCall, type Module, storedParameters } from "../nn/index.ts";
import type { Optimizer } from "../optim/index.ts";

export type RowInputs = { readonly [name: string]: { readonly dtype: DType; readonly shape: Shape } };

const batchSizes = [1, 16, 256] as const;

export interface PredictorOptions {
  readonly module: Module;
  readonly inputs: RowInputs;
  readonly engine: Engine;
  readonly store: Store;
  /** Of the model's computation; inputs that are floats take it too. */
  readonly dtype: FloatDType;
  /** Where it keeps averaged weights in the store, those are predicted with. */
  readonly optimizer?: Optimizer;
}

export class Predictor {
  private readonly module: Module;
  private readonly inputs: RowInputs;
  private readonly engine: Engine;
  private readonly store: Store;
  private readonly dtype: FloatDType;
  private readonly optimizer: Optimizer | undefined;
  private readonly programs = new Map<number, Program>();

  constructor(options: PredictorOptions) {
    const { dtype } = options;
    this.dtype = dtype;
    this.module = options.module;
    this.inputs = Object.fromEntries(
      Object.entries(options.inputs).map(([name, type]) => [name, isFloat(type.dtype) ? { ...type, dtype } : type]),
    );
    this.engine = options.engine;
    this.store = options.store;
    this.optimizer = options.optimizer;
  }

  /** Outputs of `rows` rows, row after row. `features` holds each input's rows, dense. */
  async run(features: { readonly [name: string]: HostArray["data"] }, rows: number): Promise<Float64Array[]> {
    const outputs: Float64Array[] = [];
    for (let at = 0; at < rows; ) {
      const size = batchSizes.findLast((candidate) => candidate <= rows - at)!;
      const feeds = Object.fromEntries(
        Object.entries(this.inputs).map(([name, { dtype, shape }]) => {
          const width = sizeOf(shape);
          const rows = features[name]!.subarray(at * width, (at + size) * width) as Float32Array;
          return [name, fromNumbers(dtype, [size, ...shape], rows)];
        }),
      );
      const [result] = await this.engine.run([{ program: this.program(size), feeds }]);
      const { data, shape } = result!.outputs.result!;
      const width = sizeOf(shape.slice(1));
      for (let row = 0; row < size; row++)
        outputs.push(Float64Array.from(data.subarray(row * width, (row + 1) * width) as Float64Array));
      at += size;
    }
    return outputs;
  }

  private program(rows: number): Program {
    const known = this.programs.get(rows);
    if (known !== undefined) return known;
    const types = Object.fromEntries(
      Object.entries(this.inputs).map(([name, { dtype, shape }]) => [name, { dtype, shape: [rows, ...shape] }]),
    );
    const forward = (feeds: { [name: string]: Tensor }): Tensor => {
      const stored = storedParameters([...this.module.parameters().keys()].map((name) => this.store.typeOf(name)));
      const slot = (name: string) => variable(name, this.store.typeOf(name).dtype, this.store.typeOf(name).shape);
      const parameters = new Map(this.optimizer?.evaluated(stored, slot) ?? stored);
      return functionalCall(this.module, parameters, () => this.module.forward(...Object.values(feeds)) as Tensor);
    };
    const graph = trace(types, forward, { floatDType: this.dtype });
    const program = this.engine.load(compile(graph, this.engine.target), this.store);
    this.programs.set(rows, program);
    return program;
  }
}

/** Probabilities of logits, in f64. */
export function softmaxOf(logits: ArrayLike<number>): number[] {
  const largest = Math.max(...Array.from(logits));
  const raised = Array.from(logits, (logit) => Math.exp(logit - largest));
  const total = raised.reduce((sum, value) => sum + value, 0);
  return raised.map((value) => value / total);
}

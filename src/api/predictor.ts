// Prediction: rows in, model outputs out, through programs of a few fixed batch sizes over one store.
import { type DType, type HostArray, type Shape, sizeOf } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { type Tensor, trace, variable } from "../core/index.ts";
import type { Engine, Program, Store } from "../engine/index.ts";
import { functionalCall, type Module } from "../nn/index.ts";

export type RowInputs = { readonly [name: string]: { readonly dtype: DType; readonly shape: Shape } };

const batchSizes = [1, 16, 256] as const;

export class Predictor {
  private readonly module: Module;
  private readonly inputs: RowInputs;
  private readonly engine: Engine;
  private readonly store: Store;
  private readonly programs = new Map<number, Program>();

  constructor(options: { module: Module; inputs: RowInputs; engine: Engine; store: Store }) {
    this.module = options.module;
    this.inputs = options.inputs;
    this.engine = options.engine;
    this.store = options.store;
  }

  /** Outputs of `rows` rows, row after row. `features` holds each input's rows, dense. */
  async run(features: { readonly [name: string]: HostArray["data"] }, rows: number): Promise<Float32Array[]> {
    const outputs: Float32Array[] = [];
    for (let at = 0; at < rows; ) {
      const size = batchSizes.findLast((candidate) => candidate <= rows - at)!;
      const feeds = Object.fromEntries(
        Object.entries(this.inputs).map(([name, { dtype, shape }]) => {
          const width = sizeOf(shape);
          const data = features[name]!.subarray(at * width, (at + size) * width) as HostArray["data"];
          return [name, { dtype, shape: [size, ...shape], data }];
        }),
      );
      const [result] = await this.engine.run([{ program: this.program(size), feeds }]);
      const { data, shape } = result!.outputs.result!;
      const width = sizeOf(shape.slice(1));
      for (let row = 0; row < size; row++)
        outputs.push(Float32Array.from(data.subarray(row * width, (row + 1) * width) as Float32Array));
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
    const graph = trace(types, (feeds: { [name: string]: Tensor }) => {
      const parameters = new Map(
        [...this.module.parameters()].map(([name, { shape, dtype }]) => [name, variable(name, dtype ?? "f32", shape)]),
      );
      return functionalCall(this.module, parameters, () => this.module.forward(...Object.values(feeds)) as Tensor);
    });
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

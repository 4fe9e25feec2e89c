// Embedding: one learned row per id.
import { matmulOf, type Tensor, take } from "../core/index.ts";
import type { Init } from "./init.ts";
import { call, Module, within } from "./module.ts";
import { Parameter } from "./parameter.ts";
import type { QuantizedWeight } from "./quantized-weight.ts";

/** Rows of a table by id: i32 (…) → (…, width). An id outside of the table is an error of the run. */
export class Embedding extends Module {
  /** [rows, width]; in int8 where `quantizeVocabulary` was asked for it. */
  weight: Parameter | QuantizedWeight;

  /** `init` defaults to a normal distribution of standard deviation 0.02. */
  constructor(rows: number, width: number, options: { init?: Init } = {}) {
    super();
    this.weight = new Parameter([rows, width], { init: options.init ?? { name: "normal", std: 0.02 } });
  }

  forward(ids: Tensor): Tensor {
    const { weight } = this;
    return weight instanceof Parameter ? take(weight.tensor, ids) : within(weight, () => weight.rows(ids));
  }

  /** All rows. */
  get table(): Tensor {
    const { weight } = this;
    return weight instanceof Parameter ? weight.tensor : within(weight, () => weight.rows());
  }

  /** Scores of every row against x: (…, width) → (…, rows). The output head of a model whose embeddings are tied. */
  attend(x: Tensor): Tensor {
    const { weight } = this;
    if (!(weight instanceof Parameter)) return call(weight, x);
    const [rows, width] = weight.shape as [number, number];
    return matmulOf(x.reshape(-1, width), weight.tensor, false, true).reshape(...x.shape.slice(0, -1), rows);
  }
}

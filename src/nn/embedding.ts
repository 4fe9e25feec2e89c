// Embedding: one learned row per id.
import { matmulOf, type Tensor, take } from "../core/index.ts";
import type { Init } from "./init.ts";
import { Module } from "./module.ts";
import { Parameter } from "./parameter.ts";

/** Rows of a table by id: i32 (…) → (…, width). An id outside of the table is an error of the run. */
export class Embedding extends Module {
  readonly weight: Parameter;

  /** `init` defaults to a normal distribution of standard deviation 0.02. */
  constructor(rows: number, width: number, options: { init?: Init } = {}) {
    super();
    this.weight = new Parameter([rows, width], { init: options.init ?? { name: "normal", std: 0.02 } });
  }

  forward(ids: Tensor): Tensor {
    return take(this.weight.tensor, ids);
  }

  /** Scores of every row against x: (…, width) → (…, rows). The output head of a model whose embeddings are tied. */
  attend(x: Tensor): Tensor {
    const [rows, width] = this.weight.shape as [number, number];
    return matmulOf(x.reshape(-1, width), this.weight.tensor, false, true).reshape(...x.shape.slice(0, -1), rows);
  }
}

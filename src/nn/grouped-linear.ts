// Rows by the linear layer of their group, as the experts of a mixture are many: whole weights or such in few bits, with adapters or without.
import { concat, groupedMatmul, groupedQuantizedMatmul, ones, type Tensor, take } from "../core/index.ts";
import { type Dropout, randomInputs } from "./dropout.ts";
import type { Linear } from "./linear.ts";
import { call, within } from "./module.ts";
import { Parameter } from "./parameter.ts";
import type { QuantizedWeight } from "./quantized-weight.ts";

/** R rows that were sorted by group. */
export interface Groups {
  /** (groups + 1) */
  readonly offsets: Tensor;
  /** Group of each row, i32 (R). */
  readonly ids: Tensor;
  /** Where each row stood before, i32 (R). */
  readonly from: Tensor;
  /** Rows of the batch. */
  readonly batch: number;
}

const kindOf = ({ weight, bias, lora }: Linear): string =>
  JSON.stringify([
    weight instanceof Parameter ? "whole" : weight.format,
    bias !== undefined,
    lora && [lora.A.shape, lora.scale, lora.dropout.rate, lora.A0 !== undefined, lora.magnitude !== undefined],
  ]);

/** Whether `groupedLinear` can take these layers: without biases, their weights kept in one way, their adapters of one kind. */
export const areAlike = (layers: readonly Linear[]): boolean =>
  layers[0]!.bias === undefined && new Set(layers.map(kindOf)).size === 1;

/** Rows (R, inputs), sorted by group, each through the layer of its group: (R, outputs). */
export function groupedLinear(x: Tensor, groups: Groups, layers: readonly Linear[]): Tensor {
  const { offsets } = groups;
  const weights = layers.map(({ weight }) => weight);
  const isWhole = (weight: Parameter | QuantizedWeight) => weight instanceof Parameter;
  const whole = weights.filter(isWhole);
  const product =
    whole.length > 0
      ? groupedMatmul(
          x,
          offsets,
          whole.map(({ tensor }) => tensor),
        )
      : groupedQuantizedMatmul(
          x,
          offsets,
          (weights as QuantizedWeight[]).map(({ parts }) => parts),
        );
  const loras = layers.flatMap(({ lora }) => lora ?? []);
  const [first] = loras;
  if (first === undefined) return product;
  const by = (rows: Tensor, name: "A" | "B" | "A0" | "B0") =>
    groupedMatmul(
      rows,
      offsets,
      loras.map((lora) => lora[name]!.tensor),
    );
  const entered = within(first, () => dropped(x, groups, first.dropout));
  const narrow = by(by(entered, "A"), "B");
  const change = first.A0 === undefined ? narrow : narrow.sub(by(by(entered, "A0"), "B0"));
  const sum = product.add(change.mul(first.scale));
  if (first.magnitude === undefined || whole.length === 0) return sum;
  const factors = loras.map((lora, at) => lora.factors(whole[at]!.tensor).reshape(1, -1));
  return sum.mul(take(concat(factors), groups.ids));
}

/** Rows with the mask that each has where it stood before: how they are sorted changes none. */
function dropped(x: Tensor, { from, batch }: Groups, dropout: Dropout): Tensor {
  if (randomInputs(dropout.rate) === undefined) return x;
  const [rows, width] = x.shape as [number, number];
  const mask = call(dropout, ones([batch, rows / batch, width], x.dtype));
  return x.mul(take(mask.reshape(rows, width), from));
}

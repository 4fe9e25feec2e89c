// The task of a reward model: of two texts that begin alike, the chosen one gets the higher score (Bradley & Terry 1952).
import { z } from "zod";
import { fail, type HostArray } from "../base/index.ts";
import { type Tensor, where } from "../core/index.ts";
import type { Batch, Dataset } from "../data/index.ts";
import { bradleyTerryLoss, type Module } from "../nn/index.ts";
import type { Task } from "../train/index.ts";
import type { PairDataset } from "./preference-data.ts";

export const rewardSchemas = { bradleyTerry: z.strictObject({}) };

const sides = ["chosen", "rejected"] as const;

/** Texts of up to `width` tokens: `chosen` and `rejected` i32 [B, width], −1 behind a text's end; `targets` i32 [B], −1 for a row that fills up a batch. */
export function rewardTask(width: number): Task {
  return {
    name: "regression",
    itemsPerRow: 1,
    feeds: (rows) => {
      const texts = { dtype: "i32", shape: [rows, width] } as const;
      return { chosen: texts, rejected: texts, targets: { dtype: "i32", shape: [rows] } };
    },
    loss: (model, { chosen, rejected, targets }) => {
      const [good, bad] = [scores(model, chosen!), scores(model, rejected!)];
      const counted = targets!.notEqual(-1);
      const sum = (x: Tensor) => where(counted, x, 0).sum();
      const margin = good.sub(bad);
      return {
        sum: sum(bradleyTerryLoss(good, bad, { reduction: "none" })),
        count: counted.cast(good.dtype).sum(),
        extra: { correct: sum(margin.greater(0).cast(good.dtype)), margin: sum(margin) },
      };
    },
  };
}

/** Scores (B) of texts i32 (B, T). Errors with `shape/scores`. */
function scores(model: Module, tokens: Tensor): Tensor {
  const output = model.forward(tokens) as Tensor;
  if (output.rank === 2 && output.shape[1] === 1) return output.reshape(-1);
  return fail("shape/scores", "a reward model gives one number for a text", {
    where: model.constructor.name,
    expected: `[${tokens.shape[0]},1]`,
    got: output.toString(),
    fix: "use a model for regression",
  });
}

/** The whole texts of pairs, as a reward model reads them. */
export function wholeTexts(pairs: PairDataset, width: number): Dataset<Batch> {
  return {
    unit: pairs.unit,
    length: pairs.length,
    fingerprint: `${pairs.fingerprint}/texts`,
    collate: (positions) => {
      const batch: Batch = {
        targets: { dtype: "i32", shape: [positions.length], data: new Int32Array(positions.length) },
      };
      for (const side of sides) batch[side] = textRows(pairs, side, positions, width);
      return batch;
    },
  };
}

function textRows(pairs: PairDataset, side: string, positions: readonly number[], width: number): HostArray {
  const data = new Int32Array(positions.length * width).fill(-1);
  pairs.completionsOf(side, positions).forEach(({ prompt, completion }, row) => {
    data.set(prompt, row * width);
    data.set(completion, row * width + prompt.length);
  });
  return { dtype: "i32", shape: [positions.length, width], data };
}

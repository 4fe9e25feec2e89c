// The task of learning from pairs: what is fed of a pair, its loss, and how often the chosen completion is the likelier one.
import type { DType, FloatDType, Shape } from "../base/index.ts";
import { type Tensor, where, zeros } from "../core/index.ts";
import type { Module } from "../nn/index.ts";
import type { Task } from "../train/index.ts";
import { completionLogProbs } from "./completions.ts";
import type { PreferenceMethod } from "./preference-methods.ts";

/** The completions of a pair that a method looks at. */
export const sidesOf = ({ hasMismatched }: Pick<PreferenceMethod, "hasMismatched">): readonly string[] =>
  hasMismatched ? ["chosen", "rejected", "mismatched"] : ["chosen", "rejected"];

/**
 * Pairs of completions of up to `width` positions. Feeds per side: `chosen.tokens` and `chosen.targets` i32 [B, width], and what the
 * reference thinks of it, `chosen.reference` [B]. `targets` i32 [B] is −1 for a row that fills up a batch.
 */
export function preferenceTask(method: PreferenceMethod, width: number, dtype: FloatDType): Task {
  const sides = sidesOf(method);
  return {
    name: "language-model",
    itemsPerRow: 1,
    inNats: false,
    feeds: (rows) => {
      const feeds: Record<string, { dtype: DType; shape: Shape }> = { targets: { dtype: "i32", shape: [rows] } };
      for (const side of sides) {
        feeds[`${side}.tokens`] = { dtype: "i32", shape: [rows, width] };
        feeds[`${side}.targets`] = { dtype: "i32", shape: [rows, width] };
        if (method.hasReference) feeds[`${side}.reference`] = { dtype, shape: [rows] };
      }
      return feeds;
    },
    loss: (model: Module, feeds) => {
      const policy = (side: string) =>
        completionLogProbs(model, feeds[`${side}.tokens`]!, feeds[`${side}.targets`]!, method.perToken);
      const [chosen, rejected, others] = sides.map(policy) as [Tensor, Tensor, Tensor?];
      const none = zeros(chosen.shape, chosen.dtype);
      const reference = (side: string) => feeds[`${side}.reference`] ?? none;
      const [referenceChosen, referenceRejected] = [reference("chosen"), reference("rejected")];
      const mismatched = others === undefined ? {} : { mismatched: others.sub(reference("mismatched")) };
      const losses = method.loss({ chosen, rejected, referenceChosen, referenceRejected, ...mismatched });
      const counted = feeds.targets!.notEqual(-1);
      // the reward that the method implies: β·log(π / π_ref), or β·log π
      const margin = chosen.sub(referenceChosen).sub(rejected.sub(referenceRejected)).mul(method.beta);
      const sum = (x: Tensor) => where(counted, x, 0).sum();
      return {
        sum: sum(losses),
        count: counted.cast(losses.dtype).sum(),
        extra: { correct: sum(margin.greater(0).cast(losses.dtype)), margin: sum(margin) },
      };
    },
  };
}

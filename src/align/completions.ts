// A prompt and what follows it as one row of tokens, of which the loss counts the completion alone; and the log-probability of that
// completion. No pairs, no rewards.
import { fail, type HostArray } from "../base/index.ts";
import { crossEntropy, type Tensor } from "../core/index.ts";
import type { Module } from "../nn/index.ts";

/** A prompt's tokens and those that follow it. */
export interface Completion {
  readonly prompt: ArrayLike<number>;
  readonly completion: ArrayLike<number>;
}

/** Positions that a row needs: its last token is a target alone. */
export const positionsOf = ({ prompt, completion }: Completion): number => prompt.length + completion.length - 1;

/** Completions as `tokens` and `targets`, i32 [B, width]: targets are −1 outside the completion, tokens behind it 0. */
export function completionRows(rows: readonly Completion[], width: number): { tokens: HostArray; targets: HostArray } {
  const tokens = new Int32Array(rows.length * width);
  const targets = new Int32Array(rows.length * width).fill(-1);
  rows.forEach(({ prompt, completion }, row) => {
    const ids = [...Array.from(prompt), ...Array.from(completion)];
    for (let at = 0; at < ids.length - 1; at++) {
      tokens[row * width + at] = ids[at]!;
      if (at + 1 >= prompt.length) targets[row * width + at] = ids[at + 1]!;
    }
  });
  const shape = [rows.length, width];
  return { tokens: { dtype: "i32", shape, data: tokens }, targets: { dtype: "i32", shape, data: targets } };
}

/**
 * Log-probability of each target (B, T) at a temperature, 0 where it is −1: tokens and targets i32 (B, T). Errors with
 * `train/model-output`.
 */
export function tokenLogProbs(model: Module, tokens: Tensor, targets: Tensor, temperature = 1): Tensor {
  const logits = model.forward(tokens); // (B, T, V)
  if (typeof logits !== "object" || logits === null || !("graph" in logits))
    fail("train/model-output", "forward did not return a Tensor", {
      where: model.constructor.name,
      expected: "logits (B, T, V)",
      got: typeof logits,
      fix: "use a language model",
    });
  const scores = temperature === 1 ? (logits as Tensor) : (logits as Tensor).mul(1 / temperature);
  return crossEntropy(scores.reshape(-1, scores.shape.at(-1)!), targets.reshape(-1), -1)
    .neg()
    .reshape(...targets.shape);
}

/** Of whole completions (B): the sum over their tokens, or the mean. */
export function completionLogProbs(model: Module, tokens: Tensor, targets: Tensor, perToken: boolean): Tensor {
  const sums = tokenLogProbs(model, tokens, targets).sum({ axis: -1 });
  return perToken ? sums.div(targets.notEqual(-1).cast(sums.dtype).sum({ axis: -1 }).maximum(1)) : sums;
}

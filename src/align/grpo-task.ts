// The task of learning from rewards (GRPO, Shao et al. 2024): completions that the model itself wrote, each with its advantage over those
// that it wrote for the same prompt.
import { z } from "zod";
import type { DType, FloatDType, Shape } from "../base/index.ts";
import { currentTrace, stopGradient, type Tensor, where, zeros } from "../core/index.ts";
import { grpoLoss, type Module } from "../nn/index.ts";
import type { Task } from "../train/index.ts";
import { tokenLogProbs } from "./completions.ts";

/** What a completion is worth; `row` is the prompt's whole row. The same arguments must give the same number. */
export type Reward = (
  prompt: string,
  completion: string,
  row: { readonly [column: string]: unknown },
) => number | Promise<number>;

const positive = z.number().int().positive();

export const grpoSchema = z.strictObject({
  reward: z
    .union([
      z.string().regex(/\.[mc]?[tj]s$/),
      z.custom<Reward>((value) => typeof value === "function", "expected a function, or a module's path"),
    ])
    .optional()
    .describe("module that exports reward(prompt, completion, row), a number; from code the function itself"),
  group: positive.min(2).default(8).describe("completions of one prompt, which are compared"),
  beta: z
    .number()
    .min(0)
    .default(0.04)
    .describe("what the divergence from the reference counts; 0: no reference is kept"),
  clip: z
    .number()
    .gt(0)
    .lt(1)
    .default(0.2)
    .describe("how far a token's probability may move from where it was sampled and still be rewarded"),
  updates: positive.default(1).describe("steps on the same completions"),
  scale: z
    .enum(["std", "none"])
    .default("std")
    .describe("what advantages are divided by: the group's deviation, or nothing"),
  maxTokens: positive.default(64).describe("tokens of a completion at most"),
  temperature: z.number().positive().default(1).describe("of sampling, and of the probabilities that are learnt"),
  end: z.string().min(1).default("\n").describe("text of the token that ends a completion, which is learnt too"),
});

export type GrpoSettings = z.output<typeof grpoSchema>;

/** Advantages of one group: rewards less their mean, over their deviation where that is asked for; 0 where all are alike. */
export function groupAdvantages(rewards: readonly number[], scale: GrpoSettings["scale"]): number[] {
  const mean = rewards.reduce((sum, one) => sum + one, 0) / rewards.length;
  const spread = Math.sqrt(rewards.reduce((sum, one) => sum + (one - mean) ** 2, 0) / rewards.length);
  return rewards.map((one) => (scale === "std" ? (one - mean) / (spread + 1e-4) : one - mean));
}

/**
 * Completions of up to `width` positions: `tokens` and `targets` i32 [B, width], `rewards` and `advantages` [B]; `old` [B, width] where
 * several steps see them, `reference` [B, width] where there is one. The loss is a completion's mean over its tokens. What is told as the
 * loss is minus the mean reward, in training too: the value of the clipped objective itself says nothing.
 */
export function grpoTask(
  { beta, clip, updates, temperature }: Pick<GrpoSettings, "beta" | "clip" | "updates" | "temperature">,
  width: number,
  dtype: FloatDType,
): Task {
  return {
    name: "language-model",
    itemsPerRow: 1,
    inNats: false,
    feeds: (rows) => {
      const [ids, floats] = [
        { dtype: "i32", shape: [rows, width] },
        { dtype, shape: [rows, width] },
      ] as const;
      const row = { dtype, shape: [rows] };
      const feeds: Record<string, { dtype: DType; shape: Shape }> = { tokens: ids, targets: ids };
      if (updates > 1) feeds.old = floats;
      if (beta > 0) feeds.reference = floats;
      return { ...feeds, rewards: row, advantages: row };
    },
    loss: (model: Module, { tokens, targets, old, reference, rewards, advantages }) => {
      const isToken = targets!.notEqual(-1); // (B, T)
      const lengths = isToken.cast(dtype).sum({ axis: -1 }); // (B)
      const counted = lengths.greater(0);
      const sum = (x: Tensor) => where(counted, x, 0).sum();
      const [count, reward] = [counted.cast(dtype).sum(), sum(rewards!)];
      const perRow = (x: Tensor) => x.sum({ axis: -1 }).div(lengths.maximum(1));
      const isTraining = currentTrace().mode === "train";
      const extra = { reward, length: lengths.sum() };
      if (!isTraining && reference === undefined) return { sum: reward.neg(), count, extra };
      const policy = tokenLogProbs(model, tokens!, targets!, temperature);
      const [before, held] = [old ?? stopGradient(policy), reference ?? stopGradient(policy)];
      const options = { mask: isToken, reduction: "none" } as const;
      const none = zeros(policy.shape, policy.dtype);
      if (!isTraining) {
        const divergence = grpoLoss(policy, policy, held, none, { ...options, beta: 1 });
        return { sum: reward.neg(), count, extra: { ...extra, kl: sum(perRow(divergence)) } };
      }
      const advantage = none.add(advantages!.reshape(-1, 1));
      const objective = sum(perRow(grpoLoss(policy, before, held, advantage, { ...options, beta, clip })));
      return { sum: objective.sub(stopGradient(objective)).sub(reward), count, extra };
    },
  };
}

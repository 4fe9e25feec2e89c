// grpo(): learning from rewards in one call.
import type { GrpoSettings, Reward } from "../align/index.ts";
import type { RecipeInput } from "../recipe/index.ts";
import { type Training, train } from "./train.ts";
import type { TrainOptions } from "./training-run.ts";

/** A recipe whose loss is GRPO with this reward; its settings are those of `loss.grpo`. */
export interface GrpoInput extends Omit<RecipeInput, "loss"> {
  readonly reward: Reward;
  readonly grpo?: Partial<Omit<GrpoSettings, "reward">>;
}

/**
 * Trains a language model on completions that it writes itself and `reward` judges (Shao et al. 2024).
 *
 * @example
 * ```ts
 * import { grpo } from "athanor";
 * const model = await grpo({
 *   data: { rows: [{ prompt: "2+2=", sum: "4" }, { prompt: "1+2=", sum: "3" }], heldOut: 0.5 },
 *   tokenizer: "char",
 *   model: { gpt: { layers: 2, heads: 2, width: 32, context: 16 } },
 *   reward: (_prompt, completion, row) => (completion === row.sum ? 1 : 0),
 *   grpo: { group: 8, maxTokens: 4 },
 *   batch: 64,
 * }, { initFrom: "runs/latest" });
 * ```
 */
export function grpo({ reward, grpo: settings, ...recipe }: GrpoInput, options: TrainOptions = {}): Training {
  return train({ ...recipe, loss: { grpo: { ...settings, reward } } }, options);
}

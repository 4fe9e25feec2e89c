// Learning to add from a reward that checks the sum (GRPO): the model that begins has seen sums of which two in five are right.
//   athanor train recipes/language/sums.ts --run-dir runs/sums
//   athanor train recipes/language/grpo-arithmetic.ts --init-from runs/sums
// Measured: of the completions sampled in a step 34 % are right at the first and 57 % at the 200th, 512 completions a step; of ten held-out
// sums, of which the likeliest answer counts, 2 at step 50 and 3 at step 200. 0.7 s a step on two cores that others used too.
import type { RecipeInput } from "athanor";

const digits = Array.from({ length: 10 }, (_, digit) => digit);

export const reward = (_prompt: string, completion: string, row: { readonly [column: string]: unknown }): number =>
  completion === row.sum ? 1 : 0;

export const recipe: RecipeInput = {
  name: "grpo-arithmetic",
  data: { rows: digits.flatMap((a) => digits.map((b) => ({ prompt: `${a}+${b}=`, sum: String(a + b) }))) },
  tokenizer: "char",
  model: { gpt: { layers: 2, heads: 4, width: 64, context: 8 } },
  loss: { grpo: { reward, group: 16, maxTokens: 3, beta: 0.01 } },
  optimizer: { adamw: { lr: 3e-4, clip: 1 } },
  batch: 512,
  steps: 200,
  eval: { every: 50 },
  checkpoint: { every: 50 },
};

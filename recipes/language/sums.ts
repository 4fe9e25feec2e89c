// A text of sums of two digits, of which only two in five are right: what recipes/language/grpo-arithmetic.ts begins with.
//   athanor train recipes/language/sums.ts --run-dir runs/sums
import { RandomStream, type RecipeInput } from "athanor";

const random = new RandomStream(1, "sums");
const lines = Array.from({ length: 4000 }, (_, at) => {
  const [a, b] = [random.below(10, 0, at), random.below(10, 1, at)];
  return `${a}+${b}=${random.uniform(2, at) < 0.4 ? a + b : random.below(19, 3, at)}\n`;
});

export const recipe: RecipeInput = {
  name: "sums",
  data: { rows: [lines.join("")] },
  tokenizer: "char",
  model: { gpt: { layers: 2, heads: 4, width: 64, context: 8 } },
  optimizer: { adamw: { lr: 3e-3, clip: 1 } },
  batch: 128,
  steps: 1000,
  eval: { every: 500 },
  checkpoint: { every: 0 },
};

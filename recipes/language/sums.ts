// A model that adds two numbers below 100, not well yet: trained on three in ten of the sums, written out. What recipes/language/grpo-arithmetic.ts
// begins with; what it measured stands there.
//   athanor train recipes/language/sums.ts --run-dir runs/sums
import { RandomStream, type RecipeInput } from "athanor";

const random = new RandomStream(1, "sums");

/** All 10,000 sums in a random order, as prompts with their answers: the first 3,000 are written out, the last 1,000 test. */
export const sums = Array.from({ length: 10_000 }, (_, at) => ({ a: Math.floor(at / 100), b: at % 100, at }))
  .sort((one, other) => random.uniform(one.at) - random.uniform(other.at))
  .map(({ a, b }) => ({ prompt: `${a}+${b}=`, answer: String(a + b) }));

export const model = { llama: { layers: 2, heads: 4, width: 96, context: 24, tiedHead: true } };

const lines = sums.slice(0, 3000).map(({ prompt, answer }) => `${prompt}${answer}\n`);

export const recipe: RecipeInput = {
  name: "sums",
  data: { rows: [lines.join("")] },
  tokenizer: "char",
  model,
  optimizer: { adamw: { lr: { cosine: { peak: 3e-3, warmup: 50 } }, weightDecay: 0.1, clip: 1 } },
  batch: 64,
  steps: 1000,
  eval: { every: 250 },
  checkpoint: { every: 0 },
};

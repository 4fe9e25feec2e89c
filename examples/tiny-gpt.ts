// A GPT that learns to count, from an array of texts.
import { train } from "athanor";

const rows = Array.from({ length: 400 }, (_, n) => `${n}, ${n + 1}, ${n + 2}, ${n + 3}\n`);
const training = train({
  data: { rows },
  model: { gpt: { layers: 2, heads: 4, width: 64, context: 32 } },
  optimizer: { adamw: { lr: 3e-3 } },
  batch: { size: 16 },
  steps: Number(process.env.STEPS ?? 800),
});
for await (const event of training) if (event.type === "eval") console.log(event.step, event.loss);
const model = await training;
console.log((await model.generate("\n41, ", { maxTokens: 12, temperature: 0 })).text);

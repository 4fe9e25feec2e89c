// Writes folders in the layout of Hugging Face with the built package, models of a seed that were never trained: what exports.py has
// Transformers load, and what a test writes again and compares.  node test/golden/exports.mjs FOLDER
import { join } from "node:path";
import { train } from "../../dist/index.js";

const folder = process.argv[2];
const words =
  "to be or not that is the question whether tis nobler in mind suffer slings and arrows of outrageous fortune".split(
    " ",
  );
/** Rows of words, drawn by a multiplication: no two alike. */
const texts = Array.from({ length: 60 }, (_, row) =>
  Array.from({ length: 12 }, (_, at) => words[(row * 7919 + at * 104_729 + row * at) % words.length]).join(" "),
);
const pairs = texts.map((from) => ({ from, to: from.split(" ").reverse().join(" ") }));
const small = { layers: 2, width: 24, context: 16 };
const started = [{ select: ["*"], as: { normal: { std: 0.4 } } }];

const asked = { data: { rows: pairs, text: "from", target: "to" }, tokenizer: { unigram: 60 } };
const seq = {
  layers: 2,
  heads: 3,
  headWidth: 8,
  hidden: 40,
  width: 24,
  context: 24,
  targetContext: 24,
  start: 0,
  end: 1,
};

const recipes = {
  gpt2: {
    data: { rows: texts },
    tokenizer: { bpe: 300, specialTokens: ["<|endoftext|>"] },
    model: { gpt: { ...small, heads: 3, bias: true } },
  },
  llama: {
    data: { rows: texts },
    tokenizer: { bpe: { vocab: 300, split: "cl100k" }, specialTokens: ["<|endoftext|>"] },
    model: { llama: { ...small, heads: 4, keyValueHeads: 2, hidden: 40 } },
  },
  qwen3_moe: {
    data: { rows: texts },
    tokenizer: { bpe: { vocab: 300, split: "cl100k" }, specialTokens: ["<|endoftext|>"] },
    model: {
      llama: {
        ...small,
        heads: 4,
        keyValueHeads: 2,
        hidden: 16,
        headNorm: true,
        experts: { count: 3, normalized: false },
      },
    },
  },
  t5: { ...asked, model: { t5: seq } },
  "t5 1.1": {
    ...asked,
    model: { t5: { ...seq, gated: true, activation: "geluTanh", tiedHead: false, scaledHead: false } },
  },
  bert: {
    data: { rows: texts, task: "masked-language-model" },
    tokenizer: { wordpiece: 80 },
    model: { bert: { ...small, heads: 3, hidden: 40 } },
  },
};

for (const [name, recipe] of Object.entries(recipes)) {
  const model = await train(
    { ...recipe, init: started, batch: { size: 2 }, steps: 0, seed: 5, eval: { every: 0 } },
    { runDir: join(folder, "runs", name) },
  );
  await model.save(join(folder, name), { layout: "huggingface", shardBytes: 2 ** 13 });
}

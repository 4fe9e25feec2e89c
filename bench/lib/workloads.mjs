// What is timed: the shapes of training steps, of matrix products and of sweeps, the same for every system. Starts nothing.

const gpt = (vocab, context, layers, heads, width, batch) => ({
  model: "gpt",
  vocab,
  context,
  layers,
  heads,
  width,
  batch,
});

/** Training steps by name. `precisions` are those that mean something at that size. */
export const workloads = [
  { name: "c1", title: "GPT 6×384, context 256, batch 8", shape: gpt(65, 256, 6, 6, 384, 8) },
  { name: "c2", title: "GPT 4×128, context 64, batch 12", shape: gpt(65, 64, 4, 4, 128, 12) },
  { name: "c3", title: "GPT 4×256, vocabulary 50,304, context 256, batch 4", shape: gpt(50304, 256, 4, 4, 256, 4) },
  { name: "gpt2-256", title: "GPT-2 124M, context 256, batch 1", shape: gpt(50257, 256, 12, 12, 768, 1), large: true },
  {
    name: "gpt2-1024",
    title: "GPT-2 124M, context 1024, batch 1",
    shape: gpt(50257, 1024, 12, 12, 768, 1),
    large: true,
  },
  { name: "mlp-128", title: "MLP 784-512-256-10, batch 128", shape: mlp(128) },
  { name: "mlp-32", title: "MLP 784-512-256-10, batch 32", shape: mlp(32) },
  {
    name: "logreg",
    title: "logistic regression, 100 features, batch 256",
    shape: { model: "logreg", layers: 0, heads: 1, width: 1, context: 100, batch: 256, vocab: 2 },
    precisions: ["f32"],
  },
  {
    name: "bert",
    title: "BERT-base, context 128, batch 8",
    shape: { model: "bert", layers: 12, heads: 12, width: 768, context: 128, batch: 8, vocab: 30522 },
    large: true,
  },
  {
    name: "lstm",
    title: "LSTM 512, context 128, batch 16",
    shape: { model: "lstm", layers: 1, heads: 1, width: 512, context: 128, batch: 16, vocab: 65 },
  },
].map((workload) => ({ precisions: ["f32", "bf16"], large: false, ...workload }));

function mlp(batch) {
  return { model: "mlp", layers: 2, heads: 1, width: 512, context: 784, batch, vocab: 10 };
}

/** Products (m × n)·(n × n): squares, then few rows, where packing the second operand can cost more than multiplying. */
export const products = [
  ...[128, 256, 384, 512, 768, 1024, 1536, 2048].map((n) => [n, n]),
  ...[1, 4, 8, 16, 32, 64].map((m) => [m, 1024]),
];

/** Optimizers whose updates are timed alone, over more numbers than a cache holds; the norm is clipped at 1. */
export const updates = {
  matrices: { width: 2048, layers: 4 },
  optimizers: {
    sgd: { sgd: { clip: 1 } },
    momentum: { sgd: { clip: 1, momentum: 0.9 } },
    adam: { adam: { clip: 1 } },
    adamw: { adamw: { clip: 1 } },
    lion: { lion: { clip: 1 } },
    adagrad: { adagrad: { clip: 1 } },
    rmsprop: { rmsprop: { clip: 1 } },
    adafactor: { adafactor: { clip: 1 } },
  },
};

/** What the scaling laws vary from: small enough that the longest sweep ends, large enough that products dominate. */
export const sweepBase = { model: "gpt", layers: 4, heads: 4, width: 256, context: 128, batch: 8, vocab: 512 };

/** One dimension each, with its points, and why time and memory grow as they do. */
export const sweeps = [
  {
    name: "width",
    points: [64, 128, 256, 384, 512, 768],
    why: "Matrices hold 12·width² numbers per block, so time and states tend to width²; what is linear in the width (norms, GELU, attention, the activations themselves) pulls both exponents below 2 while the model is narrow.",
  },
  {
    name: "layers",
    points: [1, 2, 4, 6, 8, 12],
    why: "Blocks are alike and run one after the other: both are linear, above a constant that embedding, head and loss cost once.",
  },
  {
    name: "context",
    points: [32, 64, 128, 256, 512, 1024],
    why: "Work per token is constant but for attention, which looks at T/2 tokens: time is linear with a quadratic part that begins to show at long contexts; no T×T matrix is kept, so activations are linear, above the constant of the weights and their states.",
  },
  {
    name: "batch",
    points: [1, 2, 4, 8, 16, 32],
    why: "Rows are independent: time is linear above the constant of the update, which reads every weight once per step whatever the batch; activations are linear above the constant of the weights.",
  },
  {
    name: "vocab",
    points: [256, 1024, 4096, 16384, 50304],
    why: "The head's product and the embedding's update are linear in the vocabulary; the blocks do not know it and are the constant.",
  },
  {
    name: "threads",
    points: [1, 2, 4, 8],
    why: "Work is divided by the problem's size and taken by whichever thread is free: an exponent of −1 would be perfect, and what the memory or one thread alone must do brings it nearer to 0. Memory grows by a workspace per thread alone.",
  },
];

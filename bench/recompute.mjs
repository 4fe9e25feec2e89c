// What recomputation costs: steps of one GPT with nothing, with what is cheap, and with all recomputed, in turns. Planned memory and
// operations are counted, times are medians and bests. Not a comparison with others.
//
//   node bench/recompute.mjs [--layers 6] [--width 1024] [--context 1024] [--batch 2] [--vocab 8192] [--rounds 5] [--threads 2]
import { parseArgs } from "node:util";
import { loadNativeEngine } from "../dist/engine/index.js";
import { Gpt } from "../dist/models/index.js";
import { adamw } from "../dist/optim/index.js";
import { forecast, languageModelTask, StepGraphs, StepPrograms } from "../dist/train/index.js";

const defaults = { layers: 6, width: 1024, context: 1024, batch: 2, vocab: 8192, rounds: 5, threads: 2 };
const options = Object.fromEntries(Object.keys(defaults).map((name) => [name, { type: "string" }]));
const given = Object.entries(parseArgs({ options }).values).map(([name, value]) => [name, Number(value)]);
const { layers, width, context, batch, vocab, rounds, threads } = { ...defaults, ...Object.fromEntries(given) };

const { engine, reason } = loadNativeEngine({ threads });
if (engine === undefined) throw new Error(reason);
const description = {
  model: new Gpt({
    ...{ layers, width, context, vocab, heads: width / 64, dropout: 0.1, bias: true, normBias: true },
    ...{ activation: "geluTanh", tiedHead: true, eps: 1e-5 },
  }),
  task: languageModelTask(context),
  optimizer: adamw({ lr: 1e-4 }),
  ...{ batchSize: batch, lanes: 1, evalBatchSize: 1, dtype: "f32", seed: 1 },
};
const { choices } = new StepGraphs(description).compile(engine, { weigh: true });
const cheap = choices.findLast(({ extraFlops }) => extraFlops < 0.05);
const dear = choices.findLast(({ work }) => !work.includes("CrossEntropy"));
const runs = [choices[0], cheap, dear].map(({ peakBytes }) => {
  const graphs = new StepGraphs({ ...description, memoryBytes: peakBytes });
  const plans = graphs.compile(engine);
  const programs = new StepPrograms(graphs.description, engine, { graphs, plans });
  programs.initialize();
  return { programs, ...forecast(graphs, plans, engine), times: [] };
});
const data = Int32Array.from({ length: batch * context }, (_, at) => (at * 7919) % vocab);
const tokens = { dtype: "i32", shape: [batch, context], data };
const sampleIds = Int32Array.from({ length: batch }, (_, row) => row);
for (let step = 0; step <= rounds; step++) {
  for (const { programs, times } of runs) {
    const started = performance.now();
    await programs.step({ step, learningRate: 1e-4, batch: { tokens, targets: tokens }, sampleIds });
    if (step > 0) times.push(performance.now() - started);
  }
}
const median = (times) => times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)];
console.log("planned MiB   operations   median   best");
for (const { memory, flopsPerStep, times } of runs) {
  const ratios = [
    flopsPerStep / runs[0].flopsPerStep,
    median(times) / median(runs[0].times),
    Math.min(...times) / Math.min(...runs[0].times),
  ];
  console.log(String(Math.round(memory.total / 2 ** 20)).padStart(11), ...ratios.map((x) => x.toFixed(3).padStart(10)));
}

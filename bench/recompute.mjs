// What keeping within a budget of memory costs: steps of one GPT with nothing recomputed, with what is cheap, and with all, in turns;
// or, with --budget, in that alone, with the resident peak of the process. Not a comparison with others.
import { readFileSync } from "node:fs";
import { parseBytes } from "../dist/base/index.js";
import { loadNativeEngine } from "../dist/engine/index.js";
import { Gpt } from "../dist/models/index.js";
import { adamw } from "../dist/optim/index.js";
import { requireRoom } from "../dist/study/index.js";
import { forecast, languageModelTask, StepGraphs, StepPrograms } from "../dist/train/index.js";
import { countOf, orRefuse, readFlags, refuse, wordOf } from "./lib/flags.mjs";
import { median } from "./lib/statistics.mjs";

const defaults = { layers: 6, width: 1024, context: 1024, batch: 2, lanes: 1, vocab: 8192, rounds: 5, threads: 2 };
const words = ["precision", "weights", "budget"];
const flags = readFlags(
  `node bench/recompute.mjs [${Object.entries(defaults)
    .map(([name, value]) => `--${name} ${value}`)
    .join("] [")}]
                         [--precision f32|bf16] [--weights f32|bf16] [--budget none|2.5GiB]`,
  Object.fromEntries([...Object.keys(defaults), ...words].map((name) => [name, { type: "string" }])),
);
const { layers, width, context, batch, lanes, vocab, rounds, threads } = Object.fromEntries(
  Object.entries(defaults).map(([name, value]) => [name, countOf(name, flags[name] ?? value)]),
);
if (width % 64 !== 0) refuse(`--width is a multiple of 64, the width of a head, not ${width}.`);
const [precision, weights] = ["precision", "weights"].map((name) =>
  wordOf(name, flags[name] ?? "f32", ["f32", "bf16"]),
);
const budget =
  flags.budget === undefined || flags.budget === "none" ? undefined : orRefuse(() => parseBytes(flags.budget));

const { engine, reason } = orRefuse(() => loadNativeEngine({ threads }));
if (engine === undefined) refuse(reason);
const description = {
  model: new Gpt({
    ...{ layers, width, context, vocab, heads: width / 64, dropout: 0.1, bias: true, normBias: true },
    ...{ activation: "geluTanh", tiedHead: true, eps: 1e-5 },
  }),
  task: languageModelTask(context),
  optimizer: adamw({ lr: 1e-4, clip: 1 }),
  ...{ batchSize: batch, lanes, evalBatchSize: 1, dtype: "f32", seed: 1 },
  ...{ storage: precision === "bf16" ? "bf16" : undefined, weights: weights === "bf16" ? "bf16" : undefined },
};

/** Peaks to try: the ends and the cheap part of what recomputation can do, or the one asked for. */
function budgets() {
  if (flags.budget !== undefined) return [budget];
  const { choices } = new StepGraphs(description).compile(engine, { weigh: true });
  const cheap = choices.findLast(({ extraFlops }) => extraFlops < 0.05);
  const dear = choices.findLast(({ work }) => !work.includes("CrossEntropy"));
  return [choices[0], cheap, dear].map(({ peakBytes }) => peakBytes);
}

/** The plans of each budget; all their memory is taken at once. */
function planned() {
  const all = budgets().map((memoryBytes) => {
    const graphs = new StepGraphs({ ...description, memoryBytes });
    const plans = graphs.compile(engine);
    return { graphs, plans, ...forecast(graphs, plans, engine), times: [] };
  });
  requireRoom(all.reduce((sum, { memory }) => sum + memory.total, 0));
  return all;
}

const runs = orRefuse(planned).map(({ graphs, plans, ...run }) => {
  const programs = new StepPrograms(graphs.description, engine, { graphs, plans });
  programs.initialize();
  return { programs, ...run };
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
console.log("planned MiB   operations   median   best   median ms");
for (const { memory, flopsPerStep, times } of runs) {
  const ratios = [
    flopsPerStep / runs[0].flopsPerStep,
    median(times) / median(runs[0].times),
    Math.min(...times) / Math.min(...runs[0].times),
  ].map((x) => x.toFixed(3).padStart(10));
  const planned = String(Math.round(memory.total / 2 ** 20)).padStart(11);
  console.log(planned, ...ratios, median(times).toFixed(0).padStart(10));
}
if (runs.length === 1 && process.platform === "linux") {
  const [, kibibytes] = /VmHWM:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"));
  console.log(`resident peak ${Math.round(kibibytes / 1024)} MiB`);
}

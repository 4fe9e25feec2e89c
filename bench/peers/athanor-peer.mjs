// Athanor as one of the systems that take turns: training steps, updates or matrix products, timed on request. See README.md.
//
//   node athanor-peer.mjs '{"model":"gpt",...}' [--precision bf16] [--threads N]
import { parseArgs } from "node:util";
import { chooseEngine, compile, fromNumbers, trace, variable, version } from "../../dist/index.js";
import * as study from "../../dist/study/index.js";
import { answer, measure, requests } from "./protocol.mjs";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { precision: { type: "string", default: "f32" }, threads: { type: "string" } },
});
const shape = JSON.parse(positionals[0]);
const { precision } = flags;
const threads = flags.threads === undefined ? undefined : Number(flags.threads);

/** (m, n)·(n, n), several times in a row in one run, as the products of a step are; gives ms per product when run. */
function prepareProduct(engine, m, n) {
  const count = Math.max(1, Math.min(16, Math.round(2e7 / (m * n * n))));
  const graph = trace({}, () => {
    const right = variable("right", precision, [n, n]).cast("f32");
    let product = variable("left", precision, [m, n]);
    // in f32: an engine that multiplies bf16 takes the casts away
    for (let at = 0; at < count; at++) product = product.cast("f32").matmul(right).cast(precision);
    return product.slice(0, 0, 1).cast("f32");
  });
  const store = engine.createStore();
  const program = engine.load(compile(graph, engine.target), store);
  // Of variance 1/n, so that a row of products neither grows nor fades into denormals.
  const numbers = (rows) =>
    Float32Array.from({ length: rows * n }, (_, i) => (((i * 7919) % 1000) / 500 - 1) * Math.sqrt(3 / n));
  store.write("left", fromNumbers(precision, [m, n], numbers(m)));
  store.write("right", fromNumbers(precision, [n, n], numbers(n)));
  return { count, run: () => engine.run([{ program, feeds: {} }]) };
}

async function serveProducts() {
  const { engine } = chooseEngine({ precision, engine: { name: "auto", threads: threads ?? "auto", isa: "auto" } });
  answer({ ready: true, version, engine: `${engine.name} ${engine.isa}`, threads: engine.threads });
  for await (const { products, seconds, least } of requests()) {
    const results = [];
    for (const [m, n] of products) {
      const { count, run } = prepareProduct(engine, m, n);
      await run();
      const { medianMs, bestMs } = await measure(run, seconds, least);
      results.push({ m, n, medianMs: medianMs / count, bestMs: bestMs / count });
    }
    answer({ products: results });
  }
}

async function serveSteps() {
  if (!(shape.model in study.stepSizes))
    throw new Error(`not there yet: athanor has no step of ${shape.model} to time`);
  const bench = new study.StepBench(shape, { precision, ...(threads === undefined ? {} : { threads }) });
  const firstStepMs = await bench.step();
  await bench.step();
  const { engine, flopsPerStep, itemsPerStep, numParameters, plannedBytes } = bench;
  const facts = { version, engine: `${engine.name} ${engine.isa}`, threads: engine.threads, parameters: numParameters };
  answer({ ready: true, firstStepMs, ...facts, flopsPerStep, itemsPerStep, plannedBytes });
  for await (const { seconds, least } of requests()) answer(await measure(() => bench.step(), seconds, least));
}

async function serveUpdates() {
  const bench = new study.UpdateBench(shape, threads === undefined ? {} : { threads });
  await bench.step();
  const { engine, leastBytes, numParameters } = bench;
  answer({ ready: true, version, engine: `${engine.name} ${engine.isa}`, parameters: numParameters, leastBytes });
  for await (const { seconds, least } of requests())
    answer({ ...(await measure(() => bench.step(), seconds, least)), memory: await bench.memoryBytesPerSecond() });
}

await (shape.model === "matmul" ? serveProducts() : shape.model === "update" ? serveUpdates() : serveSteps());
process.exit(0);

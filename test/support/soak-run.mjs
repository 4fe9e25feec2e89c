// A long run of small steps with evaluations, saves and samples that watches its own process. Prints one JSON line.
//   node --expose-gc soak-run.mjs '<recipe as JSON>' RUN_FOLDER
import { readdirSync, readFileSync } from "node:fs";

const { train } = await import(new URL("../../dist/index.js", import.meta.url));
const status = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync("/proc/self/status", "utf8"))[1]);
const recipe = JSON.parse(process.argv[2]);
const marks = [];
const times = new Float64Array(recipe.steps);
let before = performance.now();
const run = train(recipe, { runDir: process.argv[3] });
for await (const event of run) {
  if (event.type !== "step") continue;
  const now = performance.now();
  times[event.step - 1] = now - before;
  if (event.step % Math.floor(recipe.steps / 20) === 0) {
    globalThis.gc(); // growth is what stays, not what V8 has not yet collected
    const { heapUsed, external, arrayBuffers } = process.memoryUsage();
    marks.push({
      step: event.step,
      residentBytes: status("VmRSS") * 1024,
      heapBytes: heapUsed + external + arrayBuffers,
      files: readdirSync("/proc/self/fd").length,
      threads: status("Threads"),
    });
  }
  before = performance.now();
}
const { hash, loss, evalLoss } = await run.outcome;
times.sort();
const at = (share) => times[Math.floor((recipe.steps - 1) * share)];
console.log(
  JSON.stringify({
    marks,
    hash,
    loss,
    evalLoss,
    milliseconds: { p50: at(0.5), p99: at(0.99), most: at(1) },
  }),
);

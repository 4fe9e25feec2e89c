// A training run that measures itself, as a process of its own: peak memory, lateness of a timer, waiting for data. Prints one JSON line.
//   node measured-run.mjs '<recipe as JSON>' RUN_FOLDER
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

const { train } = await import(new URL("../../dist/index.js", import.meta.url));
const kilobytes = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync("/proc/self/status", "utf8"))[1]);

const recipe = JSON.parse(process.argv[2]);
const late = [];
let expected = performance.now() + 10;
const timer = setInterval(() => {
  const now = performance.now();
  late.push(Math.max(0, now - expected));
  expected = now + 10;
}, 10);
const delay = monitorEventLoopDelay({ resolution: 5 });

let plannedBytes = 0;
const run = train(recipe, { runDir: process.argv[3] });
for await (const event of run) {
  if (event.type === "start") {
    plannedBytes = event.peakBytes;
    late.length = 0; // what the data took is no part of training
    delay.enable();
  }
}
const { stall } = await run.outcome;
clearInterval(timer);
late.sort((a, b) => a - b);
const at = (share) => late[Math.min(late.length - 1, Math.floor(late.length * share))];
console.log(
  JSON.stringify({
    peakBytes: kilobytes("VmHWM") * 1024,
    plannedBytes,
    timerP99Ms: at(0.99),
    timerMaxMs: late.at(-1),
    stall,
  }),
);

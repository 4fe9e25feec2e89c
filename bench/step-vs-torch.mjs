// Whole training steps of Athanor beside PyTorch's, taking turns on one machine in one run. Writes a table for RESULTS.md.
//
//   npm run build && node bench/step-vs-torch.mjs [c1 c2 c3] [--rounds 5] [--python .venv/bin/python] [--peer="--compile"]
//
// --peer gives settings of bench/peers/torch_gpt.py, the best of a sweep on this machine; it may be repeated, and the fastest
// of them by median counts. Each round times every system once, for about as long as the other. CPU time (all threads, waiting in a
// spin included) is bent less by what else the machine does than the clock is.
import { spawn } from "node:child_process";
import { cpus, loadavg } from "node:os";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { measureMatmul } from "../dist/api/index.js";
import { StepBench, stepShapes } from "../dist/study/index.js";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "3" },
    python: { type: "string", default: ".venv/bin/python" },
    peer: { type: "string", multiple: true, default: ["--wait passive", "--wait passive --compile"] },
    json: { type: "boolean", default: false },
  },
});
const rounds = Number(flags.rounds);
const seconds = Number(flags.seconds);
const shapes = positionals.length > 0 ? positionals : ["c1", "c2", "c3"];
const script = fileURLToPath(new URL("peers/torch_gpt.py", import.meta.url));

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];
const fixed = (value, digits = 1) => value.toFixed(digits);

/** A prepared PyTorch step in a process of its own, timed whenever asked to. */
async function startPeer(shape, settings) {
  const words = settings.split(" ").filter(Boolean);
  const child = spawn(flags.python, [script, shape, "--interactive", ...words], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const read = async () => {
    const { value, done } = await lines.next();
    if (done) throw new Error(`${flags.python} ${script} ended: is PyTorch there? See bench/peers/README.md`);
    return JSON.parse(value);
  };
  await read();
  return {
    name: `PyTorch${settings === "" ? "" : ` ${settings}`}`,
    times: [],
    cpu: [],
    best: Number.POSITIVE_INFINITY,
    async round() {
      child.stdin.write(`${seconds}\n`);
      const { medianMs, bestMs, cpuMs, version } = await read();
      this.cpu.push(cpuMs);
      this.version = version;
      this.times.push(medianMs);
      this.best = Math.min(this.best, bestMs);
    },
    end: () => child.stdin.end(),
  };
}

/** Our step, with a probe of the machine's peak before each round. */
async function startOurs(shape) {
  const bench = new StepBench(stepShapes[shape]);
  for (let step = 0; step < 4; step++) await bench.step();
  return {
    name: "Athanor",
    bench,
    times: [],
    cpu: [],
    best: Number.POSITIVE_INFINITY,
    peak: 0,
    async round() {
      this.peak = Math.max(this.peak, await measureMatmul(bench.engine, 1024, 3));
      const until = performance.now() + 1000 * seconds;
      const times = [];
      const before = process.cpuUsage();
      while (times.length < 5 || performance.now() < until) times.push(await bench.step());
      const { user, system } = process.cpuUsage(before);
      this.cpu.push((user + system) / 1000 / times.length);
      this.times.push(median(times));
      this.best = Math.min(this.best, ...times);
    },
    end: () => undefined,
  };
}

console.error(
  `${cpus().length} × ${cpus()[0].model}, Node ${process.version}, load ${loadavg()
    .map((x) => fixed(x))
    .join(" ")}`,
);
console.log(
  "| shape | Athanor ms (best) | PyTorch ms (best) | setting of PyTorch | ratio of medians (bests) | of peak | load |",
);
console.log("|---|---|---|---|---|---|---|");
for (const shape of shapes) {
  const loadBefore = loadavg()[0];
  const ours = await startOurs(shape);
  const peers = [];
  for (const settings of flags.peer) peers.push(await startPeer(shape, settings));
  for (let round = 0; round < rounds; round++) {
    for (const system of [ours, ...peers]) await system.round();
    console.error(
      `${shape} round ${round + 1}: ${[ours, ...peers].map(({ name, times }) => `${name} ${fixed(times.at(-1))}`).join(", ")}`,
    );
  }
  const peer = peers.toSorted((a, b) => median(a.times) - median(b.times))[0];
  const [mine, theirs] = [median(ours.times), median(peer.times)];
  const ofPeak = ours.bench.flopsPerStep / (mine / 1000) / ours.peak;
  const load = `${fixed(loadBefore)}–${fixed(loadavg()[0])}`;
  if (flags.json) console.error(JSON.stringify({ shape, ours: ours.times, peer: peer.times, setting: peer.name }));
  console.log(
    `| ${shape} | ${fixed(mine)} (${fixed(ours.best)}) | ${fixed(theirs)} (${fixed(peer.best)}) | ${peer.name} ${peer.version} | ${fixed(theirs / mine, 2)} (${fixed(peer.best / ours.best, 2)}) | ${fixed(median(ours.cpu))}, ${fixed(median(peer.cpu))} | ${fixed(100 * ofPeak, 0)} % | ${load} |`,
  );
  for (const system of [ours, ...peers]) system.end();
}

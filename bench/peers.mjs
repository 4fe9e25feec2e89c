// `npm run bench:peers`: Athanor and every installed peer, taking turns on one machine, each at its best setting; then
// bench/RESULTS.md is written anew from everything ever measured and kept in bench/results. See bench/peers/README.md.
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { countOf, fileOf, readFlags, refuse, wordOf } from "./lib/flags.mjs";
import { describeMachine } from "./lib/machine.mjs";
import { measureProducts, measureStep, measureUpdates } from "./lib/measure.mjs";
import { renderResults } from "./lib/render.mjs";
import { readResults, writeResult } from "./lib/results.mjs";
import { measureScaling } from "./lib/scaling.mjs";
import { findSystems } from "./lib/systems.mjs";
import { measureWaits } from "./lib/waits.mjs";
import { sweeps, workloads } from "./lib/workloads.mjs";

const here = import.meta.dirname;
const names = [...workloads.map(({ name }) => name), "updates", "matmul", "waits", "decode"];
const flags = readFlags(
  `npm run bench:peers -- [--only ${names.join(",")}] [--scaling]
                       [--precision f32,bf16] [--rounds 5] [--quick] [--render]
                       [--python .venv/bin/python] [--peers-dir bench/peers/node_modules]
                       [--results bench/results] [--output bench/RESULTS.md] [--json FILE]
bench/peers/README.md tells what each does.`,
  {
    only: { type: "string" },
    scaling: { type: "boolean", default: false },
    rounds: { type: "string" },
    quick: { type: "boolean", default: false },
    precision: { type: "string", default: "f32,bf16" },
    python: { type: "string", default: ".venv/bin/python" },
    "peers-dir": { type: "string", default: join(here, "peers", "node_modules") },
    results: { type: "string" },
    output: { type: "string" },
    json: { type: "string" },
    render: { type: "boolean", default: false },
  },
);
// What a quick run measures is worth no row among the others.
const kept = flags.quick ? join(tmpdir(), "athanor-bench-quick") : here;
const results = flags.results ?? join(kept, "results");
mkdirSync(results, { recursive: true });
const page = fileOf("output", flags.output ?? join(kept, "RESULTS.md"));
const raw = flags.json === undefined ? undefined : fileOf("json", flags.json);
const precisions = flags.precision.split(",").map((one) => wordOf("precision", one, ["f32", "bf16"]));
const rounds = countOf("rounds", flags.rounds ?? (flags.quick ? "2" : "5"));
const chosen = flags.only?.split(",") ?? (flags.scaling ? [] : names);
const unknown = chosen.filter((name) => !names.includes(name));
if (unknown.length > 0)
  refuse(
    `There is no workload "${unknown.join(", ")}". There are ${names.join(", ")}; --scaling is a flag of its own.`,
  );

const say = (text) => console.error(text);
const { version } = JSON.parse(readFileSync(join(here, "..", "package.json"), "utf8"));
const fresh = {};

/** Keeps what was measured with everything needed to judge it, and renders, so that a run cut off loses one piece at most. */
function keep(name, measured) {
  const { load } = measured;
  fresh[name] = {
    date: new Date().toISOString().slice(0, 16),
    machine: describeMachine(version),
    rounds,
    quick: flags.quick,
    missing: found.missing.map(({ name }) => name),
    ...measured,
    load: [Math.min(...load), Math.max(...load)],
  };
  writeResult(results, name, fresh[name]);
  render();
}

function render() {
  const remarks = readFileSync(join(here, "remarks.md"), "utf8");
  writeFileSync(page, renderResults(readResults(results), remarks));
}

const found = flags.render ? undefined : findSystems({ python: flags.python, peersDir: flags["peers-dir"] });
for (const { name, why } of found?.missing ?? []) say(`missing: ${name}: ${why}`);
if (found !== undefined) {
  const options = { rounds, quick: flags.quick, say };
  for (const workload of workloads.filter(({ name }) => chosen.includes(name))) {
    for (const precision of workload.precisions.filter((one) => precisions.includes(one))) {
      say(`\n${workload.name} ${precision}`);
      keep(`step-${workload.name}-${precision}`, await measureStep(found, workload, { ...options, precision }));
    }
  }
  if (chosen.includes("updates")) {
    say("\nupdates");
    keep("updates", await measureUpdates(found, options));
  }
  if (chosen.includes("matmul")) {
    for (const precision of precisions) {
      say(`\nmatmul ${precision}`);
      keep(`matmul-${precision}`, await measureProducts(found, { ...options, precision }));
    }
  }
  if (chosen.includes("waits")) keep("waits", await measureWaits(found, options));
  if (chosen.includes("decode")) keep("decode", await measureWaits(found, { ...options, group: "decode" }));
  if (flags.scaling) {
    for (const sweep of sweeps) {
      say(`\nscaling with ${sweep.name}`);
      keep(`scaling-${sweep.name}`, await measureScaling(sweep, options));
    }
  }
}
render();
if (raw !== undefined) writeFileSync(raw, `${JSON.stringify(fresh, undefined, 1)}\n`);
if (!flags.render && Object.keys(fresh).length === 0) say(`\nnothing of ${chosen.join(", ")} has ${flags.precision}`);
say(`\nwritten: ${page}`);

// `npm run bench:peers`: Athanor and every installed peer, taking turns on one machine, each at its best setting; then
// bench/RESULTS.md is written anew from everything ever measured and kept in bench/results. See bench/peers/README.md.
//
//   npm run bench:peers -- [--only c1,c2,updates,matmul,waits] [--scaling] [--rounds 5] [--quick] [--precision f32]
//                          [--python .venv/bin/python] [--peers-dir bench/peers/node_modules] [--json FILE] [--render]
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { describeMachine } from "./lib/machine.mjs";
import { measureProducts, measureStep, measureUpdates } from "./lib/measure.mjs";
import { renderResults } from "./lib/render.mjs";
import { readResults, writeResult } from "./lib/results.mjs";
import { measureScaling } from "./lib/scaling.mjs";
import { findSystems } from "./lib/systems.mjs";
import { measureWaits } from "./lib/waits.mjs";
import { sweeps, workloads } from "./lib/workloads.mjs";

const here = import.meta.dirname;
const { values: flags } = parseArgs({
  options: {
    only: { type: "string" },
    scaling: { type: "boolean", default: false },
    rounds: { type: "string" },
    quick: { type: "boolean", default: false },
    precision: { type: "string", default: "f32,bf16" },
    python: { type: "string", default: ".venv/bin/python" },
    "peers-dir": { type: "string", default: join(here, "peers", "node_modules") },
    results: { type: "string", default: join(here, "results") },
    output: { type: "string", default: join(here, "RESULTS.md") },
    json: { type: "string" },
    render: { type: "boolean", default: false },
  },
});

const names = [...workloads.map(({ name }) => name), "updates", "matmul", "waits"];
const precisions = flags.precision.split(",");
const rounds = Number(flags.rounds ?? (flags.quick ? 2 : 5));
const chosen = flags.only?.split(",") ?? (flags.scaling ? [] : names);
const unknown = chosen.filter((name) => !names.includes(name));
if (unknown.length > 0 || !Number.isInteger(rounds) || rounds < 1 || precisions.some((p) => !/^(f32|bf16)$/.test(p))) {
  console.error(
    unknown.length > 0
      ? `There is no workload ${unknown.join(", ")}. There are ${names.join(", ")}; --scaling is a flag of its own.`
      : "--rounds is a count of at least 1, --precision is f32, bf16 or both with a comma.",
  );
  process.exit(2);
}

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
  writeResult(flags.results, name, fresh[name]);
  render();
}

function render() {
  const remarks = readFileSync(join(here, "remarks.md"), "utf8");
  writeFileSync(flags.output, renderResults(readResults(flags.results), remarks));
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
  if (flags.scaling) {
    for (const sweep of sweeps) {
      say(`\nscaling with ${sweep.name}`);
      keep(`scaling-${sweep.name}`, await measureScaling(sweep, options));
    }
  }
}
render();
if (flags.json !== undefined) writeFileSync(flags.json, `${JSON.stringify(fresh, undefined, 1)}\n`);
say(`\nwritten: ${flags.output}`);

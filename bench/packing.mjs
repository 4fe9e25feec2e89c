// What packing gains: the microbatches of a recipe of conversations, each alone in its row and packed, in turns in one process. Counted are the
// tokens that are learnt per second. Not a comparison with others.
//
//   node bench/packing.mjs recipes/language/instruct.yaml [--set key=value]... [--rounds 5]
import { loadNativeEngine } from "../dist/engine/index.js";
import { prepare, readRecipe } from "../dist/recipe/index.js";
import { StepPrograms } from "../dist/train/index.js";
import { median } from "./lib/statistics.mjs";

const given = process.argv.slice(2);
const flagged = (name) => given.flatMap((word, at) => (word === name ? [given[at + 1]] : []));
const [path] = given;
if (path === undefined || path.startsWith("--")) {
  console.log("node bench/packing.mjs RECIPE [--set key=value]... [--rounds 5]");
  process.exit(path === "--help" ? 0 : 2);
}
const rounds = Number(flagged("--rounds")[0] ?? 5);
const { engine, reason } = loadNativeEngine({ threads: 2 });
if (engine === undefined) throw new Error(reason);

async function variant(packing) {
  const recipe = await readRecipe(path, { set: [...flagged("--set"), `data.packing=${packing}`] });
  const { description, source } = await prepare(recipe);
  const programs = new StepPrograms(description, engine);
  programs.initialize();
  return { packing, programs, source, rows: description.batchSize, rates: [] };
}

const variants = [await variant(false), await variant(true)];
for (let step = 0; step <= rounds; step++) {
  for (const { programs, source, rows, rates } of variants) {
    const { rows: sampleIds, ...batch } = await source.next(rows, [rows]);
    const learnt = batch.targets.data.filter((target) => target !== -1).length;
    const started = performance.now();
    await programs.step({ step, learningRate: 1e-4, batch, sampleIds: sampleIds.data });
    if (step > 0) rates.push((1000 * learnt) / (performance.now() - started));
  }
}
console.log("packed   rows an epoch   tokens learnt per second: median   best");
for (const { packing, source, rates } of variants) {
  const epoch = String(source.samplesPerEpoch).padStart(13);
  console.log(
    String(packing).padEnd(6),
    epoch,
    median(rates).toFixed(0).padStart(35),
    Math.max(...rates)
      .toFixed(0)
      .padStart(6),
  );
}

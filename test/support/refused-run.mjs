// A training that is refused memory: starts engines, loads programs, trains and reads, with one allocation of the addon refused
// after the other, and says what came of each. Prints one JSON line. Runs under test/fault/refuse-memory.cc.
//   node --expose-gc refused-run.mjs CONTROL_FILE POINTS
import { openSync, readFileSync, readSync, writeSync } from "node:fs";
import { setImmediate } from "node:timers/promises";

const dist = (folder) => import(new URL(`../../dist/${folder}/index.js`, import.meta.url));
const [{ loadAddon, NativeEngine }, { Gpt }, { adamw }, { languageModelTask, StepGraphs, StepPrograms }] =
  await Promise.all(["engine", "models", "optim", "train"].map(dist));

const file = openSync(process.argv[2], "r+");
const points = Number(process.argv[3]);
const control = new BigInt64Array(2); // allocations until the one that is refused, how many were
const arm = (left) => {
  control.set([BigInt(left), 0n]);
  writeSync(file, control, 0, 16, 0);
};
const look = () => {
  readSync(file, control, 0, 16, 0);
  return { left: Number(control[0]), refused: Number(control[1]) };
};

const [vocab, context, rows] = [5000, 16, 4]; // an embedding of more than 1 MiB: read through malloc
const description = {
  model: new Gpt({ vocab, context, width: 64, layers: 1, heads: 2, dropout: 0.1, activation: "gelu", eps: 1e-5 }),
  task: languageModelTask(context),
  optimizer: adamw({ lr: 3e-3, clip: 1 }),
  ...{ batchSize: rows, lanes: 2, evalBatchSize: rows, dtype: "f32", seed: 1 },
};
const graphs = new StepGraphs(description);
const tokens = Int32Array.from({ length: rows * context }, (_, i) => (i * 7919) % vocab);
const batch = { tokens: { dtype: "i32", shape: [rows, context], data: tokens } };
batch.targets = { ...batch.tokens, data: tokens.map((token) => (token * 3) % vocab) };
const inputs = (step) => ({
  step,
  batch,
  sampleIds: Int32Array.from({ length: rows }, (_, i) => i),
  learningRate: 3e-3,
});

const { addon } = loadAddon();
const start = () => new NativeEngine(addon, { threads: 2 }); // of its own: loadNativeEngine() shares one
let plans;
async function everything() {
  const engine = start();
  engine.info();
  const programs = new StepPrograms(description, engine, { graphs, plans });
  programs.initialize();
  const { loss } = await programs.step(inputs(1));
  await programs.evaluate(batch);
  for (const name of programs.stateNames()) programs.store.read(name);
  return loss;
}

const lasting = start();
plans = graphs.compile(lasting);
const programs = new StepPrograms(description, lasting, { graphs, plans });
programs.initialize();
const names = programs.store.names();
const initial = names.map((name) => programs.store.read(name));
const loss = (await programs.step(inputs(1))).loss;
const again = async () => {
  names.forEach((name, at) => void programs.store.write(name, initial[at]));
  return (await programs.step(inputs(1))).loss;
};

const collect = async () => {
  for (let i = 0; i < 4; i++) {
    globalThis.gc();
    await setImmediate();
  }
};
const status = (name) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(readFileSync("/proc/self/status", "utf8"))[1]);
const held = () => ({
  threads: status("Threads"),
  kilobytes: status("VmRSS"),
  engineBytes: lasting.info().currentBytes,
});

const most = 2 ** 40;
async function sweep(name, work) {
  const wanted = await work();
  arm(most);
  await work();
  const total = most - look().left;
  arm(0);
  const outcomes = { name, total, refused: 0, told: 0, endured: 0, wrong: [] };
  await collect();
  outcomes.start = held();
  const every = Math.max(1, total / points);
  for (let at = 1; at <= total; at += every) {
    const n = Math.floor(at);
    arm(n);
    let error;
    let result;
    try {
      result = await work();
    } catch (caught) {
      error = caught;
    }
    const { refused } = look();
    arm(0);
    outcomes.refused += refused;
    if (error === undefined && refused > 0) outcomes.endured++;
    if (error !== undefined && error.code === "engine/out-of-memory") outcomes.told++;
    else if (error !== undefined || result !== wanted)
      outcomes.wrong.push(`${n}: ${error?.code} ${error?.stack ?? result}`);
    const after = await again();
    if (after !== loss) outcomes.wrong.push(`${n}: trained on to ${after}, not ${loss}`);
    if (n % 16 === 0) await collect();
    if (outcomes.half === undefined && at > total / 2) {
      await collect();
      outcomes.half = held();
    }
  }
  await collect();
  outcomes.end = held();
  return outcomes;
}

console.log(JSON.stringify([await sweep("from engine to weights", everything), await sweep("a step", again)]));

// The watch: every fault that is planted through the public API is caught by its own name, sound runs are told nothing, and a watched
// run has the bytes of one that is not.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  type AthanorError,
  adamw,
  crossEntropy,
  evaluate,
  fromNumbers,
  Linear,
  loadNativeEngine,
  Mlp,
  Module,
  meanSquaredError,
  type RecipeInput,
  regressionTask,
  StepPrograms,
  type Tensor,
  Trainer,
  train,
  Watch,
} from "athanor";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { RandomStream } from "../../src/base/index.ts";
import { makeText, runCli, scratchFolder, startCli } from "../support/cli.ts";
import { spoiltRun } from "../support/spoilt.ts";

let folder: ReturnType<typeof scratchFolder>;
beforeEach(() => {
  folder = scratchFolder();
});
afterEach(() => folder.remove());

const stream = new RandomStream(11, "watch");
type Row = { readonly [column: string]: number | string | null };

/** Two numbers to a third, with a little noise. */
const numbers = (count = 400, change: (row: Row, at: number) => Row = (row) => row): Row[] =>
  Array.from({ length: count }, (_, at) => {
    const [a, b] = [stream.normal(at), stream.normal(at, 1)];
    return change({ a, b, y: 2 * a - b + 0.3 * stream.normal(at, 2) }, at);
  });

/** Two overlapping classes of points. */
const classes = (count = 400, change: (row: Row, at: number) => Row = (row) => row): Row[] =>
  Array.from({ length: count }, (_, at) => {
    const side = at % 2;
    const [a, b] = [stream.normal(at, 3) + 1.5 * side, stream.normal(at, 4) - side];
    return change({ a, b, label: side ? "up" : "down" }, at);
  });

const texts = (count = 60): Row[] =>
  Array.from({ length: count }, (_, at) => ({
    text: `${makeText(40, at)} ${at % 2 ? "good" : "bad"}`,
    label: at % 2 ? "yes" : "no",
  }));

const mlp = { mlp: { hidden: [32] } };
const table = (rows: Row[], more: Partial<RecipeInput> = {}): RecipeInput => ({
  data: { rows, target: rows[0]!.y === undefined ? "label" : "y" },
  model: mlp,
  batch: { size: 16 },
  optimizer: { adamw: { lr: 1e-3 } },
  steps: 60,
  eval: { every: 20 },
  checkpoint: { every: 20 },
  ...more,
});
const text = (rows: string[], more: Partial<RecipeInput> = {}): RecipeInput => ({
  data: { rows },
  model: { gpt: { layers: 1, heads: 2, width: 16, context: 16 } },
  batch: { size: 8 },
  optimizer: { adamw: { lr: 3e-3 } },
  steps: 40,
  eval: { every: 20 },
  ...more,
});
const lr = (rate: number) => ({ optimizer: { adamw: { lr: rate } } });

interface Told {
  readonly code: string;
  readonly message: string;
}

/** What a run is told: warnings, steps left out, rollbacks, and the error that ended it. */
async function toldOf(recipe: RecipeInput, options: { readonly initFrom?: string } = {}): Promise<Told[]> {
  const told: Told[] = [];
  const training = train(recipe, {
    ...options,
    runDir: join(folder.path, "run"),
    onEvent: (event) => void ("code" in event && told.push({ code: event.code, message: event.message })),
  });
  await training.outcome.catch((error: AthanorError) => void told.push(error));
  return told;
}

const from = async (recipe: RecipeInput, change: (tensors: ReadonlyMap<string, Float32Array>) => void) =>
  toldOf(recipe, { initFrom: await spoiltRun(recipe, folder.path, change) });

async function caught(work: () => unknown): Promise<Told[]> {
  try {
    await work();
  } catch (error) {
    return [error as AthanorError];
  }
  return [];
}

class Twice extends Module {
  readonly used = new Linear(2, 1);
  readonly spare = new Linear(2, 1);
  forward(x: Tensor): Tensor {
    return this.used.forward(x);
  }
}

/** A model trained by hand on batches of its own. */
function byHand(model: Module, features: (step: number) => number[], targets = [1, 1], limited = false) {
  const { engine } = loadNativeEngine();
  const programs = new StepPrograms(
    {
      model,
      task: regressionTask({ features: { dtype: "f32", shape: [2] } }, { loss: (p, t) => p.sub(t).abs() }),
      optimizer: adamw({ lr: 1e-3 }),
      batchSize: 2,
      lanes: 1,
      evalBatchSize: 2,
      dtype: "f32",
      seed: 1,
      limited,
    },
    engine!,
  );
  programs.initialize();
  const told: Told[] = [];
  let step = 0;
  const trainer = new Trainer({
    programs,
    steps: 30,
    learningRate: () => 1e-3,
    watch: new Watch({ steps: 30, every: 10 }),
    callbacks: [{ warning: (warning) => void told.push(warning) }],
    source: {
      samplesPerEpoch: 2,
      next: async () => ({
        features: fromNumbers("f32", [2, 2], features(step++)),
        targets: fromNumbers("f32", [2], targets),
        rows: fromNumbers("i32", [2], [0, 1]),
      }),
      state: () => step,
      restore: () => undefined,
    },
  });
  return trainer.run().then(
    () => told,
    (error) => [...told, error as AthanorError],
  );
}

const shuffled = (rows: Row[]) => rows.map((row, at) => ({ ...row, label: stream.below(2, at, 9) ? "up" : "down" }));
const outlier = (row: Row, at: number) => (at === 333 ? { ...row, y: 500 } : row);
const spiky = (onSpike: "tell" | "stop" | "skip" | "rollback", more: Partial<RecipeInput> = {}) =>
  table(numbers(400, outlier), { steps: 100, checkpoint: { every: 10 }, watch: { onSpike }, ...more });

// what is wrong → the name it is caught by → how it is planted → what the message must name
const faults: readonly [what: string, code: string, plant: () => Promise<Told[]>, names?: RegExp][] = [
  // the data
  [
    "a number of a row is NaN",
    "data/not-finite",
    () => toldOf(table(numbers(99, (row, at) => (at === 41 ? { ...row, b: Number.NaN } : row)))),
    /row 42, column b/,
  ],
  [
    "a row has no label",
    "data/label-missing",
    () => toldOf(table(classes(99, (row, at) => (at === 7 ? { ...row, label: null } : row)))),
    /row 8/,
  ],
  ["all labels are one", "data/one-class", () => toldOf(table(classes(99, (row) => ({ ...row, label: "up" })))), /up/],
  [
    "no feature changes",
    "data/constant-column",
    () => toldOf(table(classes(99, (row) => ({ ...row, a: 1, b: 2 })))),
    /a = 1/,
  ],
  ["fewer rows than a batch", "data/short-batch", () => toldOf(table(classes(12)))],
  ["a text that is no longer than the context", "data/short-text", () => toldOf(text(["abcdefgh"]))],
  [
    "an empty text",
    "data/empty-text",
    () =>
      toldOf({
        data: { rows: [...texts(), { text: "", label: "no" }], target: "label" },
        model: { textClassifier: {} },
      }),
    /row 61/,
  ],
  [
    "a label outside the classes",
    "run/index-out-of-range",
    () =>
      caught(() =>
        evaluate((x: Tensor) => crossEntropy(x, x.argMax(-1).add(5)), {
          x: [
            [1, 2],
            [3, 4],
          ],
        }),
      ),
  ],
  ["held-out rows seen in training", "data/held-out-seen", () => toldOf(table([...numbers(), ...numbers()])), /\d\d %/],
  [
    "held-out texts seen in training",
    "data/held-out-seen",
    () =>
      toldOf({
        data: { rows: [...texts(), ...texts()], target: "label" },
        model: { textClassifier: { context: 64 } },
        batch: { size: 8 },
        steps: 5,
      }),
  ],
  [
    "a held-out text seen in training",
    "data/held-out-seen",
    () =>
      toldOf(
        text([makeText(8_000), makeText(8_000)], { data: { rows: [makeText(8_000), makeText(8_000)], heldOut: 0.5 } }),
      ),
    /stretches/,
  ],
  [
    "a column that is the class",
    "data/leaked-target",
    () => toldOf(table(classes(200, (row) => ({ id: row.label === "up" ? "x" : "y", ...row })))),
    /column id/,
  ],
  [
    "a column that is the number in other units",
    "data/leaked-target",
    () => toldOf(table(numbers(200, (row) => ({ cents: 100 * Number(row.y) + 3, ...row })))),
    /column cents/,
  ],
  [
    "texts cut off before what tells the class",
    "data/truncated",
    () =>
      toldOf({
        data: { rows: texts(), target: "label" },
        model: { textClassifier: { context: 16 } },
        batch: { size: 8 },
        steps: 5,
      }),
    /60 of 60/,
  ],
  // the request
  ["a learning rate of 0", "config/invalid", () => caught(() => train(table(numbers(), lr(0))).outcome), /lr/],
  [
    "a learning rate that falls to 0 too early",
    "optim/learning-rate",
    () => toldOf(table(numbers(), { optimizer: { adamw: { lr: { linear: { peak: 1e-3, total: 30 } } } } })),
    /step 30/,
  ],
  [
    "a warm-up longer than the run",
    "optim/warm-up",
    () =>
      toldOf(
        table(numbers(), {
          optimizer: { adamw: { lr: { cosine: { peak: 1e-3, warmup: 500, total: 1000, floor: 1e-4 } } } },
        }),
      ),
    /500 steps/,
  ],
  [
    "every parameter frozen",
    "optim/frozen",
    () => toldOf(table(numbers(), { optimizer: { adamw: { freeze: "all" } } })),
  ],
  [
    "hidden layers of equal numbers",
    "nn/symmetry",
    () => caught(() => new Mlp([2, 4, 1], { init: { name: "constant", value: 1 } })),
  ],
  [
    "targets (n) against predictions (n,1)",
    "shape/loss",
    () => caught(() => evaluate((p: Tensor, t: Tensor) => meanSquaredError(p, t), { p: [[1], [2]], t: [1, 2] })),
  ],
  [
    "a vocabulary smaller than the tokenizer's",
    "model/vocab",
    () =>
      toldOf(text([makeText(4_000)], { model: { gpt: { layers: 1, heads: 2, width: 16, context: 16, vocab: 5 } } })),
  ],
  [
    "a parameter without influence on the loss",
    "train/unreached-parameter",
    () => caught(() => byHand(new Twice(), () => [1, 2, 3, 4])),
    /spare/,
  ],
  [
    "tied weights that come untied",
    "model/unused-tensor",
    async () => {
      const gpt = (tiedHead: boolean) =>
        text([makeText(4_000)], { model: { gpt: { layers: 1, heads: 2, width: 16, context: 16, tiedHead } } });
      return toldOf(gpt(true), { initFrom: await spoiltRun(gpt(false), folder.path, () => undefined) });
    },
    /lm_head\.weight/,
  ],
  // the steps
  [
    "all targets masked",
    "train/all-masked",
    () => byHand(new Mlp([2, 4, 1]), () => [1, 2, 3, 4], [Number.NaN, Number.NaN]),
    /samples 0 to 1/,
  ],
  [
    "infinity in a batch",
    "train/non-finite",
    () => byHand(new Mlp([2, 4, 1]), (step) => [1, 2, step === 4 ? Number.POSITIVE_INFINITY : 3, 4]),
    /row 1 of the batch/,
  ],
  [
    "a weight that is NaN",
    "train/non-finite",
    () => from(table(numbers()), (tensors) => void tensors.get("layers.0.weight")!.fill(Number.NaN, 3, 4)),
    /layers\.0\.weight/,
  ],
  [
    "weights that overflow",
    "train/non-finite",
    () => from(table(numbers()), (tensors) => void tensors.get("layers.1.weight")!.fill(3e38)),
    /layers\.1/,
  ],
  [
    "weights far too large",
    "train/bad-start",
    () => from(table(numbers()), (tensors) => tensors.forEach((data) => void data.set(data.map((x) => 30 * x)))),
  ],
  [
    "a dead layer",
    "train/zero-gradient",
    () => from(table(numbers()), (tensors) => void tensors.get("layers.0.bias")!.fill(-100)),
    /layers\.0\.weight/,
  ],
  [
    "a layer with one unit left",
    "train/dead-units",
    () => from(table(numbers()), (tensors) => void tensors.get("layers.0.bias")!.fill(-100, 1)),
    /96 % of layers\.0\.weight/,
  ],
  ["a learning rate far too high", "train/update-too-large", () => toldOf(table(numbers(), lr(3))), /layers\.1?0?\.?/],
  ["a learning rate far too low", "train/update-too-small", () => toldOf(table(numbers(), lr(1e-7)))],
  ["a learning rate lost in rounding", "train/no-change", () => toldOf(table(numbers(), lr(1e-14)))],
  ["a loss that does not fall", "train/no-progress", () => toldOf(table(numbers(), { ...lr(1e-7), steps: 80 }))],
  ["a batch that makes the loss leap", "train/loss-spike", () => toldOf(spiky("tell"))],
  [
    "a batch that makes the gradient leap",
    "train/gradient-spike",
    () => byHand(new Linear(2, 1, { init: "zeros" }), (step) => [1, 0, 1, step === 20 ? 1e4 : 0]),
  ],
  [
    "a run that goes back again and again",
    "train/rollbacks",
    () => toldOf(spiky("rollback", { steps: 300 })),
    /3 times/,
  ],
  [
    "shuffled labels",
    "train/at-chance",
    () => toldOf(table(shuffled(classes(4000)), { steps: 200, eval: { every: 100 } })),
  ],
  [
    "a held-out row that overflows",
    "train/held-out-not-finite",
    async () => {
      // the last row of a few tries that the split takes for evaluation: its loss is beyond f32
      for (let at = 0; at < 40; at++) {
        const told = await toldOf(
          table(
            numbers(200, (row, n) => (n === at ? { ...row, a: 1e30 } : row)),
            { steps: 2, name: "x" },
          ),
        );
        if (told.some(({ code }) => code === "train/held-out-not-finite")) return told;
        folder.remove();
        folder = scratchFolder();
      }
      return [];
    },
  ],
  [
    "held-out text of another, easier kind",
    "train/held-out-too-easy",
    () => {
      const letters = (block: number) =>
        Array.from({ length: 200 }, (_, at) => "bcdefghijklmnop"[stream.below(15, at, block)]).join("");
      const mixed = Array.from({ length: 40 }, (_, block) => (block % 2 ? "a".repeat(200) : letters(block))).join("");
      return toldOf(
        text([], { data: { rows: [`${mixed}${"a".repeat(1000)}`], heldOut: 0.1 }, steps: 200, eval: { every: 100 } }),
      );
    },
  ],
];

describe("planted faults", () => {
  test("there are more than twenty, of more than twenty names", () => {
    expect(new Set(faults.map(([, code]) => code)).size).toBeGreaterThan(20);
  });

  test.each(faults)("%s: %s", async (_, code, plant, names = /./) => {
    const told = await plant();
    const found = told.find((one) => one.code === code);
    expect(found, told.map((one) => one.code).join(", ") || "nothing was told").toBeDefined();
    expect(found!.message).toMatch(names);
    if (/^train|seen|leaked|truncated|warm-up|unused/.test(code))
      for (const field of ["at", "expected", "got", "fix"]) expect(found!.message).toContain(`\n  ${field} `);
  });
});

/** What a sound run is told, and its hash. */
async function soundRun(recipe: RecipeInput, runDir: string) {
  const told: Told[] = [];
  const { hash } = await train(recipe, {
    runDir: join(folder.path, runDir),
    onEvent: (event) => void ("code" in event && told.push(event)),
  }).outcome;
  return { told, hash };
}

describe("sound runs", () => {
  const sound: readonly [name: string, recipe: () => RecipeInput][] = [
    ["numbers", () => table(numbers(), { steps: 400, ...lr(1e-2) })],
    [
      "numbers, to the end of what can be learnt",
      () =>
        table(
          numbers(400, ({ a, b }) => ({ a, b, y: 2 * Number(a) - Number(b) })),
          { steps: 1000, ...lr(1e-2) },
        ),
    ],
    ["classes", () => table(classes(), { steps: 400, ...lr(1e-2) })],
    [
      "classes, with momentum alone",
      () => table(classes(), { steps: 400, optimizer: { sgd: { lr: 0.1, momentum: 0.9 } } }),
    ],
    [
      "classes, smoothed and dropped out",
      () =>
        table(classes(), {
          steps: 400,
          model: { mlp: { hidden: [32], dropout: 0.5 } },
          loss: { crossEntropy: { labelSmoothing: 0.2 } },
        }),
    ],
    [
      "classes that any model tells apart",
      () =>
        table(
          classes(400, (row, at) => ({ ...row, a: 20 * (at % 2) + Number(row.a) })),
          { steps: 400, ...lr(1e-2) },
        ),
    ],
    [
      "texts with classes",
      () => ({
        data: { rows: texts(), target: "label" },
        model: { textClassifier: { context: 64 } },
        batch: { size: 8 },
        steps: 300,
      }),
    ],
    ["a text", () => text([makeText(20_000)], { steps: 300, eval: { every: 100 } })],
    [
      "a text, with a warm-up and a decay to nothing",
      () =>
        text([makeText(20_000)], {
          steps: 300,
          optimizer: { adamw: { lr: { cosine: { peak: 1e-2, warmup: 30, floor: 0 } }, clip: 1 } },
        }),
    ],
    [
      "a text in mixed precision, by lanes",
      () => text([makeText(20_000)], { steps: 200, precision: "bf16", weights: "bf16", batch: { size: 12, lanes: 3 } }),
    ],
  ];
  test.each(sound)("%s: nothing is told", async (_, recipe) => {
    for (const seed of [1, 2])
      expect((await soundRun({ ...recipe(), seed }, `run-${seed}`)).told.map(({ message }) => message)).toEqual([]);
  });

  test("have the same bytes however closely they are watched", async () => {
    const recipe = text([makeText(20_000)], { batch: { size: 8, lanes: 2 } });
    const hashes = new Set<string>();
    for (const watch of [{ every: 0 }, { every: 1 }, { every: 7, onSpike: "skip" }, { onSpike: "rollback" }] as const)
      hashes.add((await soundRun({ ...recipe, watch }, `run-${hashes.size}-${JSON.stringify(watch)}`)).hash);
    expect([...hashes]).toHaveLength(1);
  });
});

describe("what is done about a spike", () => {
  const logOf = (run: string) =>
    readFileSync(join(folder.path, run, "metrics.ndjson"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));

  test("skip: the update is left out, and its cause told", async () => {
    await soundRun(spiky("skip", { steps: 60 }), "run");
    const log = logOf("run");
    const told = log.filter(({ type }) => type === "error");
    expect(told.map(({ code }) => code)).toContain("train/loss-spike");
    const steps = log.filter(({ type }) => type === "step").map(({ step }) => step);
    expect(steps).toEqual(Array.from({ length: 60 }, (_, at) => at + 1));
  });

  test("rollback: back to the checkpoint, at half the rate, with the next data; the record tells it", async () => {
    await soundRun(spiky("rollback", { steps: 60 }), "run");
    const log = logOf("run");
    const at = log.findIndex(({ type }) => type === "rollback");
    const { step, from: reached } = log[at];
    expect(log[at]).toMatchObject({ code: "train/loss-spike", message: expect.stringContaining("leapt up") });
    expect(step).toBe(reached - (reached % 10));
    expect(log[at + 1]).toMatchObject({ type: "step", step: step + 1, lr: 1e-3 / 2 });
    const lossesOfStep = log.filter((one) => one.type === "step" && one.step === step + 1).map(({ loss }) => loss);
    expect(new Set(lossesOfStep).size).toBe(reached > step ? 2 : 1); // other rows
  });

  test("rollback: cut off anywhere and resumed, it ends in the same bytes and the same record", async () => {
    const whole = await soundRun(spiky("rollback", { steps: 60 }), "whole");
    const record = (run: string) =>
      logOf(run)
        .filter(({ type }) => ["step", "eval", "warning", "rollback"].includes(type))
        .map(({ seconds: _, tokensPerSecond: __, ...event }) => event);
    const back = logOf("whole").find(({ type }) => type === "rollback");
    expect(back).toBeDefined();
    for (const [at, stops] of [
      [back.step + 1],
      [back.from],
      [back.from + 4],
      [back.from + 1, back.step + 2],
      [back.step + 15],
    ].entries()) {
      const runDir = join(folder.path, `cut-${at}`);
      let hash = "";
      for (const [piece, stop] of [...stops, undefined].entries()) {
        const controller = new AbortController();
        const outcome = await train(spiky("rollback", { steps: 60 }), {
          runDir,
          resume: piece > 0,
          signal: controller.signal,
          onEvent: (event) => void (event.type === "step" && event.step === stop && controller.abort()),
        }).outcome;
        hash = outcome.hash;
      }
      expect(hash, `cut at ${stops}`).toBe(whole.hash);
      expect(record(`cut-${at}`), `cut at ${stops}`).toEqual(record("whole"));
    }
  });

  test("through the command line: killed after it went back, it ends in the same bytes", async () => {
    const rows = numbers(400, outlier).map(({ a, b, y }) => `${a},${b},${y}`);
    writeFileSync(join(folder.path, "rows.csv"), `a,b,y\n${rows.join("\n")}\n`);
    const { data: _, ...recipe } = spiky("rollback", { steps: 60 });
    writeFileSync(join(folder.path, "recipe.json"), JSON.stringify({ ...recipe, data: { path: "rows.csv" } }));
    const whole = await runCli(["train", "recipe.json", "--run-dir", "whole", "--json"], folder.path);
    const back = whole.records.find(({ type }) => type === "rollback");
    expect(back).toMatchObject({ code: "train/loss-spike" });
    const killed = startCli(["train", "recipe.json", "--run-dir", "killed", "--json"], folder.path);
    await new Promise<void>((resolve) => {
      let seen = "";
      killed.child.stdout?.on("data", (data) => {
        seen += data;
        if (seen.includes('"type":"rollback"')) resolve();
      });
    });
    killed.child.kill("SIGKILL");
    await killed.done;
    const resumed = await runCli(["train", "recipe.json", "--run-dir", "killed", "--resume", "--json"], folder.path);
    const hashOf = ({ records }: typeof whole) => records.find(({ type }) => type === "end")?.hash;
    expect(hashOf(resumed)).toBe(hashOf(whole));
  });
});

test("a warning is told to people, and ends the run where that is asked for", async () => {
  writeFileSync(
    join(folder.path, "rows.csv"),
    `a,b,y\n${numbers()
      .map(({ a, b, y }) => `${a},${b},${y}`)
      .join("\n")}\n`,
  );
  const recipe = { ...table([{ y: 1 }], lr(1e-14)), data: { path: "rows.csv" } };
  writeFileSync(join(folder.path, "recipe.json"), JSON.stringify(recipe));
  const told = await runCli(["train", "recipe.json", "--run-dir", "told"], folder.path);
  expect(told.stderr).toContain("[train/no-change] no weight changes");
  expect(told.code).toBe(0);
  const set = ["--set", "watch.onWarning=stop"];
  const stopped = await runCli(["train", "recipe.json", "--run-dir", "stopped", "--json", ...set], folder.path);
  expect(stopped.records.at(-1)).toMatchObject({ code: "train/no-change" });
  expect(stopped.code).toBe(1);
});

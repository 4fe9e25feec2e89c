// `athanor advise`: on planted problems the first advice is the right one, whatever the seed; a sound run needs no change; what it
// suggests can be typed.
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type RecipeInput, train } from "athanor";
import { afterEach, beforeEach, expect, test } from "vitest";
import { RandomStream } from "../../src/base/index.ts";
import { type Advised, adviseRun } from "../../src/study/index.ts";
import { makeText, runCli, scratchFolder } from "../support/cli.ts";
import { spoiltRun } from "../support/spoilt.ts";

let folder: ReturnType<typeof scratchFolder>;
beforeEach(() => {
  folder = scratchFolder();
});
afterEach(() => folder.remove());

/** Points in the plane; `label` says on which side of a ring they lie, wrongly for a share of them. */
function ring(seed: number, rows: number, wrong: number): string {
  const stream = new RandomStream(seed, "ring");
  const lines = Array.from({ length: rows }, (_, at) => {
    const [a, b] = [stream.normal(at), stream.normal(at, 1)];
    const inside = a ** 2 + b ** 2 < 1.4 !== stream.uniform(at, 2) < wrong;
    return `${a},${b},${inside ? "in" : "out"}`;
  });
  return `a,b,label\n${lines.join("\n")}\n`;
}

function table(seed: number, rows: number, wrong: number, more: Partial<RecipeInput>): RecipeInput {
  const path = join(folder.path, `rows-${seed}.csv`);
  writeFileSync(path, ring(seed, rows, wrong));
  return {
    data: { path, heldOut: 0.3 },
    model: { mlp: { hidden: [32] } },
    batch: { size: 32 },
    steps: 300,
    seed,
    eval: { every: 30 },
    checkpoint: { every: 300 },
    ...more,
  };
}

function text(seed: number, more: Partial<RecipeInput>): RecipeInput {
  const path = join(folder.path, `text-${seed}.txt`);
  writeFileSync(path, makeText(30_000, seed));
  return {
    data: { path },
    model: { gpt: { layers: 1, heads: 2, width: 32, context: 32 } },
    batch: { size: 16 },
    steps: 200,
    seed,
    eval: { every: 50 },
    ...more,
  };
}

const lr = (rate: number) => ({ optimizer: { adamw: { lr: rate } } });

// what is planted → a recipe for a seed → the first advice, or none
const planted: readonly [what: string, recipe: (seed: number) => RecipeInput, problem: string | undefined][] = [
  ["a rate far too high, table", (seed) => table(seed, 1000, 0.05, lr(1)), "rate too high"],
  ["a rate far too high, text", (seed) => text(seed, lr(0.5)), "rate too high"],
  ["a rate far too low, table", (seed) => table(seed, 1000, 0.05, lr(3e-5)), "rate too low"],
  ["a rate far too low, text", (seed) => text(seed, lr(1e-5)), "rate too low"],
  ["a rate a hundred thousand times too high, table", (seed) => table(seed, 1000, 0.05, lr(100)), "rate too high"],
  ["a rate ten thousand times too low, table", (seed) => table(seed, 1000, 0.05, lr(1e-6)), "rate too low"],
  [
    "few rows with wrong labels, and a large model",
    (seed) => table(seed, 80, 0.25, { model: { mlp: { hidden: [128, 128] } }, ...lr(3e-3) }),
    "overfitting",
  ],
  [
    "a model of one hidden unit",
    (seed) => table(seed, 1000, 0.05, { model: { mlp: { hidden: [1] } }, ...lr(3e-2) }),
    "model too small",
  ],
  [
    "a linear model",
    (seed) => table(seed, 1000, 0.05, { model: { mlp: { hidden: [] } }, ...lr(3e-2) }),
    "model too small",
  ],
  ["nothing, table", (seed) => table(seed, 1000, 0.05, lr(1e-2)), undefined],
  ["nothing, text", (seed) => text(seed, lr(1e-2)), undefined],
];
const seeds = [1, 2, 3];

const first = ({ advice }: Advised) => advice[0]?.problem;

test.each(planted)("%s: the first advice is right", async (_, recipe, problem) => {
  for (const seed of seeds) {
    const runDir = join(folder.path, `run-${seed}`);
    await train(recipe(seed), { runDir }).outcome.catch(() => undefined);
    const advised = await adviseRun(runDir);
    expect(first(advised), JSON.stringify(advised, null, 1)).toBe(problem);
    for (const { evidence, changes, confidence } of advised.advice) {
      expect(evidence.join(" ")).toMatch(/\d/);
      expect(changes.length).toBeGreaterThan(0);
      expect(confidence).toBeGreaterThan(0.5);
    }
  }
});

test("a layer that is dead from the start", async () => {
  for (const seed of seeds) {
    const recipe = table(seed, 1000, 0.05, lr(1e-2));
    const own = join(folder.path, `${seed}`);
    mkdirSync(own);
    const initFrom = await spoiltRun(recipe, own, (tensors) => void tensors.get("layers.0.bias")!.fill(-100));
    await train(recipe, { runDir: join(own, "run"), initFrom }).outcome;
    const advised = await adviseRun(join(own, "run"));
    expect(first(advised)).toBe("dead weights");
    expect(advised.advice[0]!.evidence.join()).toContain("layers.0.weight");
  }
});

test("through the command line: a command that can be typed makes it better; --json; the record alone", async () => {
  const recipe = table(1, 1000, 0.05, lr(3e-5));
  writeFileSync(join(folder.path, "recipe.json"), JSON.stringify(recipe));
  const before = await runCli(["train", "recipe.json", "--run-dir", "run", "--json"], folder.path);
  const { stdout } = await runCli(["advise", "run"], folder.path);
  expect(stdout).toMatch(/^1\. the learning rate is too low \(confidence 0\.\d\d\)$/m);
  const words = /try {2}npx athanor (.*)$/m.exec(stdout)![1]!.split(" ");
  const after = await runCli([...words, "--run-dir", "better", "--json"], folder.path);
  const endOf = ({ records }: typeof before) => Number(records.find(({ type }) => type === "end")!.evalLoss);
  expect(endOf(after)).toBeLessThan(0.8 * endOf(before));
  const { records } = await runCli(["advise", "run", "--json", "--record-only"], folder.path);
  expect(records).toEqual([{ folder: "run", advice: [], told: ["train/at-chance"] }]);
  const none = await runCli(["advise", "nowhere"], folder.path);
  expect(none.code).toBe(2);
});

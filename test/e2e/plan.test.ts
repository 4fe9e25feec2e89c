// `athanor plan` on a recipe: the learning rate as people and programs see it before a run, and the schedules that it refuses.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";

let folder: ReturnType<typeof scratchFolder>;
let recipe: string;
beforeAll(() => {
  folder = scratchFolder();
  recipe = writeTinyRecipe(folder.path); // 60 steps of 8 rows of 16 tokens
});
afterAll(() => folder.remove());

const plan = async (...args: string[]) => await runCli(["plan", recipe, ...args], folder.path);
const rate = (config: object) => ["--set", `optimizer.adamw.lr=${JSON.stringify(config)}`];

test("the curve and the boundaries are told before any step, and drawn as SVG", async () => {
  const lr = { stableDecay: { peak: 0.002, warmup: 1280, total: 7680, decay: 2560, unit: "tokens" } };
  const { code, stdout } = await plan(...rate(lr), "--svg", "rate.svg");
  expect(code).toBe(0);
  expect(stdout).toMatch(/^ {2}2\.00e-3 ┤ +⢀?[⠀-⣿]+⠉{20,}[⠀-⣿]+$/m);
  expect(stdout).toMatch(/^ {4} step {2}0 +30 +59$/m);
  expect(stdout).toMatch(/^ {3}tokens {2}0 +3\.8 k +7\.6 k$/m);
  expect(stdout).toMatch(/^ {2}warm-up ends +1,280 tokens +10 +80 +1\.3 k +2\.000e-3$/m);
  expect(stdout).toMatch(/^ {2}decay begins +5,120 tokens +40 +320 +5\.1 k +2\.000e-3$/m);
  expect(stdout).toMatch(/^ {2}last step[^\n]*\n {2}decay ends +7,680 tokens +60 +480 +7\.7 k +0\.000e\+0$/m);
  expect(readFileSync(join(folder.path, "rate.svg"), "utf8")).toMatch(/^<svg [\s\S]*warm-up ends[\s\S]*<\/svg>\n$/);
});

test("--json has the rates at even steps and on both sides of each boundary", async () => {
  const { code, records } = await plan(...rate({ piecewise: { values: [0.1, 0.01], boundaries: [25] } }), "--json");
  expect(code).toBe(0);
  const { learningRate } = records[0] as { learningRate: { boundaries: object[]; points: object[] } };
  const point = { step: 25, samples: 200, tokens: 3200, value: 0.01 };
  expect(learningRate.boundaries).toEqual([{ what: "part 2 begins", position: 25, unit: "steps", point }]);
  expect(learningRate.points).toHaveLength(60);
  expect(learningRate.points).toEqual(
    expect.arrayContaining([{ step: 24, samples: 192, tokens: 3072, value: 0.1 }, point]),
  );
});

test("what else changes is drawn below: rows, samples and settings, each with its boundaries in their own unit", async () => {
  const more = [
    ...["--set", "batch.size={ exponential: { from: 8, to: 32, factor: 2, every: 160 } }"],
    ...["--set", "model.gpt.dropout={ linear: { from: 0, to: 0.2, end: 320 } }"],
    ...[
      "--set",
      "optimizer.adamw.betas=[{ piecewise: { values: [0.9, 0.8], boundaries: [5120], unit: tokens } }, 0.99]",
    ],
    ...["--set", "batch.coupling=sqrt", "--svg", "all.svg"],
  ];
  const { code, stdout, records } = await runCli(["plan", recipe, ...more, "--json"], folder.path);
  expect(code, stdout).toBe(0);
  const { learningRate, changing, items } = records[0] as { learningRate: Curve; changing: Curve[]; items: number };
  const named = new Map(changing.map((curve) => [curve.name, curve]));
  expect([...named.keys()]).toEqual(["rows of a step", "samples", "model.gpt.dropout", "optimizer.adamw.betas.0"]);
  // 20 steps of 8, 10 of 16, 30 of 32
  expect(items).toBe((20 * 8 + 10 * 16 + 30 * 32) * 16);
  const rows = named.get("rows of a step")!;
  expect(rows.boundaries.map(({ position, unit, point }) => [position, unit, point?.step])).toEqual([
    [160, "samples", 20],
    [320, "samples", 30],
  ]);
  expect(rows.points.at(-1)).toMatchObject({ step: 59, value: 32 });
  expect(named.get("samples")!.points.at(-1)).toMatchObject({ value: 160 + 160 + 29 * 32 });
  expect(named.get("model.gpt.dropout")!.points.find(({ step }) => step === 10)!.value).toBeCloseTo(0.05, 12);
  expect(learningRate.points.at(-1)!.value / learningRate.points[0]!.value).toBeCloseTo(2, 12);
  expect(readFileSync(join(folder.path, "all.svg"), "utf8").match(/<polyline/g)).toHaveLength(5);
  const people = await plan(...more.slice(0, 4));
  expect(people.stdout).toMatch(/^rows of a step: 8 rows × 2 every 160 samples, to 32$/m);
  expect(people.stdout).toMatch(/^ {2}16 rows +160 samples +20 +160 +2\.6 k +16$/m);
});

interface Curve {
  readonly name: string;
  readonly boundaries: {
    readonly position: number;
    readonly unit: string;
    readonly point: { readonly step: number } | null;
  }[];
  readonly points: { readonly step: number; readonly value: number }[];
}

test("of a plateau it says that it cannot be foreseen", async () => {
  const { stdout } = await plan(...rate({ plateau: { peak: 0.01 } }));
  expect(stdout).toContain("evaluations lower it, which cannot be foreseen");
});

test.each([
  ["plan", { subtract: { peak: 1, amount: 0.4, every: 10 } }, /-0\.2\d* at step 30 of 60/],
  ["train", { subtract: { peak: 1, amount: 0.4, every: 10 } }, /-0\.2\d* at step 30 of 60/],
  ["plan", { linear: { peak: 1, total: 40 } }, /0 at step 40 of 60/],
  ["train", { linear: { peak: 1, total: 40 } }, /0 at step 40 of 60/],
])("%s refuses %j before any work", async (command, lr, got) => {
  const { code, stdout, records } = await runCli([command, recipe, ...rate(lr), "--json"], folder.path);
  expect(code).toBe(2);
  expect(records.at(-1)).toMatchObject({
    code: "optim/learning-rate",
    what: expect.stringContaining("the learning rate"),
    where: expect.stringContaining("lr ("),
    expected: expect.stringContaining("a positive number at every step"),
    got: expect.stringMatching(got),
    fix: expect.stringContaining("give a floor"),
  });
  expect(stdout).not.toContain('"step"');
  expect(existsSync(join(folder.path, "runs"))).toBe(false);
});

test("a drawing that cannot be written is refused with what to do", async () => {
  const { code, stderr } = await plan("--svg", "nowhere/rate.svg");
  expect(code).toBe(2);
  expect(stderr).toContain("the file of --svg cannot be written");
});

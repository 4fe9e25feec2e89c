// The keys `init` and `mup`: what parameters start with, and how a wide model's starts and first steps are those of the narrow one.
import { expect, test } from "vitest";
import { toNumbers } from "../base/index.ts";
import { ReferenceEngine } from "../engine/index.ts";
import { initialize } from "../nn/index.ts";
import { StepPrograms } from "../train/index.ts";
import { prepare } from "./prepare.ts";
import { parseRecipe } from "./read.ts";
import type { RecipeInput } from "./schema.ts";

const rows = Array.from({ length: 40 }, (_, at) => ({ x: at % 7, z: at % 5, y: 3 * (at % 7) - (at % 5) }));
const table = (more: Partial<RecipeInput> = {}): RecipeInput => ({
  data: { rows, target: "y" },
  model: { mlp: { hidden: [64, 64] } },
  optimizer: { adam: { lr: 1e-3 } },
  batch: 8,
  precision: "f64",
  ...more,
});
const text = (more: Partial<RecipeInput> = {}): RecipeInput => ({
  data: { rows: ["abcabcabd".repeat(20)] },
  model: { gpt: { layers: 1, heads: 4, width: 32, context: 8, tiedHead: false } },
  precision: "f64",
  ...more,
});
const refusal = (recipe: RecipeInput) =>
  prepare(parseRecipe(recipe)).then(
    () => undefined,
    (error) => error,
  );

/** The parameters at first and after a step, by name. */
async function firstStep(recipe: RecipeInput) {
  const { description, source } = await prepare(parseRecipe(recipe));
  const programs = new StepPrograms(description, new ReferenceEngine());
  programs.initialize();
  const values = () =>
    new Map(programs.graphs.parameterTypes.map(({ name }) => [name, toNumbers(programs.store.read(name))]));
  const before = values();
  const { rows: ids, ...batch } = await source.next(8);
  await programs.step({ step: 0, learningRate: 1e-3, batch, sampleIds: ids!.data as Int32Array });
  return { before, after: values() };
}

test("parameters of any family start as they are told, the last of several holds", async () => {
  const init: RecipeInput["init"] = [
    { select: "matrices", as: { normal: { std: 3 } } },
    { select: ["*.bias"], as: { constant: { value: 0.5 } } },
    { select: ["*.c_fc.weight"], as: "orthogonal" },
  ];
  const { description } = await prepare(parseRecipe(text({ init })));
  const programs = new StepPrograms(description, new ReferenceEngine());
  programs.initialize();
  const read = (name: string) => Array.from(toNumbers(programs.store.read(name)));
  const own = initialize({ name: "normal", std: 3 }, "lm_head.weight", [32, 4], "f64", 1);
  expect(read("lm_head.weight")).toEqual(Array.from(own.data as Float64Array));
  expect(new Set(read("h.0.mlp.c_fc.bias"))).toEqual(new Set([0.5]));
  const wide = read("h.0.mlp.c_fc.weight"); // 32 × 128, rows at right angles
  const product = (a: number, b: number) =>
    wide.slice(128 * a, 128 * (a + 1)).reduce((sum, x, at) => sum + x * wide[128 * b + at]!, 0);
  expect(product(3, 3)).toBeCloseTo(1, 10);
  expect(product(3, 4)).toBeCloseTo(0, 10);
});

test.each([
  [{ select: ["h.9.*"], as: "orthogonal" }, "optim/selector"],
  [{ select: "matrices", as: "zeros" }, "nn/symmetry"],
] as const)("%j is refused", async (one, code) => {
  expect(await refusal(text({ init: [one as never] }))).toMatchObject({ code });
});

test("under mup the wide model's output starts smaller, and its first steps are as long as the narrow one's rates say", async () => {
  const [plain, scaled] = [await firstStep(table()), await firstStep(table({ mup: { hidden: [16, 16] } }))];
  const start = (run: typeof plain, name: string) => run.before.get(`layers.${name}`)!;
  expect(start(scaled, "0.weight")).toEqual(start(plain, "0.weight"));
  expect(start(scaled, "1.weight")).toEqual(start(plain, "1.weight")); // He's start follows the width by itself
  start(scaled, "2.weight").forEach((value, at) => expect(value).toBeCloseTo(start(plain, "2.weight")[at]! / 2, 14));
  const length = (run: typeof plain, name: string) => {
    const moves = Array.from(run.after.get(`layers.${name}`)!, (value, at) => Math.abs(value - start(run, name)[at]!));
    return Math.max(...moves);
  };
  // Adam's first step is the learning rate
  for (const [name, factor] of [
    ["0.weight", 1],
    ["0.bias", 1],
    ["1.weight", 0.25],
    ["2.weight", 0.25],
    ["2.bias", 1],
  ] as const)
    expect(length(scaled, name) / 1e-3, name).toBeCloseTo(factor, 3);
});

test("the narrow model itself is left as it is", async () => {
  expect(await firstStep(table({ mup: { hidden: [64, 64] } }))).toEqual(await firstStep(table()));
});

test("starts of one size follow the width of a GPT: over its root in hidden layers, over it at the head", async () => {
  const wide = await prepare(parseRecipe(text({ mup: { width: 8, heads: 1 } })));
  const factors = new Map([...wide.description.model.parameters()].map(([name, { init }]) => [name, init]));
  expect(factors.get("h.0.attn.c_attn.weight")).toMatchObject({ name: "scaled", factor: 0.5 });
  expect(factors.get("lm_head.weight")).toMatchObject({ name: "scaled", factor: 0.25 });
  expect(factors.get("wte.weight")).toMatchObject({ name: "normal" });
});

test.each([
  ["a rule that is not known", table({ mup: { hidden: [16, 16] }, optimizer: "lamb" }), "config/mup", "lamb"],
  [
    "a tied head",
    text({ mup: { width: 8, heads: 1 }, model: { gpt: { layers: 1, heads: 4, width: 32, context: 8 } } }),
    "config/mup",
    "a tied head",
  ],
  ["narrower heads", text({ mup: { width: 8 } }), "config/mup", "heads of 2"],
  ["another depth", table({ mup: { hidden: [16] } }), "nn/mup", undefined],
  ["a setting that is none", table({ mup: { widht: 8 } }), "config/invalid", undefined],
])("mup with %s is refused", async (_, recipe, code, got) => {
  expect(await refusal(recipe)).toMatchObject({ code, ...(got === undefined ? {} : { got }) });
});

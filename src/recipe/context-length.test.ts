// A context that grows over a run: rows cut into pieces have the loss and gradients of the pieces as rows, a run that is stopped goes on
// to the same bytes, and lengths that cannot be are refused.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { planRecipe, train } from "../api/index.ts";
import { type HostArray, toNumbers } from "../base/index.ts";
import { ReferenceEngine } from "../engine/index.ts";
import { languageModelTask, StepPrograms } from "../train/index.ts";
import { prepare } from "./prepare.ts";
import { parseRecipe } from "./read.ts";
import type { RecipeInput } from "./schema.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "athanor-context-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const growing = { piecewise: { values: [2, 4, 8], boundaries: [64, 160], unit: "tokens" } } as const;
const recipe = (
  context?: NonNullable<RecipeInput["data"]>["context"],
  more: Partial<RecipeInput> = {},
): RecipeInput => ({
  data: {
    rows: ["the cat sat on the mat and the dog sat on the log. ".repeat(8)],
    ...(context === undefined ? {} : { context }),
  },
  model: { gpt: { layers: 1, heads: 1, width: 8, context: 8, dropout: 0.2 } },
  optimizer: { adamw: { lr: { cosine: { peak: 0.01, total: 256, unit: "tokens" } } } },
  batch: { size: 4, lanes: 2 },
  steps: 8, // of 32 tokens each: two, then three, then three
  eval: { every: 4 },
  checkpoint: { every: 4 },
  precision: "f64",
  ...more,
});

test.each([1, 2, 4])(
  "rows cut into %i pieces have the loss and gradients of the pieces as rows, dropout too",
  async (pieces) => {
    const { description, source } = await prepare(parseRecipe(recipe(8 / pieces)));
    const { rows, ...batch } = await source.next(4);
    const ids = rows!.data as Int32Array;
    const open = (one: typeof description) => {
      const programs = new StepPrograms(one, new ReferenceEngine());
      programs.initialize();
      return programs;
    };
    const clock = { step: 3, samples: 0, tokens: 0, epoch: 0 };
    const cut = await open(description).gradient({ step: 3, batch, sampleIds: ids, clock });
    const split = ({ dtype, data }: HostArray): HostArray => ({ dtype, shape: [4 * pieces, 8 / pieces], data });
    const sizes = { batchSize: 4 * pieces, batchSizes: undefined, microbatch: undefined };
    const apart = await open({ ...description, ...sizes, task: languageModelTask(8 / pieces) }).gradient({
      step: 3,
      batch: { tokens: split(batch.tokens!), targets: split(batch.targets!) },
      sampleIds: Int32Array.from(
        { length: 4 * pieces },
        (_, at) => ids[Math.floor(at / pieces)]! * pieces + (at % pieces),
      ),
    });
    expect(cut.loss).toBeCloseTo(apart.loss, 12);
    for (const [name, gradient] of apart.gradients)
      assertClose(toNumbers(cut.gradients.get(name)!), toNumbers(gradient), { absolute: 1e-14, what: name });
  },
);

test("a run that is stopped before, at or behind a boundary goes on to the same bytes, which are its own", async () => {
  const { hash } = await train(recipe(growing), { runDir: join(folder, "whole") }).outcome;
  const plain = await train(recipe(), { runDir: join(folder, "plain") }).outcome;
  expect(plain.hash).not.toBe(hash);
  for (const until of [2, 3, 5]) {
    const runDir = join(folder, `cut-${until}`);
    expect(await train(recipe(growing), { runDir, until }).outcome).toMatchObject({ ending: "paused", step: until });
    expect((await train(recipe(growing), { runDir, resume: true }).outcome).hash).toBe(hash);
  }
});

test("the plan shows it", async () => {
  const { changing, items } = await planRecipe(parseRecipe(recipe(growing)));
  expect(items).toBe(8 * 32);
  expect(changing).toMatchObject([
    {
      name: "data.context",
      unit: "tokens",
      boundaries: [{ point: { step: 2, value: 4 } }, { point: { step: 5, value: 8 } }],
    },
  ]);
});

test.each([
  [3, "3"],
  [{ piecewise: { values: [4, 16], boundaries: [64] } }, "16"],
  [{ linear: { from: 2, to: 8, end: 10 } }, "linear"],
])("lengths %j are refused", async (context, got) => {
  const error = await prepare(parseRecipe(recipe(context))).catch((one) => one);
  expect(error).toMatchObject({ code: "config/context", where: "data.context", got });
});

test("of rows of a table there is none", async () => {
  const table = { data: { rows: [{ x: 1, y: 2 }], target: "y", context: 4 }, model: { mlp: {} } };
  await expect(prepare(parseRecipe(table))).rejects.toMatchObject({ code: "config/unread", where: "data.context" });
});

// Batches of so many tokens: losses and gradients are those of the same rows padded whole, a run that is stopped within an epoch goes on to the
// same bytes, the plan knows the largest shape, and data without lengths are refused.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { planRecipe, train } from "../api/index.ts";
import { allocate, type HostArray, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { ReferenceEngine } from "../engine/index.ts";
import { forecast, StepGraphs, StepPrograms } from "../train/index.ts";
import { prepare } from "./prepare.ts";
import { parseRecipe } from "./read.ts";
import type { RecipeInput } from "./schema.ts";

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "athanor-tokens-"));
});
afterEach(() => rmSync(folder, { recursive: true }));

const words = ["cat", "sat", "mat", "dog", "log"];
const textOf = (at: number) => Array.from({ length: 1 + ((at * at) % 5) }, (_, n) => words[(at + n) % 5]).join(" ");
const settings = { batch: { tokens: 80, lanes: 2 }, precision: "f64", optimizer: { adamw: { lr: 0.01 } } } as const;
const kinds: { [kind: string]: RecipeInput } = {
  classes: {
    data: { rows: Array.from({ length: 60 }, (_, at) => ({ text: textOf(at), label: at % 3 })) },
    model: { bert: { layers: 1, heads: 1, width: 8, context: 24, dropout: 0, pooling: "mean" } },
    ...settings,
  },
  pairs: {
    data: { rows: Array.from({ length: 60 }, (_, at) => ({ source: textOf(at), target: textOf(3 * at + (at % 7)) })) },
    model: { transformer: { layers: 1, heads: 1, width: 8, context: 24, targetContext: 22, dropout: 0 } },
    ...settings,
  },
  conversations: {
    data: {
      rows: Array.from({ length: 60 }, (_, at) => ({ prompt: textOf(at), completion: textOf(at + 3) })),
      chat: { template: "chatml" },
    },
    model: { gpt: { layers: 1, heads: 1, width: 8, context: 128 } },
    ...settings,
    batch: { tokens: 400, lanes: 2 },
  },
};

/** The rows as wide as the task's, behind them as padding is there. */
function widened(
  name: string,
  { dtype, shape: [rows, ...row], data }: HostArray,
  wanted: readonly number[],
): HostArray {
  const [from, to] = [row[0] ?? 1, wanted[1] ?? 1];
  const result = (allocate(dtype, rows! * to) as Int32Array).fill(name === "tokens" && to === 128 ? 0 : -1);
  for (let at = 0; at < rows!; at++) result.set((data as Int32Array).subarray(at * from, (at + 1) * from), at * to);
  return { dtype, shape: [rows!, ...wanted.slice(1)], data: result };
}

test.each(Object.keys(kinds))("%s: a batch has the loss and gradients of its rows padded whole", async (kind) => {
  const { description, source } = await prepare(parseRecipe(kinds[kind]!));
  expect(description.shapes!.length).toBeGreaterThan(2);
  const open = (one: typeof description) => {
    const programs = new StepPrograms(one, new ReferenceEngine());
    programs.initialize();
    return programs;
  };
  const own = open(description);
  const seen = new Set<string>();
  let partial = 0;
  for (let step = 0; step < 40 && (partial === 0 || seen.size < 3); step++) {
    const { rows: data } = source.upcoming!();
    const { rows, ...batch } = await source.next(0);
    const sampleIds = rows!.data as Int32Array;
    const shape = batch.tokens!.shape.join();
    const isNew = !seen.has(shape) || data < sampleIds.length;
    seen.add(shape);
    if (!isNew) continue;
    partial += data < sampleIds.length ? 1 : 0;
    const sizes = { batchSize: sampleIds.length, batchSizes: undefined, microbatch: undefined, shapes: undefined };
    const feeds = description.task.feeds(sampleIds.length);
    const whole = Object.entries(batch).map(([name, array]) => [name, widened(name, array, feeds[name]!.shape)]);
    const found = await own.gradient({ step, batch, sampleIds });
    const wanted = await open({ ...description, ...sizes }).gradient({
      ...{ step, sampleIds, batch: Object.fromEntries(whole) },
    });
    expect(found.loss).toBeCloseTo(wanted.loss, 12);
    for (const [name, gradient] of wanted.gradients)
      assertClose(toNumbers(found.gradients.get(name)!), toNumbers(gradient), { absolute: 1e-13, what: name });
  }
  expect([seen.size >= 3, partial > 0]).toEqual([true, true]);
});

test("a run that is stopped within an epoch goes on to the same bytes, on one clock", async () => {
  const recipe: RecipeInput = { ...kinds.classes!, steps: 18, eval: { every: 9 }, checkpoint: { every: 7 } };
  const clocks: number[] = [];
  const { hash } = await train(recipe, {
    runDir: join(folder, "whole"),
    onEvent: (event) => void (event.type === "step" && clocks.push(event.rows!)),
  }).outcome;
  for (const until of [3, 10]) {
    const runDir = join(folder, `cut-${until}`);
    expect(await train(recipe, { runDir, until }).outcome).toMatchObject({ ending: "paused", step: until });
    expect((await train(recipe, { runDir, resume: true }).outcome).hash).toBe(hash);
  }
  const { clockAt } = await prepare(parseRecipe(recipe));
  clocks.reduce((samples, rows, step) => {
    expect(clockAt(step).samples).toBe(samples);
    return samples + rows;
  }, 0);
  await expect(
    train({ ...recipe, batch: { tokens: 90, lanes: 2 } }, { runDir: join(folder, "whole"), resume: true }).outcome,
  ).rejects.toThrow("batch.tokens");
});

test("the plan's memory is that of the largest shape, its work that of an epoch", async () => {
  const recipe = parseRecipe(kinds.pairs!);
  const { description } = await prepare(recipe);
  const { shapes } = description;
  const engine = new ReferenceEngine();
  const graphs = new StepGraphs(description);
  const plans = graphs.compile(engine);
  const arenas = graphs.forms.map(
    (form) => compile(graphs.accumulate(graphs.sums.at(-1)!, form), engine.target).arenaBytes,
  );
  const { memory, itemsPerStep } = forecast(graphs, plans, engine);
  const largest = Math.max(...arenas, plans.update.arenaBytes, plans.evaluate.arenaBytes);
  expect(new Set(arenas).size).toBeGreaterThan(1);
  expect(memory.activations).toBe(largest);
  const batches = shapes!.reduce((sum, shape) => sum + shape.batches, 0);
  const items = shapes!.reduce((sum, { rows, lengths, batches }) => sum + batches * rows * lengths.targets!, 0);
  expect(itemsPerStep).toBeCloseTo(items / batches, 9);
  const planned = await planRecipe(recipe);
  expect(planned.changing.map(({ name }) => name)).toContain("rows of a step");
});

test("what it does not go with is refused", async () => {
  const error = async (recipe: RecipeInput) => {
    try {
      return await prepare(parseRecipe(recipe));
    } catch (error) {
      return error;
    }
  };
  const text = {
    data: { rows: ["the cat sat on the mat. ".repeat(20)] },
    model: { gpt: { layers: 1, heads: 1, width: 8, context: 8 } },
  };
  expect(await error({ ...text, batch: { tokens: 64 } })).toMatchObject({
    code: "config/unread",
    where: "batch.tokens",
  });
  expect(await error({ ...kinds.classes!, batch: { tokens: 20 } })).toMatchObject({ code: "data/batch-tokens" });
  for (const batch of [{ size: 8 }, { size: 32 }, { microbatch: 2 }, { coupling: "linear" as const }])
    expect(await error({ ...kinds.classes!, batch: { tokens: 80, ...batch } })).toMatchObject({
      code: "config/invalid",
    });
  expect(await error({ ...text, batch: { lengths: 3 } })).toMatchObject({ code: "config/invalid" });
  const once = parseRecipe(kinds.classes!);
  expect(parseRecipe(once as RecipeInput)).toEqual(once); // a recipe that was read is one that may be written
  const notes: string[] = [];
  await prepare(parseRecipe(kinds.classes!), { onNote: (note) => void notes.push(note) });
  expect(notes.join()).toMatch(/batches of up to 80 tokens: .* of them padding, instead of/);
});

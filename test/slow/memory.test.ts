// Memory is known before a run; the JavaScript thread stays free. That nothing grows in it is r14-soak.test.ts's.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readRecipe } from "../../src/recipe/index.ts";
import { amount, noTimings } from "../amount.ts";
import { makeText, scratchFolder } from "../support/cli.ts";
import { measureRun } from "../support/measure.ts";

const recipes = fileURLToPath(new URL("../../recipes", import.meta.url));

let folder: ReturnType<typeof scratchFolder>;
beforeAll(() => {
  folder = scratchFolder();
  writeFileSync(join(folder.path, "corpus.txt"), makeText(400_000));
});
afterAll(() => folder.remove());

const MiB = 2 ** 20;
const gpt = (sizes: object) => ({ gpt: { dropout: 0, bias: false, ...sizes } });
const experts = (context: number) => ({
  llama: { layers: 3, heads: 4, width: 256, hidden: 512, context, experts: { count: 8 } },
});
const adapter = { lora: { rank: 8, targets: ["*.experts.*", "*_proj"], base: "nf4" } };
const recipeOf = (model: object, rest: object) => ({
  data: { path: join(folder.path, "corpus.txt") },
  tokenizer: "char",
  model,
  optimizer: { adamw: { clip: 1 } },
  eval: { every: 0 },
  checkpoint: { every: 0 },
  ...rest,
});

describe("peak memory is what the plan says", () => {
  test.each([
    ["many activations", gpt({ layers: 4, heads: 4, width: 256, context: 256 }), { batch: { size: 16 } }],
    ["many parameters", gpt({ layers: 6, heads: 8, width: 512, context: 64 }), { batch: { size: 4 } }],
    ["a budget", gpt({ layers: 6, heads: 8, width: 512, context: 256 }), { batch: { size: 16 }, memory: "800MiB" }],
    ["lanes", gpt({ layers: 4, heads: 4, width: 256, context: 128 }), { batch: { size: 32, lanes: 4 } }],
    ["experts", experts(256), { batch: { size: 16 } }],
    ["experts in bf16", experts(256), { batch: { size: 16 }, precision: "bf16" }],
    ["adapters of experts beside NF4", experts(512), { batch: { size: 16 }, adapter }],
  ])("%s", async (name, model, rest) => {
    const measured = await measureRun(recipeOf(model, { steps: 4, ...rest }), join(folder.path, name));
    const used = measured.peakBytes;
    const slack = Math.max(0.05 * measured.plannedBytes, 64 * MiB);
    console.info(
      `${name}: planned ${(measured.plannedBytes / MiB).toFixed(0)} MiB, used ${(used / MiB).toFixed(0)} MiB`,
    );
    expect(Math.abs(used - measured.plannedBytes)).toBeLessThan(slack);
  });
});

test("a 10 ms timer is less than 10 ms late while a large step runs", async ({ skip }) => {
  if (noTimings !== undefined) skip(noTimings);
  const measured = await measureRun(
    recipeOf(gpt({ layers: 6, heads: 6, width: 384, context: 256 }), { steps: amount(30, 4), batch: { size: 16 } }),
    join(folder.path, "timer"),
  );
  console.info(`timer late: p99 ${measured.timerP99Ms.toFixed(1)} ms, at most ${measured.timerMaxMs.toFixed(1)} ms`);
  expect(measured.timerP99Ms).toBeLessThan(10);
});

// A table's steps of a tenth of a millisecond run on the thread that also makes the batches: there is nothing to overlap with.
test.for(["sotu-bpe.yaml", "shakespeare-char-small.yaml"])(
  "the steps of %s wait for data less than a hundredth of their time",
  async (file, { skip }) => {
    if (noTimings !== undefined) skip(noTimings);
    const { samples: _, ...recipe } = await readRecipe(join(recipes, file), {
      set: ["steps=200", `data.path=${join(folder.path, "corpus.txt")}`],
    });
    const { stall } = await measureRun(recipe, join(folder.path, file));
    console.info(`${file}: ${(100 * stall).toFixed(2)} % of the steps' time waits for data`);
    expect(stall).toBeLessThan(0.01);
  },
);

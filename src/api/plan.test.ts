// What `athanor inspect` shows is what is run: the passes listed are those that the plan was made with.
import { expect, test } from "vitest";
import { compile, passesFor, RecomputeLadder, referenceTarget } from "../compiler/index.ts";
import { parseRecipe } from "../recipe/index.ts";
import { inspectRecipe, planRecipe } from "./plan.ts";

test.each([
  ["f32", "auto"],
  ["bf16", "auto"],
  ["f32", "full"],
] as const)("in %s with recompute: %s the passes shown lead to the plan", async (precision, recompute) => {
  const recipe = parseRecipe({
    data: { rows: ["abcd ".repeat(40)] },
    model: { gpt: { layers: 1, heads: 1, width: 8, context: 4 } },
    engine: { name: "reference" },
    batch: { size: 2 },
    precision,
    recompute,
  });
  const shown = await inspectRecipe(recipe, ["accumulate", "update", "evaluate"]);
  for (const { program, traced, passes, plan } of shown) {
    const storage = precision === "bf16" && program !== "update" ? "bf16" : undefined;
    const spares = recompute === "full" && program === "accumulate";
    const full = spares ? new RecomputeLadder(traced, referenceTarget).rungs.at(-1)!.recompute : undefined;
    const options = { storage, recompute: full } as const;
    const names = passesFor(referenceTarget, options).map(({ name }) => name);
    expect(
      passes.map(({ pass }) => pass.name),
      program,
    ).toEqual(names);
    expect(compile(traced, referenceTarget, options), program).toEqual(plan);
  }
  expect(shown.map(({ program }) => program)).toEqual(["accumulate", "update", "evaluate"]);
});

test("memory by method: before a text, virtual tokens take places of each layer, keys and values their own numbers", async () => {
  const { methods } = await planRecipe(
    parseRecipe({
      data: { rows: ["abcd ".repeat(40)] },
      model: { llama: { layers: 2, heads: 4, keyValueHeads: 2, width: 32, context: 16 } },
      adapter: { prefix: { tokens: 3, projection: 10 } },
      engine: { name: "reference" },
      batch: { size: 2 },
    }),
  );
  const trained = Object.fromEntries(methods.map(({ method, numTrained }) => [method, numTrained]));
  const rows = 2 * 2 * 2 * 8; // keys and values of two layers, two heads of eight channels
  const projection = 3 * 32 + (32 + 1) * 10 + (10 + 1) * rows;
  expect(trained).toMatchObject({ prompt: 3 * 32, prefix: 3 * rows, "prefix, projection": projection });
  const [full, prompt, prefix] = methods.map(({ memory }) => memory);
  expect(prompt!.parameters - full!.parameters).toBe(4 * 3 * 32);
  expect(prefix!.parameters - full!.parameters).toBe(4 * 3 * rows);
  for (const [at, method] of ["prompt", "prefix"].entries())
    expect(methods[at + 1]!.memory.slots, method).toBe(2 * 4 * trained[method]!);
});

test("memory by method: what LoRA adds is below 5 % of what full training keeps beside the parameters; in few bits the base shrinks", async () => {
  const { methods } = await planRecipe(
    parseRecipe({
      data: { rows: ["abcd ".repeat(40)] },
      model: { gpt: { layers: 2, heads: 4, width: 128, context: 8 } },
      adapter: { lora: { rank: 4, targets: ["*.c_attn"] } },
      engine: { name: "reference" },
      batch: { size: 2 },
    }),
  );
  const [full, lora, int8, nf4] = ["full", "lora", "lora, int8", "lora, nf4"].map(
    (name) => methods.find(({ method }) => method === name)!,
  );
  const beside = ({ memory }: typeof full) => memory!.gradients + memory!.slots;
  const matrices = 2 * 12 * 128 ** 2; // of the blocks
  const narrow = 2 * 4 * (128 + 3 * 128); // A and B
  expect(lora!.numTrained).toBe(narrow);
  expect(lora!.memory.parameters - full!.memory.parameters).toBe(4 * narrow);
  const extra = 4 * narrow + beside(lora!);
  expect(extra).toBeLessThan(0.05 * beside(full!));
  expect(beside(full!)).toBeGreaterThan(3 * 4 * matrices); // a gradient and two moments
  const kept = (method: typeof full) => method!.memory.parameters - (lora!.memory.parameters - 4 * matrices);
  expect(kept(int8) / matrices).toBeCloseTo(1 + 4 / 128, 1); // a byte, and a scale for each output
  expect(kept(nf4) / matrices).toBeCloseTo(0.5 + (1 + 4 / 256) / 64, 2);
  expect(beside(nf4!)).toBe(beside(lora!));
});

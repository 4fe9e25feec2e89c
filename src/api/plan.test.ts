// What `athanor inspect` shows is what is run: the passes listed are those that the plan was made with.
import { expect, test } from "vitest";
import { compile, passesFor, RecomputeLadder, referenceTarget } from "../compiler/index.ts";
import { parseRecipe } from "../recipe/index.ts";
import { inspectRecipe } from "./plan.ts";

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

// Prompts for a language model that learns from rewards: it writes the completions itself.
import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { addReference, fillReference, GrpoSource, grpoTask, preparePrompts, type Reward } from "../align/index.ts";
import { fail } from "../base/index.ts";
import { modelFamily } from "../models/index.ts";
import { batchesOf, batchSizeOf, evaluationRows } from "./batches.ts";
import { chosenModel, contextOf, roomOf } from "./chosen-model.ts";
import { keepsReference } from "./loss.ts";
import { counted, tellInvalid } from "./notes.ts";
import type { PreparedData, PrepareOptions } from "./prepare.ts";
import type { Recipe } from "./schema.ts";
import { tokenizerSpec } from "./text-data.ts";

export async function prepareRewarded(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const { data, seed } = recipe;
  const settings = recipe.loss!.grpo!;
  const [family, config] = chosenModel(recipe);
  const reward = await rewardOf(settings.reward);
  const context = roomOf(contextOf(family, config, "language-model"), recipe);
  const { train, heldOut, tokenizer, endToken, width, sha256, ...report } = await preparePrompts(
    data.path === undefined ? { records: data.rows! } : { path: data.path },
    {
      tokenizer: tokenizerSpec(recipe.tokenizer ?? "byte", options),
      ...{ context, seed, validation: data.heldOut, invalid: data.invalid },
      ...settings,
    },
  );
  const batches = batchesOf(batchSize(recipe), recipe, Number.POSITIVE_INFINITY);
  const facts = { task: "language-model", vocab: tokenizer.vocabSize } as const;
  const built = modelFamily(family).build(config, facts);
  if (keepsReference(recipe)) addReference(built.module, modelFamily(family).build(config, facts).module);
  options.onNote?.(`${counted(train.length + heldOut.length, "prompt")}, ${settings.group} completions each`);
  tellInvalid(report, options.onNote);
  const source = new GrpoSource({ train, heldOut, settings, reward, tokenizer, endToken, width, seed });
  return {
    family,
    built,
    task: grpoTask(settings, width, recipe.precision === "f64" ? "f64" : "f32"),
    source,
    batches,
    heldOut: () => source.heldOutBatches(evaluationRows(recipe)),
    isSameLoss: false,
    warnings: [],
    dataHash: sha256,
    tokenizer,
    files: { "tokenizer.json": JSON.stringify(tokenizer) },
    begin: async (programs, files) => {
      if (files === undefined && keepsReference(recipe)) fillReference(programs);
      source.begin(programs);
      return {};
    },
  };
}

/** Completions of a step: whole groups. Errors with `config/grpo`. */
function batchSize(recipe: Recipe): number {
  const { group } = recipe.loss!.grpo!;
  const size = batchSizeOf(recipe);
  if (typeof size === "number" && size % group === 0) return size;
  return fail("config/grpo", "a step is made of whole groups of completions", {
    where: "batch.size",
    expected: `a multiple of loss.grpo.group (${group})`,
    got: JSON.stringify(size),
    fix: `set batch.size: ${4 * group}`,
  });
}

/** The function itself, or the one that a module exports. Errors with `config/reward`. */
async function rewardOf(given: string | Reward | undefined): Promise<Reward> {
  if (typeof given === "function") return given;
  if (given === undefined)
    return fail("config/reward", "nothing says what a completion is worth", {
      where: "loss.grpo.reward",
      expected: "a module's path, or from code a function",
      got: "none; a function given from code is not in a run's record",
      fix: "write a module with: export const reward = (prompt, completion, row) => …",
    });
  const { createJiti } = await import("jiti");
  const module = await createJiti(import.meta.url, { interopDefault: false })
    .import<{ reward?: unknown; default?: unknown }>(resolve(given))
    .catch((cause: Error) =>
      fail("config/reward", "the reward's module cannot be loaded", {
        where: `loss.grpo.reward: ${given}`,
        expected: "a module that exports reward, .ts, .mts, .js or .mjs",
        got: existsSync(given) ? cause.message : "no such file",
        fix: existsSync(given)
          ? "mend the module; `node` alone says where it fails"
          : "check the path: it is seen from the recipe's folder, with --set from here",
        cause,
      }),
    );
  const reward = module.reward ?? module.default;
  if (typeof reward === "function") return reward as Reward;
  return fail("config/reward", "the module exports no reward", {
    where: given,
    expected: "a function called reward, or the default export",
    got: Object.keys(module).join(", ") || "no exports",
    fix: "write: export const reward = (prompt, completion, row) => …",
  });
}

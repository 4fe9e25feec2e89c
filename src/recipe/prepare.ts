// From a validated recipe to what training needs: data read and encoded, model built, task, optimizer, batches. The names in
// the recipe are resolved here and nowhere else.
import { fail } from "../base/index.ts";
import type { Tokenizer } from "../data/index.ts";
import { type BuiltModel, modelFamily } from "../models/index.ts";
import { type Clock, type ClockRates, clockAt, parseOptimizer, validateSchedule } from "../optim/index.ts";
import type { Batch, BatchSource, StepDescription } from "../train/index.ts";
import { chosenModel } from "./chosen-model.ts";
import { prepareTableData } from "./prepare-table.ts";
import { prepareLanguageModel } from "./prepare-text.ts";
import { prepareTextClasses } from "./prepare-text-classes.ts";
import type { Recipe } from "./schema.ts";

/** Data and model of a run. */
export interface PreparedData {
  /** The family's name, the module, and its complete configuration. */
  readonly family: string;
  readonly built: BuiltModel;
  /** Class names by id, for classifiers. */
  readonly classes?: readonly string[];
  readonly task: StepDescription["task"];
  readonly source: BatchSource;
  /** Held-out batches of `evalBatchSize` rows, anew at each call. */
  readonly heldOut: () => AsyncIterable<Batch>;
  readonly dataHash: string;
  /** For models of text. */
  readonly tokenizer?: Tokenizer;
  /** Small files that a checkpoint carries: `tokenizer.json`, `table.json`. */
  readonly files: { readonly [name: string]: string };
}

export interface Prepared extends Omit<PreparedData, "built" | "task" | "family" | "classes"> {
  readonly recipe: Recipe;
  /** For the run's name: `gpt`, `mlp`. */
  readonly label: string;
  readonly description: StepDescription;
  readonly learningRate: (clock: Clock) => number;
  readonly clockAt: (step: number) => Clock;
}

export interface PrepareOptions {
  readonly onNote?: (text: string) => void;
}

/** The reader that fits the model's inputs and tasks. */
async function readData(recipe: Recipe, options: PrepareOptions): Promise<PreparedData> {
  const [name] = chosenModel(recipe);
  const { tasks, reads } = modelFamily(name);
  if (tasks.includes("language-model")) return await prepareLanguageModel(recipe, options);
  return reads === "texts" ? await prepareTextClasses(recipe, options) : await prepareTableData(recipe, options);
}

/** Reads the data and builds the model of a recipe. Errors with `config/*`, `data/*`, `tokenizer/*`, `optim/*`. */
export async function prepare(recipe: Recipe, options: PrepareOptions = {}): Promise<Prepared> {
  const optimizer = parseOptimizer(recipe.optimizer, { steps: recipe.steps });
  if ((recipe.data.path === undefined) === (recipe.data.rows === undefined)) {
    fail("config/data", "a recipe names its data once", {
      where: "data",
      expected: "either data.path or data.rows",
      got: recipe.data.path === undefined ? "neither" : "both",
      fix: "give data.path: a file, folder or glob",
    });
  }
  const data = await readData(recipe, options);
  const { built, family, classes, task, source, files, ...rest } = data;
  const rates: ClockRates = {
    samplesPerStep: source.batchSize,
    tokensPerStep: source.batchSize * task.itemsPerRow,
    samplesPerEpoch: source.samplesPerEpoch,
  };
  validateSchedule(optimizer.learningRate, recipe.steps, rates);
  return {
    ...rest,
    source,
    recipe,
    label: family,
    files: {
      ...files,
      "model.json": JSON.stringify({
        format: "athanor-model",
        family,
        config: built.config,
        task: task.name,
        seed: recipe.seed,
        ...(classes === undefined ? {} : { classes }),
      }),
    },
    description: {
      model: built.module,
      task,
      optimizer,
      batchSize: source.batchSize,
      lanes: recipe.batch.lanes,
      evalBatchSize: recipe.eval.batch ?? recipe.batch.size,
      dtype: recipe.precision === "f64" ? "f64" : "f32",
      seed: recipe.seed,
    },
    learningRate: (clock) => optimizer.learningRate.at(clock),
    clockAt: (step) => clockAt(step, rates),
  };
}

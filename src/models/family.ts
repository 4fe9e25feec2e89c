// What a model family is to the rest of the system: its settings, what it needs of the data, and the module they make. With
// it, training and recipes know no model by name.
import type { z } from "zod";
import type { DType, Shape } from "../base/index.ts";
import type { Module } from "../nn/index.ts";

export const taskNames = [
  "language-model",
  "sequence-to-sequence",
  "classification",
  "regression",
  "masked-language-model",
  "token-classification",
  "question-answering",
  "multiple-choice",
  "embedding",
] as const;
/** What a model is trained to do. */
export type TaskName = (typeof taskNames)[number];

/** What the data say about a model's ends. Each family uses its own part. */
export interface DataFacts {
  readonly task: TaskName;
  /** Ids of the tokenizer. */
  readonly vocab?: number;
  /** Numbers per row of a table. */
  readonly features?: number;
  /** Classes, 1 for regression, or the most texts to choose from. */
  readonly outputs?: number | undefined;
}

/** What is known of every model that makes a text from a text. */
export interface SequenceConfig {
  readonly vocab: number;
  /** Longest source, in tokens. */
  readonly context: number;
  /** Longest target, in tokens. */
  readonly targetContext: number;
  /** Token that a target begins with; it is fed, and never written. */
  readonly start: number;
  /** Token that ends a source and a target. */
  readonly end: number;
}

/** A model, ready to be traced. Nothing is allocated. */
export interface BuiltModel<Config = unknown> {
  readonly module: Module;
  /** The configuration whole: defaults and what the data gave are filled in. Building from it again gives the same model. */
  readonly config: Config;
  /** What `forward` takes, one row of it: names in order of the arguments. Floats (f32) take the dtype of the run. */
  readonly inputs: { readonly [name: string]: { readonly dtype: DType; readonly shape: Shape } };
}

export interface ModelFamily<Config = unknown> {
  /** The key of a recipe's `model`. */
  readonly name: string;
  readonly doc: string;
  readonly tasks: readonly TaskName[];
  /** What a row of its data is: a text, or a record of numbers and categories. */
  readonly reads: "texts" | "records";
  /** Its texts begin with `[CLS]` and end with `[SEP]`. */
  readonly isFramed?: true;
  /** True for a parameter of one task's alone: what is trained for another task begins with fresh ones. */
  readonly isHead?: (name: string) => boolean;
  /** The parameter with a row for each position, where positions are learnt: a shorter context takes the first rows. */
  readonly positionTable?: string;
  /** Whether `forward` takes positions and documents behind the tokens, so that rows may be packed. */
  readonly packs?: boolean;
  /** What a recipe may write: types, defaults, checks and descriptions. */
  readonly schema: z.ZodType;
  /** Errors with `config/invalid` and all problems at once, and with `model/*` where settings and data disagree. */
  build(config: unknown, facts: DataFacts): BuiltModel<Config>;
}

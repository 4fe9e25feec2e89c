// Tasks: what is fed to a model and what its loss is. They know kinds of data, no model by name.
import {
  type Clock,
  type DType,
  type FloatDType,
  fail,
  type Shape,
  type Varying,
  valueAt,
  valuesOf,
} from "../base/index.ts";
import { crossEntropy, type Tensor, where } from "../core/index.ts";
import type { Module } from "../nn/index.ts";

/** Sums over the rows of a batch; the mean is their quotient, so that lanes and batches of any size add up. */
export interface LossSums {
  readonly sum: Tensor;
  /** How many items `sum` counts: tokens, rows. */
  readonly count: Tensor;
  /** Further sums to report in evaluation, such as `correct`. */
  readonly extra?: { readonly [name: string]: Tensor };
}

export interface Task {
  readonly name: string;
  /** Feeds of a batch of `rows` rows. */
  feeds(rows: number): { readonly [name: string]: { readonly dtype: DType; readonly shape: Shape } };
  /** Items of one row that the loss counts: tokens of a window, or 1. */
  readonly itemsPerRow: number;
  /** What they are, in one word. Default: tokens of a window, or rows. */
  readonly item?: string;
  /** Factors that bring the loss and the extra means into the data's own units, where the model sees scaled targets. */
  readonly units?: { readonly loss: number; readonly extra: { readonly [name: string]: number } };
  /** Rows that a training row is cut into, at a time of the run; all that there may be. Left out, rows stay whole. */
  readonly pieces?: { readonly counts: readonly number[]; at(clock: Clock): number };
  /** Whether the loss is a token's surprise, whose exp is a perplexity. Default: of language models. */
  readonly inNats?: boolean;
  loss(model: Module, feeds: { readonly [name: string]: Tensor }): LossSums;
}

/** The model's only tensor output. Errors with `train/model-output`. */
function forward(model: Module, ...inputs: Tensor[]): Tensor {
  const output = model.forward(...inputs);
  if (typeof output !== "object" || output === null || !("graph" in output)) {
    fail("train/model-output", "forward did not return a Tensor", {
      where: model.constructor.name,
      expected: "a Tensor",
      got: typeof output,
      fix: "return the logits or predictions as one Tensor",
    });
  }
  return output as Tensor;
}

/**
 * Next-token prediction: tokens i32[B,T] → logits (B,T,V), targets i32[B,T] with −1 ignored. Of `packed` rows the model is also given
 * positions and documents, i32[B,T]. `lengths` are what training rows are cut into over the run, each a divisor of `context`.
 */
export function languageModelTask(
  context: number,
  { packed = false, lengths }: { readonly packed?: boolean; readonly lengths?: Varying | undefined } = {},
): Task {
  const rowInputs = packed ? ["tokens", "positions", "documents"] : ["tokens"];
  return {
    name: "language-model",
    itemsPerRow: context,
    ...(lengths === undefined
      ? {}
      : {
          pieces: {
            counts: valuesOf(lengths).map((length) => context / length),
            at: (clock) => context / valueAt(lengths, clock),
          },
        }),
    feeds: (rows) =>
      Object.fromEntries([...rowInputs, "targets"].map((name) => [name, { dtype: "i32", shape: [rows, context] }])),
    loss: (model, { targets, ...given }) => {
      const logits = forward(model, ...rowInputs.map((name) => given[name]!)); // (B, T, V)
      const flat = targets!.reshape(-1);
      const losses = crossEntropy(logits.reshape(-1, logits.shape.at(-1)!), flat, -1);
      return { sum: losses.sum(), count: flat.notEqual(-1).cast(losses.dtype).sum() };
    },
  };
}

/** Guessing hidden words: tokens i32[B,T] and their places i32[B,K] → logits (B,K,V), targets i32[B,K] with −1 ignored. */
export function maskedLanguageModelTask(context: number, places: number): Task {
  return {
    name: "masked-language-model",
    itemsPerRow: context,
    inNats: true,
    feeds: (rows) => ({
      tokens: { dtype: "i32", shape: [rows, context] },
      places: { dtype: "i32", shape: [rows, places] },
      targets: { dtype: "i32", shape: [rows, places] },
    }),
    loss: (model, { tokens, places, targets }) => classSums(forward(model, tokens!, places!), targets!),
  };
}

/** A class of each token: tokens i32[B,T] → logits (B,T,classes), targets i32[B,T] with −1 ignored. */
export function tokenClassificationTask(context: number): Task {
  const row = (rows: number) => ({ dtype: "i32", shape: [rows, context] }) as const;
  return {
    name: "token-classification",
    itemsPerRow: context,
    item: "word",
    inNats: false,
    feeds: (rows) => ({ tokens: row(rows), targets: row(rows) }),
    loss: (model, { tokens, targets }) => classSums(forward(model, tokens!), targets!),
  };
}

/**
 * Where an answer begins and ends: tokens and tokenTypes i32[B,T] → logits (B,T,2), targets i32[B,2], a row with −1 ignored. Padding (token
 * −1) is no place. The loss is the mean of both; right are rows of which both are.
 */
export function spanTask(context: number): Task {
  const row = (rows: number) => ({ dtype: "i32", shape: [rows, context] }) as const;
  return {
    name: "question-answering",
    itemsPerRow: 1,
    inNats: false,
    feeds: (rows) => ({ tokens: row(rows), tokenTypes: row(rows), targets: { dtype: "i32", shape: [rows, 2] } }),
    loss: (model, { tokens, tokenTypes, targets }) => {
      const logits = forward(model, tokens!, tokenTypes!);
      const ends = [0, 1].map((at) => {
        const scores = where(tokens!.greaterEqual(0), logits.slice(-1, at, at + 1).reshape(...tokens!.shape), -1e9);
        const target = targets!.slice(1, at, at + 1).reshape(-1);
        return { losses: crossEntropy(scores, target, -1), right: scores.argMax(-1).equal(target) };
      });
      const [start, end] = ends as [(typeof ends)[0], (typeof ends)[0]];
      const counted = targets!.slice(1, 0, 1).reshape(-1).notEqual(-1);
      const float = (x: Tensor) => x.cast(logits.dtype).sum();
      return {
        sum: start.losses.add(end.losses).sum().mul(0.5),
        count: float(counted),
        extra: { correct: float(start.right.and(end.right).and(counted)) },
      };
    },
  };
}

/** Cross-entropy and right guesses of logits (…, V) against class ids i32 (…), −1 ignored. */
function classSums(logits: Tensor, targets: Tensor): LossSums {
  const [flat, scores] = [targets.reshape(-1), logits.reshape(-1, logits.shape.at(-1)!)];
  const losses = crossEntropy(scores, flat, -1);
  const counted = flat.notEqual(-1);
  const correct = scores.argMax(-1).equal(flat).and(counted).cast(losses.dtype).sum();
  return { sum: losses.sum(), count: counted.cast(losses.dtype).sum(), extra: { correct } };
}

/** Inputs of a supervised task: named feeds of one row. */
export type RowTypes = { readonly [name: string]: { readonly dtype: DType; readonly shape: Shape } };

function rowFeeds(inputs: RowTypes, target: DType): Task["feeds"] {
  return (rows) => ({
    ...Object.fromEntries(
      Object.entries(inputs).map(([name, { dtype, shape }]) => [name, { dtype, shape: [rows, ...shape] }]),
    ),
    targets: { dtype: target, shape: [rows] },
  });
}

/** Losses (B), one per row, of what a model gives and its targets. */
type RowLoss = (prediction: Tensor, target: Tensor) => Tensor;

export interface ClassificationOptions {
  /** Of logits (B,V) and targets i32[B]; 0 where the target is −1. Default cross-entropy. */
  readonly loss?: RowLoss;
}

/** A text from a text: model(source i32[B,S], tokens i32[B,T]) → logits (B,T,V), targets i32[B,T] with −1 ignored. */
export function sequenceTask(inputs: RowTypes, options: ClassificationOptions & Pick<Task, "inNats"> = {}): Task {
  const { loss = crossEntropy, inNats = true } = options;
  const [length] = inputs.tokens!.shape as [number];
  return {
    name: "sequence-to-sequence",
    itemsPerRow: length,
    inNats,
    feeds: (rows) => ({ ...rowFeeds(inputs, "i32")(rows), targets: { dtype: "i32", shape: [rows, length] } }),
    loss: (model, { source, tokens, targets }) => {
      const logits = forward(model, source!, tokens!); // (B, T, V)
      const flat = logits.reshape(-1, logits.shape.at(-1)!);
      const wanted = targets!.reshape(-1);
      const losses = loss(flat, wanted);
      const counted = wanted.notEqual(-1);
      const correct = flat.argMax(-1).equal(wanted).and(counted).cast(losses.dtype).sum();
      return { sum: losses.sum(), count: counted.cast(losses.dtype).sum(), extra: { correct } };
    },
  };
}

/** One class per row: model(inputs…) → logits (B,V), targets i32[B]. */
export function classificationTask(inputs: RowTypes, options: ClassificationOptions = {}): Task {
  const { loss = crossEntropy } = options;
  return {
    name: "classification",
    itemsPerRow: 1,
    feeds: rowFeeds(inputs, "i32"),
    loss: (model, feeds) => {
      const logits = forward(model, ...Object.keys(inputs).map((name) => feeds[name]!));
      const losses = loss(logits, feeds.targets!);
      const counted = feeds.targets!.notEqual(-1);
      const correct = logits.argMax(-1).equal(feeds.targets!).and(counted).cast(losses.dtype).sum();
      return { sum: losses.sum(), count: counted.cast(losses.dtype).sum(), extra: { correct } };
    },
  };
}

export interface RegressionOptions {
  /** Of the targets. Default f32. */
  readonly dtype?: FloatDType;
  /** What the targets were divided by: errors are told in the units from before. Default 1. */
  readonly targetScale?: number;
  /** Of predictions (B) and targets (B); 0 where they are equal. Default squared error. */
  readonly loss?: RowLoss;
  /** Brings that loss into the units from before. Default targetScale², as squared error has it. */
  readonly lossScale?: number;
}

/** One number per row: model(inputs…) → (B,1), targets float[B]. */
export function regressionTask(inputs: RowTypes, options: RegressionOptions = {}): Task {
  const { dtype = "f32", targetScale = 1, lossScale = targetScale ** 2, loss } = options;
  return {
    name: "regression",
    itemsPerRow: 1,
    units: { loss: lossScale, extra: { absolute: targetScale } },
    feeds: rowFeeds(inputs, dtype),
    loss: (model, feeds) => {
      const predicted = forward(model, ...Object.keys(inputs).map((name) => feeds[name]!));
      const target = feeds.targets!;
      if (predicted.shape.length !== 2 || predicted.shape[1] !== 1) {
        fail("shape/regression", "a regression model predicts one number per row", {
          expected: `[${target.shape[0]},1]`,
          got: predicted.toString(),
          fix: "set outputs: 1",
        });
      }
      // Rows that fill up a last batch carry NaN as their target and count for nothing.
      const counted = target.equal(target);
      const wanted = where(counted, target, 0);
      const given = where(counted, predicted.reshape(-1), 0);
      const difference = given.sub(wanted);
      const losses = loss === undefined ? difference.square() : loss(given, wanted);
      return {
        sum: losses.sum(),
        count: counted.cast(predicted.dtype).sum(),
        extra: { absolute: difference.abs().sum() },
      };
    },
  };
}

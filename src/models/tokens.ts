// What every model of text asks of its tokens.
import { fail, type Shape } from "../base/index.ts";
import { iota, type Tensor, take } from "../core/index.ts";
import type { DataFacts } from "./family.ts";

/** Errors with `model/context` unless the tokens are i32 (B, T) with T up to what `start` trained places before them leave of the context. */
export function checkTokens(tokens: Tensor, context: number, start = 0): void {
  const room = context - start;
  if (tokens.dtype === "i32" && tokens.rank === 2 && tokens.shape[1]! <= room) return;
  fail("model/context", "tokens do not fit the model", {
    expected: `i32[batch, up to ${room}]`,
    got: tokens.toString(),
    fix: "cut the text into windows of at most context tokens, or make a model with a longer context",
  });
}

/** Errors with `model/packed` for rows of several documents, which have positions of their own, where trained places stand before a row. */
export function checkRows(positions: Tensor | undefined, start: number): void {
  if (positions === undefined || start === 0) return;
  fail("model/packed", "what is trained before a text stands before a row, not before each document in it", {
    expected: "a text in each row",
    got: "a packed row",
    fix: "leave out data.packing",
  });
}

/** One position of each row: (B, n, C) at i32 (B) → (B, C). */
export function pickPosition(hidden: Tensor, at: Tensor): Tensor {
  const [batch, time, width] = hidden.shape as [number, number, number];
  return take(hidden.reshape(batch * time, width), at.add(iota([batch], 0).mul(time)));
}

/** Classes of a head, or texts to choose from: as many as are given, else the data's. Errors with `model/outputs`. */
export function settleOutputs(where: string, given: number | undefined, data: number | undefined): number {
  const outputs = given ?? data;
  if (outputs !== undefined && outputs >= (data ?? 0)) return outputs;
  return fail("model/outputs", "model and data do not fit", {
    where,
    expected: `at least ${data ?? 1}, as the data have`,
    got: outputs === undefined ? "not known" : String(outputs),
    fix: `leave ${where.split(".").at(-1)} out, so that the data decides`,
  });
}

/** A row of tokens; of a multiple choice as many as the data have choices, and one where they are not known. */
export function textShape({ task, outputs = 1 }: Pick<DataFacts, "task" | "outputs">, context: number): Shape {
  return task === "multiple-choice" ? [outputs, context] : [context];
}

/** Rows of a token table: as many as are given, else the tokenizer's, else a preset's. Errors with `model/vocab`. */
export function settleVocab(
  where: string,
  known: {
    readonly given: number | undefined;
    readonly preset: number | undefined;
    readonly tokenizer: number | undefined;
  },
): number {
  const { given, preset, tokenizer } = known;
  const vocab = given ?? tokenizer ?? preset;
  if (vocab === undefined)
    return fail("model/vocab", "the size of the vocabulary is not known", { where, fix: "give vocab, or a tokenizer" });
  if (tokenizer !== undefined && vocab < tokenizer) {
    fail("model/vocab", "the tokenizer has more ids than the model has rows", {
      where,
      expected: `at least ${tokenizer}`,
      got: String(vocab),
      fix: "leave vocab out, or use the tokenizer that the model was made for",
    });
  }
  return vocab;
}

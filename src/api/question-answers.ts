// Answers to questions about texts, by a model that scores where they begin and end.
import { fail } from "../base/index.ts";
import { QuestionEncoder, type Tokenizer } from "../data/index.ts";
import type { Predictor } from "../train/index.ts";

/** A piece of the context, from character `start` to before `end`; empty where the context does not answer. */
export interface AnswerPrediction {
  readonly answer: string;
  readonly start: number;
  readonly end: number;
  /** By how much it is likelier than the other choice, an answer or none, in nats. */
  readonly score: number;
}

/** Answers `{ question, context }` rows. Errors with `data/record`. */
export async function answerQuestions(
  rows: readonly unknown[],
  { predictor, tokenizer, length }: { predictor: Predictor; tokenizer: Tokenizer; length: number },
): Promise<AnswerPrediction[]> {
  const encoder = new QuestionEncoder(tokenizer, length);
  const asked = rows.map((row, at) => {
    const { question, context } = (row ?? {}) as { question?: unknown; context?: unknown };
    if (typeof question !== "string" || typeof context !== "string")
      return fail("data/record", "this model answers questions about texts", {
        where: `row ${at + 1}`,
        expected: "an object with question and context, both strings",
        got: typeof row === "object" && row !== null ? Object.keys(row).join(", ") : typeof row,
        fix: "give one row, or a list of rows, as expected",
      });
    return { context, windows: encoder.windows({ question, context }) };
  });
  const all = asked.flatMap(({ windows }) => windows);
  const together = (name: "tokens" | "tokenTypes") => {
    const data = new Int32Array(all.length * length);
    all.forEach((window, at) => {
      data.set(window[name], at * length);
    });
    return data;
  };
  const scores = await predictor.run({ tokens: together("tokens"), tokenTypes: together("tokenTypes") }, all.length);
  return asked.map(({ context, windows }) => encoder.answer({ context }, windows, scores.splice(0, windows.length)));
}

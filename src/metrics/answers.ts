// Answers to questions against the true ones, by SQuAD's rules (Rajpurkar et al. 2016, 2018; its evaluation script).
import { fail } from "../base/index.ts";
import { splitAtSpaces } from "./ngrams.ts";

/** Lower case, without punctuation and the articles a, an and the, single spaces. Letters are those of all languages: año has no article. */
export function normalizeAnswer(text: string): string {
  const plain = text.toLowerCase().replace(/[!-/:-@[-`{-~]/g, "");
  return splitAtSpaces(plain.replace(/(?<![\p{L}\p{N}])(a|an|the)(?![\p{L}\p{N}])/gu, " ")).join(" ");
}

/** F1 of the words of two answers; where one is empty, 1 if both are. */
export function answerF1(answer: string, truth: string): number {
  const words = (text: string) => normalizeAnswer(text).split(" ").filter(Boolean);
  const [given, wanted] = [words(answer), words(truth)];
  if (given.length === 0 || wanted.length === 0) return Number(given.length === wanted.length);
  const left = new Map<string, number>();
  for (const word of wanted) left.set(word, (left.get(word) ?? 0) + 1);
  let common = 0;
  for (const word of given) {
    const count = left.get(word) ?? 0;
    if (count > 0) common++;
    left.set(word, count - 1);
  }
  return (2 * common) / (given.length + wanted.length);
}

export interface AnswerScores {
  /** Shares from 0 to 1: of each question the best over its true answers. */
  readonly exactMatch: number;
  readonly f1: number;
  /** Of the questions without an answer, those that were given none; left out where there are no such questions. */
  readonly unanswerableRecall?: number;
  readonly count: number;
}

/** Scores of answers, "" being none, against the true ones of each question; none true, the question has no answer. Errors with `metric/empty`. */
export function answerScores(
  pairs: readonly { readonly answer: string; readonly truths: readonly string[] }[],
): AnswerScores {
  if (pairs.length === 0) return fail("metric/empty", "there are no answers to score", { where: "answerScores" });
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const best = (score: (answer: string, truth: string) => number) =>
    mean(
      pairs.map(({ answer, truths }) =>
        Math.max(...(truths.length === 0 ? [""] : truths).map((truth) => score(answer, truth))),
      ),
    );
  const unanswerable = pairs.filter(({ truths }) => truths.length === 0);
  return {
    exactMatch: best((answer, truth) => Number(normalizeAnswer(answer) === normalizeAnswer(truth))),
    f1: best(answerF1),
    ...(unanswerable.length === 0
      ? {}
      : { unanswerableRecall: mean(unanswerable.map(({ answer }) => Number(answer === ""))) }),
    count: pairs.length,
  };
}

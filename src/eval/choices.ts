// Multiple choice by log-likelihood, in the manner of lm-evaluation-harness: the choice that the model finds likeliest after the
// question is its answer.
import type { TokenScorer } from "./token-scorer.ts";

export interface ChoiceQuestion {
  readonly question: string;
  readonly choices: readonly string[];
  /** Number of the right choice, from 0. */
  readonly answer: number;
}

export interface ChoiceScore {
  /** Share of questions whose likeliest choice is right. */
  readonly accuracy: number;
  /** The same with every log-likelihood divided by the length of its choice, in characters. */
  readonly normalizedAccuracy: number;
  readonly count: number;
}

type Encode = (text: string) => ArrayLike<number>;

/**
 * Tokens of a context and what follows it, and where the latter begins: spaces at the context's end belong to what follows, and
 * both are encoded as one text. Of more than `longest` tokens the last stay.
 */
export function encodePair(
  encode: Encode,
  { context, follows, longest }: { readonly context: string; readonly follows: string; readonly longest: number },
) {
  const given = context.trimEnd();
  const whole = Array.from(encode(context + follows));
  const cut = Math.max(0, whole.length - longest);
  return { tokens: whole.slice(cut), from: Math.max(1, encode(given).length - cut) };
}

/** Scores questions; a space stands between a question and its choices. */
export async function scoreChoices(
  scorer: TokenScorer,
  encode: Encode,
  questions: readonly ChoiceQuestion[],
): Promise<ChoiceScore> {
  const rows = questions.flatMap(({ question, choices }) =>
    choices.map((choice) => encodePair(encode, { context: question, follows: ` ${choice}`, longest: scorer.longest })),
  );
  const scores = (await scorer.score(rows)).map(({ logProbability }) => logProbability);
  let [first, right, rightNormalized] = [0, 0, 0];
  for (const { choices, answer } of questions) {
    const own = scores.slice(first, first + choices.length);
    first += choices.length;
    const normalized = own.map((score, at) => score / choices[at]!.length);
    right += Number(own.indexOf(Math.max(...own)) === answer);
    rightNormalized += Number(normalized.indexOf(Math.max(...normalized)) === answer);
  }
  const count = questions.length;
  return { accuracy: right / count, normalizedAccuracy: rightNormalized / count, count };
}

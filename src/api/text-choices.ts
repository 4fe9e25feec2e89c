// Which of several texts fits a question, by a model that scores each of them beside it.
import { ChoiceEncoder, choiceBatch, readChoiceRow, type Tokenizer } from "../data/index.ts";
import { type Predictor, softmaxOf } from "../train/index.ts";

export interface ChoicePrediction {
  /** Number of the choice, from 0, and its text. */
  readonly index: number;
  readonly choice: string;
  readonly probability: number;
  /** Of each choice. */
  readonly probabilities: readonly number[];
}

/** Chooses in rows of a question and its choices, of any number, in the layouts that `readChoiceRow` knows. Errors with `data/choices`. */
export async function chooseTexts(
  rows: readonly unknown[],
  options: {
    readonly predictor: Predictor;
    readonly tokenizer: Tokenizer;
    readonly length: number;
    readonly isFramed: boolean;
  },
): Promise<ChoicePrediction[]> {
  const encoder = new ChoiceEncoder(options.tokenizer, options.length, options.isFramed);
  const asked = rows.map((row, at) => readChoiceRow(row, `row ${at + 1}`, { answered: false }));
  const encoded = asked.flatMap(({ question, choices }) => choices.map((choice) => [encoder.encode(question, choice)]));
  const feeds = Object.entries(choiceBatch(encoded, encoder, 1)).map(([name, { data }]) => [name, data] as const);
  const scores = await options.predictor.run(Object.fromEntries(feeds), encoded.length);
  return asked.map(({ choices }) => {
    const probabilities = softmaxOf(scores.splice(0, choices.length).map(([score]) => score!));
    const index = probabilities.indexOf(Math.max(...probabilities));
    return { index, choice: choices[index]!, probability: probabilities[index]!, probabilities };
  });
}

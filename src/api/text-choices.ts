// Which of several texts fits a question, by a model that scores each of them beside it.
import { ChoiceDataset, type ChoiceEncoding, readChoiceRow } from "../data/index.ts";
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
  { predictor, ...encoding }: ChoiceEncoding & { readonly predictor: Predictor },
): Promise<ChoicePrediction[]> {
  const asked = rows.map((row, at) => readChoiceRow(row, `row ${at + 1}`, { answered: false }));
  const alone = asked.flatMap(({ question, choices }) =>
    choices.map((one) => ({ question, choices: [one], answer: 0 })),
  );
  const { targets: _, ...feeds } = new ChoiceDataset(alone, { ...encoding, most: 1 }, "").collate([...alone.keys()]);
  const features = Object.fromEntries(Object.entries(feeds).map(([name, { data }]) => [name, data]));
  const scores = await predictor.run(features, alone.length);
  return asked.map(({ choices }) => {
    const probabilities = softmaxOf(scores.splice(0, choices.length).map(([score]) => score!));
    const index = probabilities.indexOf(Math.max(...probabilities));
    return { index, choice: choices[index]!, probability: probabilities[index]!, probabilities };
  });
}

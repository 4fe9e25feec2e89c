// Labels of words, and the entities that they make, by a model that scores the labels of tokens.
import { fail } from "../base/index.ts";
import { encodeSentence, splitWords, type Tokenizer } from "../data/index.ts";
import { type Entity, entitiesOf } from "../metrics/index.ts";
import type { Predictor } from "../train/index.ts";

export interface LabelPrediction {
  readonly words: readonly string[];
  /** One per word; words beyond the model's context are O. */
  readonly labels: readonly string[];
  /** Words `start` to before `end`, with what they say. */
  readonly entities: readonly (Entity & { readonly words: readonly string[] })[];
}

/** Labels of rows: texts, or `{ tokens }` (or `words`) where words are known. Errors with `data/record`. */
export async function labelWords(
  rows: readonly unknown[],
  options: {
    readonly predictor: Predictor;
    readonly tokenizer: Tokenizer;
    readonly length: number;
    readonly classes: readonly string[];
  },
): Promise<LabelPrediction[]> {
  const { predictor, tokenizer, length, classes } = options;
  const texts = rows.map((row, at) => {
    if (typeof row === "string") return splitWords(row).map(({ start, end }) => row.slice(start, end));
    const { tokens, words = tokens } = (row ?? {}) as { tokens?: unknown; words?: unknown };
    if (Array.isArray(words) && words.every((word) => typeof word === "string")) return words as string[];
    return fail("data/record", "this model labels words", {
      where: `row ${at + 1}`,
      expected: "a text, or an object with tokens, a list of words",
      got: typeof row === "object" && row !== null ? Object.keys(row).join(", ") : typeof row,
      fix: "give one row, or a list of rows, as expected",
    });
  });
  const encoded = texts.map((words) => encodeSentence(words, tokenizer, { length }));
  const tokens = new Int32Array(rows.length * length);
  encoded.forEach((one, at) => {
    tokens.set(one.tokens, at * length);
  });
  const scores = await predictor.run({ tokens }, rows.length);
  return texts.map((words, at) => {
    const labels = encoded[at]!.places.map((place) => {
      const given = scores[at]!.subarray(place * classes.length, (place + 1) * classes.length);
      return place < 0 ? "O" : classes[given.indexOf(Math.max(...given))]!;
    });
    const entities = entitiesOf(labels).map((one) => ({ ...one, words: words.slice(one.start, one.end) }));
    return { words, labels, entities };
  });
}

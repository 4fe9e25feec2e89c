// Retrieval: by a model's vectors, each text looks among all that belong to some text for what belongs to it.
import { type RetrievalScores, ranksOf, retrievalScores } from "../metrics/index.ts";
import type { WantedText } from "./written-texts.ts";

type Embed = (texts: readonly string[]) => Promise<readonly (readonly number[])[]>;

/** Scores of pairs by the cosines of their vectors; `candidates` is the number of different targets. */
export async function scoreRetrieval(
  embed: Embed,
  rows: readonly WantedText[],
): Promise<RetrievalScores & { readonly candidates: number }> {
  const targets = new Map<string, number>();
  const belonging = rows.map(({ target }) =>
    [...new Set([target].flat())].map((text) => {
      if (!targets.has(text)) targets.set(text, targets.size);
      return targets.get(text)!;
    }),
  );
  const unit = (vector: readonly number[]) => {
    const length = Math.hypot(...vector) || 1;
    return Float64Array.from(vector, (value) => value / length);
  };
  const keys = (await embed([...targets.keys()])).map(unit);
  const queries = (await embed(rows.map(({ source }) => source))).map(unit);
  const ranks = queries.map((query, at) => {
    const cosines = keys.map((key) => key.reduce((sum, value, channel) => sum + value * query[channel]!, 0));
    return ranksOf(cosines, belonging[at]!);
  });
  return { ...retrievalScores(ranks), candidates: keys.length };
}

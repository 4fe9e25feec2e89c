// Retrieval: by a model's vectors, each text looks among all that belong to some text for what belongs to it. Recall among the first k, and the
// reciprocal rank of the first that belongs.
import type { WantedText } from "./written-texts.ts";

/** Means over queries: `recall@1`, `recall@5` and `recall@10`, `meanReciprocalRank`; and over how many of what. */
export type RetrievalScores = { readonly [figure: string]: number };

/**
 * Ranks, from 1, of the candidates that belong to a query, the best first. A candidate that does not belong stands before one of the same score, so that
 * scores that are all alike find nothing.
 */
export function ranksOf(scores: readonly number[], belonging: readonly number[]): number[] {
  const own = new Set(belonging);
  const best = [...own].map((at) => scores[at]!).sort((a, b) => b - a);
  const others = scores.filter((_, at) => !own.has(at));
  return best.map((score, before) => 1 + before + others.filter((other) => other >= score).length);
}

/** Figures of queries, each with the ranks of what belongs to it. */
export function retrievalScores(queries: readonly (readonly number[])[]): RetrievalScores {
  const mean = (of: (ranks: readonly number[]) => number) =>
    queries.reduce((sum, ranks) => sum + of(ranks), 0) / queries.length;
  const recall = (k: number) => mean((ranks) => ranks.filter((rank) => rank <= k).length / ranks.length);
  const recalls = [1, 5, 10].map((k) => [`recall@${k}`, recall(k)] as const);
  return { ...Object.fromEntries(recalls), meanReciprocalRank: mean(([first]) => 1 / first!), count: queries.length };
}

/** Scores of pairs by the cosines of their vectors; `candidates` is the number of different targets. */
export async function scoreRetrieval(
  embed: (texts: readonly string[]) => Promise<readonly (readonly number[])[]>,
  rows: readonly WantedText[],
): Promise<RetrievalScores> {
  const targets = [...new Set(rows.flatMap(({ target }) => target))];
  const places = new Map(targets.map((text, at) => [text, at]));
  const unit = (vector: readonly number[]) => vector.map((value) => value / (Math.hypot(...vector) || 1));
  const keys = (await embed(targets)).map(unit);
  const queries = (await embed(rows.map(({ source }) => source))).map(unit);
  const ranks = queries.map((query, at) => {
    const cosines = keys.map((key) => key.reduce((sum, value, channel) => sum + value * query[channel]!, 0));
    return ranksOf(
      cosines,
      [rows[at]!.target].flat().map((text) => places.get(text)!),
    );
  });
  return { ...retrievalScores(ranks), candidates: keys.length };
}

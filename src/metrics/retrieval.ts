// How well what belongs to a query is found among candidates: recall among the first k, and the reciprocal rank of the first that belongs.

/** Means over queries. */
export interface RetrievalScores {
  /** Share of what belongs to a query that stands among the first k candidates. */
  readonly "recall@1": number;
  readonly "recall@5": number;
  readonly "recall@10": number;
  /** 1 / the rank of the first candidate that belongs to the query (MRR). */
  readonly meanReciprocalRank: number;
  readonly count: number;
}

/**
 * Ranks, from 1, of the candidates that belong to a query, the best first. A candidate that does not belong stands before one of the same score, so that
 * scores that are all alike find nothing.
 */
export function ranksOf(scores: ArrayLike<number>, belonging: readonly number[]): number[] {
  const own = new Set(belonging);
  const best = [...own].map((at) => scores[at]!).sort((a, b) => b - a);
  const others = Array.from(scores).filter((_, at) => !own.has(at));
  return best.map((score, before) => 1 + before + others.filter((other) => other >= score).length);
}

/** Figures of many queries, each with the ranks of what belongs to it, the best first; of none they are NaN. */
export function retrievalScores(queries: readonly (readonly number[])[]): RetrievalScores {
  const mean = (of: (ranks: readonly number[]) => number) =>
    queries.reduce((sum, ranks) => sum + of(ranks), 0) / queries.length;
  const recall = (k: number) => mean((ranks) => ranks.filter((rank) => rank <= k).length / ranks.length);
  return {
    "recall@1": recall(1),
    "recall@5": recall(5),
    "recall@10": recall(10),
    meanReciprocalRank: mean(([first]) => 1 / first!),
    count: queries.length,
  };
}

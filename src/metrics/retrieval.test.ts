// Retrieval against ranks counted by hand, and chance where vectors know nothing.
import { expect, test } from "vitest";
import { ranksOf, retrievalScores } from "./index.ts";

test.each([
  ["the best of all", [0.1, 0.9, 0.5], [1], [1]],
  ["the second", [0.1, 0.9, 0.5], [2], [2]],
  ["two that belong, between others", [5, 4, 3, 2], [1, 3], [2, 4]],
  ["two that belong, of one score: one behind the other", [5, 4, 4, 2], [1, 2], [2, 3]],
  ["as good as another: behind it", [1, 1, 0], [0], [2]],
  ["all alike: behind all others", [0, 0, 0, 0], [2], [4]],
])("ranks: %s", (_, scores, belonging, ranks) => {
  expect(ranksOf(scores, belonging)).toEqual(ranks);
});

test("recall is a share of what belongs, the reciprocal rank of the first alone", () => {
  // of three queries: found at once; one of two within five; beyond ten
  expect(retrievalScores([[1], [4, 7], [20]])).toEqual({
    "recall@1": 1 / 3,
    "recall@5": (1 + 1 / 2) / 3,
    "recall@10": 2 / 3,
    meanReciprocalRank: (1 + 1 / 4 + 1 / 20) / 3,
    count: 3,
  });
});

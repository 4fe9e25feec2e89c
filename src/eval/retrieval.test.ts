// Retrieval by vectors whose cosines are known: angles on a circle.
import { expect, test } from "vitest";
import { ranksOf, retrievalScores, scoreRetrieval } from "./index.ts";

const degrees: { readonly [text: string]: number } = {
  a: 0,
  b: 90,
  c: 180,
  "to a": 10,
  "to b": 50,
  "also b": 100,
  "to c": 95,
};
/** Lengths that differ: cosines know nothing of them. */
const embed = async (texts: readonly string[]) =>
  texts.map((text, at) => [Math.cos, Math.sin].map((of) => (1 + at) * of((degrees[text]! * Math.PI) / 180)));

test("each query looks among the targets of all", async () => {
  const rows = [
    { source: "a", target: "to a" }, // 10° away; the next is 50° away: first
    { source: "b", target: ["to b", "also b"] }, // "to c" 5°, "also b" 10°, "to b" 40°: second and third
    { source: "c", target: "to c" }, // "also b" 80°, "to c" 85°: second
  ];
  const {
    "recall@1": first,
    "recall@5": five,
    meanReciprocalRank,
    count,
    candidates,
  } = await scoreRetrieval(embed, rows);
  expect([first, five, count, candidates]).toEqual([1 / 3, 1, 3, 4]);
  expect(meanReciprocalRank).toBeCloseTo((1 + 1 / 2 + 1 / 2) / 3, 15);
});

test("a target of several sources is one candidate, and vectors that are all alike find nothing", async () => {
  const rows = ["a", "b", "c"].map((source) => ({ source, target: source === "c" ? "to c" : "to a" }));
  const same = async (texts: readonly string[]) => texts.map(() => [1, 2]);
  expect(await scoreRetrieval(same, rows)).toMatchObject({ "recall@1": 0, candidates: 2, meanReciprocalRank: 1 / 2 });
});

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

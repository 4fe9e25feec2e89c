// Retrieval by vectors whose cosines are known: angles on a circle.
import { expect, test } from "vitest";
import { scoreRetrieval } from "./index.ts";

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

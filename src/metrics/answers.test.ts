// SQuAD's rules, by what its evaluation script (evaluate-v2.0.py) gives for these answers, worked out by hand.
import { expect, test } from "vitest";
import { answerF1, answerScores, normalizeAnswer } from "./answers.ts";

test.each([
  ["The  Cat's, hat!", "cats hat"],
  ["an apple a day", "apple day"],
  ["another theatre", "another theatre"],
  ["the", ""],
  ["El año, à la niña", "el año à la niña"],
  ["the Ä\u0085a\ufeff", "ä \ufeff"], // white space is Python's
])("%j is compared as %j", (text, normal) => {
  expect(normalizeAnswer(text)).toBe(normal);
});

test.each([
  ["in the year 1990", "1990", 0.5], // one of three words, one of one: 2·1/(3 + 1)
  ["red red blue", "red", 0.5], // a word counts as often as it is there
  ["", "", 1],
  ["the", "", 1], // nothing is left of it
  ["something", "", 0],
  ["green", "blue", 0],
])("F1 of %j for %j", (answer, truth, f1) => {
  expect(answerF1(answer, truth)).toBe(f1);
});

test("the best of several true answers counts, and none where there is none", () => {
  const scores = answerScores([
    { answer: "the Nile", truths: ["river Nile", "Nile"] },
    { answer: "blue Nile", truths: ["Nile"] },
    { answer: "", truths: [] },
    { answer: "Nile", truths: [] },
  ]);
  expect(scores).toEqual({ exactMatch: 0.5, f1: (1 + 2 / 3 + 1 + 0) / 4, unanswerableRecall: 0.5, count: 4 });
  expect(() => answerScores([])).toThrow("no answers to score");
});

// Beam search against an exhaustive search over all texts of a small random source, and the rules that only few beams show.
import { expect, test } from "vitest";
import { RandomStream } from "../base/index.ts";
import { type BeamOptions, BeamSearch, beamSchema } from "./index.ts";

const [vocab, end] = [4, 0];

/** Logits that depend on the whole text before, so that beams differ in more than their last token. */
function logitsAfter(text: readonly number[], seed: number): number[] {
  const stream = new RandomStream(seed, `text ${text.join()}`);
  return Array.from({ length: vocab }, (_, id) => 2 * stream.normal(id));
}

function search(seed: number, options: BeamOptions) {
  const beams = new BeamSearch(beamSchema.parse(options), [end]);
  let texts: number[][] = [[]]; // the state of this model is the text itself
  while (!beams.isDone) {
    beams.advance(texts.map((text) => logitsAfter(text, seed)));
    texts = beams.tokens.map((token, at) => [...texts[beams.parents[at]!]!, token]);
  }
  return beams.best;
}

function logProbability(text: readonly number[], token: number, seed: number): number {
  const logits = logitsAfter(text, seed);
  return logits[token]! - Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
}

/** Every text of at most `most` tokens, its end counted, with its score. */
function allTexts(seed: number, most: number, lengthPenalty: number) {
  const found: { tokens: number[]; score: number }[] = [];
  const extend = (text: number[], sum: number) => {
    for (let token = 0; token < vocab; token++) {
      const total = sum + logProbability(text, token, seed);
      const length = text.length + 1;
      if (token !== end && length < most) extend([...text, token], total);
      else found.push({ tokens: token === end ? text : [...text, token], score: total / length ** lengthPenalty });
    }
  };
  extend([], 0);
  return found.sort((a, b) => b.score - a.score);
}

test("as many beams as there are texts find the best of all", () => {
  for (const lengthPenalty of [0, 1, 2]) {
    for (const seed of [1, 2, 3, 4, 5]) {
      const wanted = allTexts(seed, 4, lengthPenalty);
      const found = search(seed, { beams: wanted.length, lengthPenalty, maxTokens: 4 });
      expect(found[0]!.tokens).toEqual(wanted[0]!.tokens);
      expect(found[0]!.score).toBeCloseTo(wanted[0]!.score, 12);
    }
  }
});

test("one beam takes the likeliest token each time", () => {
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    const text: number[] = [];
    while (text.length < 6) {
      const logits = logitsAfter(text, seed);
      const token = logits.indexOf(Math.max(...logits));
      if (token === end) break;
      text.push(token);
    }
    expect(search(seed, { maxTokens: 6 })[0]!.tokens).toEqual(text);
  }
});

test("more beams find likelier texts where greedy is led astray, and a greater penalty longer ones", () => {
  const seeds = Array.from({ length: 40 }, (_, at) => at);
  const best = (options: BeamOptions) => seeds.map((seed) => search(seed, { maxTokens: 8, ...options })[0]!);
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const scores = (beams: number) => sum(best({ beams, lengthPenalty: 0 }).map(({ score }) => score));
  expect(scores(4)).toBeGreaterThan(scores(1) + 1);
  const length = (lengthPenalty: number) => sum(best({ beams: 4, lengthPenalty }).map(({ tokens }) => tokens.length));
  expect(length(2)).toBeGreaterThan(length(0));
});

test("a text is told apart from one that was cut off, and early stopping ends before a likelier text is found", () => {
  for (const { tokens, ended } of search(3, { beams: 3, maxTokens: 5 })) expect(ended).toBe(tokens.length < 5);
  const seeds = Array.from({ length: 40 }, (_, at) => at);
  const score = (earlyStopping: boolean) =>
    seeds.map((seed) => search(seed, { beams: 2, earlyStopping, lengthPenalty: 2, maxTokens: 8 })[0]!.score);
  const [early, late] = [score(true), score(false)];
  early.forEach((value, at) => {
    expect(value).toBeLessThanOrEqual(late[at]!);
  });
  expect(early.some((value, at) => value < late[at]!)).toBe(true);
});

test("logits that are no numbers are refused, and tokens of logit −∞ are never taken", () => {
  const beams = () => new BeamSearch(beamSchema.parse({ beams: 2 }), [end]);
  for (const logits of [
    [0, Number.NaN, 1],
    [0, Number.POSITIVE_INFINITY],
  ])
    expect(() => beams().advance([logits])).toThrow("the model's scores of the next token are no numbers");
  const masked = beams();
  masked.advance([[Number.NEGATIVE_INFINITY, 1, 2]]);
  expect(masked.tokens).toEqual([2, 1]);
  masked.advance([
    [Number.NEGATIVE_INFINITY, 1, Number.NEGATIVE_INFINITY],
    [Number.NEGATIVE_INFINITY, Number.NEGATIVE_INFINITY, 2],
  ]);
  expect(masked.tokens).toEqual([1, 2]);
  expect(masked.best).toEqual([]);
});

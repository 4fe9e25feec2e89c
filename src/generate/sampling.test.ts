// The choice of the next token: which tokens stay, and that draws follow their probabilities.
import fc from "fast-check";
import { expect, test } from "vitest";
import { parseConfig, RandomStream } from "../base/index.ts";
import { chooseToken, logProbability, type SamplingOptions, samplingSchema } from "./index.ts";

const sampling = (options: SamplingOptions) => parseConfig(samplingSchema, options, "sampling");

/** Shares of each token over evenly spread draws. */
function shares(logits: readonly number[], options: SamplingOptions, draws = 5000): number[] {
  const counts = logits.map(() => 0);
  const settings = sampling(options);
  for (let i = 0; i < draws; i++) counts[chooseToken(logits, settings, (i + 0.5) / draws)]!++;
  return counts.map((count) => count / draws);
}

function softmax(logits: readonly number[], temperature = 1): number[] {
  const raised = logits.map((logit) => Math.exp(logit / temperature));
  return raised.map((value) => value / raised.reduce((sum, x) => sum + x, 0));
}

const logits = [1.5, -0.5, 2.5, 0, 2.4];

function expectShares(actual: number[], wanted: number[]): void {
  wanted.forEach((share, id) => {
    expect(Math.abs(actual[id]! - share), `share of ${id}`).toBeLessThan(5e-4);
  });
}

test("draws follow the softmax of the logits at any temperature", () => {
  for (const temperature of [0.3, 1, 2]) expectShares(shares(logits, { temperature }), softmax(logits, temperature));
});

test("temperature 0 and topK 1 take the likeliest token, the first among equals", () => {
  expect(shares(logits, { temperature: 0 })).toEqual([0, 0, 1, 0, 0]);
  expect(shares(logits, { topK: 1 })).toEqual([0, 0, 1, 0, 0]);
  expect(shares([0, 3, 3], { temperature: 0 })).toEqual([0, 1, 0]);
});

test("topK keeps the k likeliest, by id among equals, and their proportions", () => {
  const [a, b] = [Math.exp(2.5), Math.exp(2.4)];
  expectShares(shares(logits, { topK: 2 }), [0, 0, a / (a + b), 0, b / (a + b)]);
  expectShares(shares([1, 1, 1, 0], { topK: 2 }), [0.5, 0.5, 0, 0]);
  expectShares(shares(logits, { topK: 99 }), softmax(logits));
});

test("topP keeps the smallest set that reaches the probability", () => {
  const p = [0.5, 0.25, 0.15, 0.1];
  const given = p.map(Math.log);
  expectShares(shares(given, { topP: 0.5 }), [1, 0, 0, 0]);
  expectShares(shares(given, { topP: 0.51 }), [2 / 3, 1 / 3, 0, 0]);
  expectShares(shares(given, { topP: 0.9 }), [0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0]);
  expectShares(shares(given, { topP: 1 }), p);
  expectShares(shares(given, { topK: 3, topP: 0.6 }), [2 / 3, 1 / 3, 0, 0]); // of the three that stay: .56, .28, .17
});

test("minP keeps what is at least that share of the likeliest", () => {
  const p = [0.5, 0.25, 0.15, 0.1];
  const given = p.map(Math.log);
  expectShares(shares(given, { minP: 0.31 }), [2 / 3, 1 / 3, 0, 0]);
  expectShares(shares(given, { minP: 0 }), p);
  expect(shares(given, { minP: 1 })).toEqual([1, 0, 0, 0]);
});

test("repetitionPenalty divides the logits of what was seen, once each, and multiplies negative ones", () => {
  const settings = sampling({ repetitionPenalty: 2 });
  const wanted = softmax([0.75, -1, 2.5, 0, 2.4]);
  const counts = logits.map(() => 0);
  for (let i = 0; i < 5000; i++) counts[chooseToken(logits, settings, (i + 0.5) / 5000, [0, 1, 0, 3])]!++;
  expectShares(
    counts.map((count) => count / 5000),
    wanted,
  );
  expect(chooseToken(logits, sampling({ repetitionPenalty: 1.1, temperature: 0 }), 0, [2])).toBe(4);
});

test("the log-probability of a token is ln of its softmax", () => {
  softmax(logits).forEach((p, id) => {
    expect(logProbability(logits, id)).toBeCloseTo(Math.log(p), 14);
  });
  expect(logProbability([1e4, 0], 1)).toBe(-1e4);
});

test("temperature comes before topP", () => {
  const p = softmax(logits, 0.5).sort((a, b) => b - a);
  const kept = shares(logits, { temperature: 0.5, topP: p[0]! + 1e-6 }).filter((share) => share > 0);
  expect(kept.length).toBe(2);
});

test("a token that topP leaves out in a full sort is never drawn, whatever the logits", () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: -20, max: 20, noNaN: true }), { minLength: 1, maxLength: 30 }),
      fc.double({ min: 0.01, max: 1, noNaN: true }),
      fc.double({ min: 0, max: 1 - 2 ** -24, noNaN: true }),
      (values, topP, uniform) => {
        const id = chooseToken(values, sampling({ topP }), uniform);
        const p = softmax(values);
        // probability of all tokens strictly likelier than the one chosen: below topP, or it would have been left out
        const before = p.filter((share) => share > p[id]!).reduce((sum, share) => sum + share, 0);
        expect(before).toBeLessThan(topP + 1e-9);
      },
    ),
  );
});

test("extreme logits draw without overflow, and what is not finite is refused", () => {
  expect(shares([1e4, -1e4, 1e4], {}, 1000)).toEqual([0.5, 0, 0.5]);
  expect(chooseToken([-1e300, 0], sampling({ temperature: 1e-3 }), 0.999)).toBe(1);
  for (const wrong of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])
    expect(() => chooseToken([0, wrong], sampling({}), 0.5)).toThrow(`logit 1 is ${wrong}`);
});

test("independent draws have the right frequencies (χ² over 5 tokens)", () => {
  const random = new RandomStream(7, "test");
  const wanted = softmax(logits);
  const counts = logits.map(() => 0);
  const draws = 20_000;
  const settings = sampling({});
  for (let i = 0; i < draws; i++) counts[chooseToken(logits, settings, random.uniform(i))]!++;
  const chi = wanted.reduce((sum, share, id) => sum + (counts[id]! - draws * share) ** 2 / (draws * share), 0);
  expect(chi).toBeLessThan(18.5); // 4 degrees of freedom: exceeded once in a thousand
});

test("wrong settings are refused", () => {
  for (const [options, message] of [
    [{ temperature: -1 }, "temperature: must be at least 0, got -1"],
    [{ topK: 0 }, "topK: must be greater than 0, got 0"],
    [{ topP: 1.5 }, "topP: must be at most 1, got 1.5"],
    [{ top_k: 3 }, "did you mean topK?"],
  ] as const)
    expect(() => sampling(options as SamplingOptions)).toThrow(message);
});

// Speculative decoding: greedy texts are the plain model's, drawn ones have exactly its distribution, and no draft is trusted.
import { expect, test } from "vitest";
import { fromNumbers, parseConfig, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { trace, variable } from "../core/index.ts";
import { ReferenceEngine } from "../engine/index.ts";
import { Gpt, gptPresets } from "../models/index.ts";
import { functionalCall, initialize } from "../nn/index.ts";
import {
  DraftModel,
  type GenerationOptions,
  generationSchema,
  judgeProposal,
  TokenGenerator,
  tokenWeights,
} from "./index.ts";

const engine = new ReferenceEngine();

/** A small model with weights far apart, so that its tokens are not all alike. */
function makeModel(seed: number, sizes: { readonly vocab: number; readonly context: number }) {
  const model = new Gpt({ ...gptPresets.nano, layers: 1, heads: 2, width: 8, tiedHead: false, ...sizes });
  const store = engine.createStore();
  for (const [name, { init, shape }] of model.parameters()) {
    const { dtype, data } = initialize(init, name, shape, "f64", seed);
    store.declare([{ name, dtype, shape }]);
    store.write(name, { dtype, shape, data: name.includes("ln_") ? data : (data as Float64Array).map((x) => 10 * x) });
  }
  return { engine, store, model };
}

/** The logits after `tokens`, by a whole pass without a cache. */
function wholePass({ store, model }: ReturnType<typeof makeModel>, tokens: readonly number[]): Float64Array {
  const graph = trace(
    { tokens: { dtype: "i32", shape: [1, tokens.length] } },
    (feeds) => {
      const parameters = [...model.parameters()].map(
        ([name, { shape }]) => [name, variable(name, "f64", shape)] as const,
      );
      return functionalCall(model, new Map(parameters), () => model.forward(feeds.tokens));
    },
    { floatDType: "f64" },
  );
  const program = engine.load(compile(graph, engine.target), store);
  const feeds = { tokens: fromNumbers("i32", [1, tokens.length], tokens) };
  return toNumbers(engine.runNow({ program, feeds }).outputs.result!).slice(-model.config.vocab);
}

test("greedy texts are the plain model's, whatever the draft is, past the end of the context too", async () => {
  const large = makeModel(5, { vocab: 20, context: 12 });
  const plain = new TokenGenerator({ ...large, chunk: 5 });
  const prompts = [[3], [0, 18, 7], Array.from({ length: 15 }, (_, i) => (7 * i) % 19)];
  const drafts = [large, makeModel(6, { vocab: 20, context: 12 }), makeModel(7, { vocab: 23, context: 9 })];
  for (const [at, draft] of drafts.entries())
    for (const draftTokens of [1, 3, 40]) {
      const settings = { temperature: 0, maxTokens: 25, repetitionPenalty: 1.2, logProbabilities: true };
      const wanted = await plain.generateAll(prompts, settings);
      const texts = await plain.generateAll(prompts, { ...settings, draft: new DraftModel(draft), draftTokens });
      expect(texts.map(({ tokens }) => tokens)).toEqual(wanted.map(({ tokens }) => tokens));
      expect(new Set(texts[0]!.tokens).size).toBeGreaterThan(2);
      for (const { draft: counts } of texts) {
        expect(counts!.proposed).toBeGreaterThan(0);
        if (at === 0) expect(counts!.accepted).toBe(counts!.proposed); // the model would say the same itself
      }
    }
});

test("texts end where the plain model's do: a stop token, the end of the context, a signal", async () => {
  const large = makeModel(5, { vocab: 20, context: 8 });
  const generator = new TokenGenerator(large);
  const [whole] = await generator.generateAll([[1, 2]], { temperature: 0, maxTokens: 20 });
  const draft = new DraftModel(large);
  const ends: readonly GenerationOptions[] = [{ stopTokens: [whole!.tokens[3]!] }, { atContextEnd: "stop" }];
  for (const more of ends) {
    const settings = { temperature: 0, maxTokens: 20, ...more };
    const [wanted] = await generator.generateAll([[1, 2]], settings);
    expect((await generator.generateAll([[1, 2]], { ...settings, draft }))[0]).toMatchObject({ ...wanted });
  }
  const signal = AbortSignal.abort();
  const [begun] = await generator.generateAll([[1, 2]], { temperature: 0, signal, draft });
  expect(begun).toMatchObject({ tokens: [], ending: "aborted" });
});

/** χ² of counts against probabilities, and the bound that it passes once in a million (Wilson & Hilferty 1931). */
function chiSquare(counts: readonly number[], probabilities: readonly number[]) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let statistic = 0;
  let freedom = -1;
  probabilities.forEach((probability, at) => {
    if (probability === 0) return expect(counts[at]).toBe(0);
    statistic += (counts[at]! - total * probability) ** 2 / (total * probability);
    freedom++;
  });
  const spread = 2 / (9 * freedom);
  return { statistic, bound: freedom * (1 - spread + 4.753 * Math.sqrt(spread)) ** 3 };
}

test("the judged token is distributed as the model's, not as the draft's", () => {
  const p = Float64Array.of(5, 0, 3, 1, 1);
  const q = Float64Array.of(1, 4, 2, 0, 3);
  // each proposal with its weight, and a grid of both numbers: an integral of the rule, not a sample
  const steps = 100;
  const shares = new Float64Array(5);
  q.forEach((weight, token) => {
    for (let i = 0; i < steps; i++)
      for (let j = 0; j < steps; j++)
        shares[judgeProposal({ token, weights: q }, p, (i + 0.5) / steps, (j + 0.5) / steps)]! += weight;
  });
  for (const [id, share] of shares.entries()) expect(share / (10 * steps ** 2)).toBeCloseTo(p[id]! / 10, 2);
});

const cases: readonly GenerationOptions[] = [
  { temperature: 1 },
  { temperature: 1.7, topK: 3 },
  { temperature: 1.3, topP: 0.8, repetitionPenalty: 1.6 },
  { temperature: 0.9, minP: 0.2 },
];
for (const [at, options] of cases.entries()) {
  test(`drawn texts have the model's distribution: ${JSON.stringify(options)}`, async () => {
    const vocab = 4;
    const large = makeModel(11, { vocab, context: 8 });
    const draft = new DraftModel(makeModel(23, { vocab, context: 8 }));
    const prompt = [1];
    const settings = { ...options, maxTokens: 4, draftTokens: 2, seed: 100 + at, samples: 1500 };
    const texts = await new TokenGenerator(large).generateAll([prompt], { ...settings, draft });
    // all texts of the first three tokens, with what the plain model gives each: two proposed in one run, one behind them
    const { samples: _, ...one } = settings;
    const sampling = parseConfig(generationSchema, one, "test");
    let wanted: { tokens: number[]; probability: number }[] = [{ tokens: [], probability: 1 }];
    for (let length = 0; length < 3; length++)
      wanted = wanted.flatMap(({ tokens, probability }) => {
        const seen = [...prompt, ...tokens];
        const weights = tokenWeights(wholePass(large, seen), sampling, seen);
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        return Array.from(weights, (weight, id) => ({
          tokens: [...tokens, id],
          probability: (probability * weight) / total,
        }));
      });
    const counts = wanted.map(
      ({ tokens }) => texts.filter((text) => text.tokens.slice(0, 3).join() === tokens.join()).length,
    );
    const { statistic, bound } = chiSquare(
      counts,
      wanted.map(({ probability }) => probability),
    );
    expect(statistic).toBeLessThan(bound);
    const proposed = texts.reduce((sum, text) => sum + text.draft!.proposed, 0);
    const accepted = texts.reduce((sum, text) => sum + text.draft!.accepted, 0);
    expect(accepted / proposed).toBeGreaterThan(0.1);
    expect(accepted / proposed).toBeLessThan(0.95); // a draft that is always right would prove nothing
  });
}

test("a draft of a smaller vocabulary is refused", async () => {
  const generator = new TokenGenerator(makeModel(5, { vocab: 20, context: 8 }));
  const draft = new DraftModel(makeModel(5, { vocab: 19, context: 8 }));
  await expect(generator.generateAll([[1]], { draft })).rejects.toMatchObject({
    code: "generate/draft",
    where: "draft",
    expected: "a vocabulary of at least 20 tokens",
    got: "19 tokens",
    fix: "use a draft that was trained with the model's tokenizer",
  });
});

// Texts of an encoder–decoder over its state against whole forward passes, batches of sources, and sources that must be refused.
import { beforeAll, expect, test } from "vitest";
import { fromNumbers, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { trace } from "../core/index.ts";
import { ReferenceEngine } from "../engine/index.ts";
import { Transformer, transformerPresets } from "../models/index.ts";
import { functionalCall, initialize, storedParameters } from "../nn/index.ts";
import { type BeamOptions, BeamSearch, beamSchema, SequenceGenerator } from "./index.ts";

const [context, targetContext, vocab, start, end] = [6, 7, 12, 10, 11];
const sizes = { width: 8, hidden: 16, heads: 2, encoderLayers: 1, decoderLayers: 2, dropout: 0 };
const model = new Transformer({ ...transformerPresets.base, ...sizes, context, targetContext, vocab, start, end });
const engine = new ReferenceEngine();
const store = engine.createStore();
const types = [...model.parameters()].map(([name, { shape }]) => ({ name, dtype: "f64" as const, shape }));

beforeAll(() => {
  store.declare(types);
  for (const [name, { init, shape }] of model.parameters()) {
    const { dtype, data } = initialize(init, name, shape, "f64", 7);
    // twice the usual deviation: texts that differ, so that a fault in the state changes them
    store.write(name, { dtype, shape, data: name.includes("norm") ? data : (data as Float64Array).map((x) => 2 * x) });
  }
});

const whole = () =>
  engine.load(
    compile(
      trace(
        { source: { dtype: "i32", shape: [1, context] }, tokens: { dtype: "i32", shape: [1, targetContext] } },
        ({ source, tokens }) => functionalCall(model, storedParameters(types), () => model.forward(source, tokens)),
        { floatDType: "f64" },
      ),
      engine.target,
    ),
    store,
  );

/** The same search, with logits from a forward pass over source and text for every beam and token. */
function uncached(source: readonly number[], options: BeamOptions) {
  const program = whole();
  const logitsAfter = (text: readonly number[]) => {
    const filled = (ids: readonly number[], length: number) =>
      fromNumbers("i32", [1, length], [...ids, ...new Array<number>(length - ids.length).fill(-1)]);
    const feeds = { source: filled([...source, end], context), tokens: filled([start, ...text], targetContext) };
    const logits = toNumbers(engine.runNow({ program, feeds }).outputs.result!);
    return Array.from(logits.slice(text.length * vocab, (text.length + 1) * vocab), (logit, id) =>
      id === start ? Number.NEGATIVE_INFINITY : logit,
    );
  };
  const search = new BeamSearch(beamSchema.parse({ maxTokens: targetContext, ...options }), [end]);
  let texts: number[][] = [[]];
  while (!search.isDone) {
    search.advance(texts.map(logitsAfter));
    texts = search.tokens.map((token, at) => [...texts[search.parents[at]!]!, token]);
  }
  return search.best;
}

const sources = [[3, 1, 4, 1, 5], [9], [2, 6], [5, 3, 5], []];

test.each([1, 3])("with %i beams, texts over the state are those of whole passes, for any batch", async (beams) => {
  const wanted = sources.map((source) => uncached(source, { beams }));
  // programs of 1, 2 and 16 sources: the last one has places that no source takes
  for (const rows of [1, 2 * beams, 16 * beams]) {
    const found = await new SequenceGenerator({ engine, store, model, rows, vocabSize: start }).generate(sources, {
      beams,
    });
    expect(found.map((best) => best.map(({ tokens }) => tokens))).toEqual(
      wanted.map((best) => best.map(({ tokens }) => tokens)),
    );
    found.forEach((best, at) => {
      best.forEach(({ score }, rank) => {
        expect(score).toBeCloseTo(wanted[at]![rank]!.score, 9);
      });
    });
  }
  expect(new Set(wanted.map((best) => best[0]!.tokens.join())).size).toBeGreaterThan(2); // texts that are all alike would prove nothing
});

test("texts end at maxTokens and at the model's own length, and keep to the ids of the tokenizer", async () => {
  const generator = new SequenceGenerator({ engine, store, model, vocabSize: 4 });
  for (const maxTokens of [2, 100]) {
    const [found] = await generator.generate([[1, 2]], { maxTokens, beams: 2 });
    const best = found![0]!;
    expect(best.tokens.length).toBeLessThanOrEqual(Math.min(maxTokens, targetContext));
    expect(best.tokens.every((id) => id < 4)).toBe(true);
  }
});

test("two generations at once wait for each other", async () => {
  const generator = new SequenceGenerator({ engine, store, model, vocabSize: start });
  const together = await Promise.all([generator.generate([[1, 2]]), generator.generate([[7, 8, 9]])]);
  const alone = [await generator.generate([[1, 2]]), await generator.generate([[7, 8, 9]])];
  expect(together).toEqual(alone);
});

test("sources that are too long or of another tokenizer are refused, and settings that are none", async () => {
  const generator = new SequenceGenerator({ engine, store, model, vocabSize: start });
  await expect(generator.generate([[1], [1, 2, 3, 4, 5, 6]])).rejects.toMatchObject({
    code: "generate/source",
    where: "source 2",
    got: "6 tokens",
  });
  await expect(generator.generate([[12]])).rejects.toMatchObject({ code: "generate/source", got: "token 12" });
  await expect(generator.generate([[1]], { beams: 0 })).rejects.toThrow("beams: must be greater than 0, got 0");
});

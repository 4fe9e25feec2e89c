// Text of a recurrent model: over the states that its cache holds, against whole passes; past the context, many at once, drafted, by beams.
import { expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { fromNumbers, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { trace, variable } from "../core/index.ts";
import { ReferenceEngine } from "../engine/index.ts";
import { Rnn, rnnPresets } from "../models/index.ts";
import { cellNames, functionalCall, initialize } from "../nn/index.ts";
import { chooseToken, DraftModel, generationSchema, TokenGenerator } from "./index.ts";

const [vocab, context] = [13, 8];
const engine = new ReferenceEngine();

/** Weights far apart, so that what a text was so far changes what comes. */
function makeModel(cell: (typeof cellNames)[number], seed = 5) {
  const model = new Rnn({ ...rnnPresets.small, cell, width: 6, vocab, context });
  const store = engine.createStore();
  for (const [name, { init, shape }] of model.parameters()) {
    const { dtype, data } = initialize(init, name, shape, "f64", seed);
    store.declare([{ name, dtype, shape }]);
    store.write(name, { dtype, shape, data: (data as Float64Array).map((x) => (shape.length > 1 ? 10 : 1) * x) });
  }
  return { engine, store, model };
}

/** The logits after the last of `tokens`, by a whole pass without any cache. */
function wholePass({ store, model }: ReturnType<typeof makeModel>, tokens: readonly number[]): number[] {
  const graph = trace(
    { tokens: { dtype: "i32", shape: [1, tokens.length] } },
    (feeds) => {
      const named = [...model.parameters()].map(([name, { shape }]) => [name, variable(name, "f64", shape)] as const);
      return functionalCall(model, new Map(named), () => model.forward(feeds.tokens));
    },
    { floatDType: "f64" },
  );
  const program = engine.load(compile(graph, engine.target), store);
  const feeds = { tokens: fromNumbers("i32", [1, tokens.length], tokens) };
  return Array.from(toNumbers(engine.runNow({ program, feeds }).outputs.result!).slice(-vocab));
}

const prompts = [[3], [0, 12, 7], [1, 2, 3, 4, 5, 6, 7, 8], Array.from({ length: 13 }, (_, i) => (7 * i) % 11)];
const greedy = { temperature: 0, maxTokens: 14 };

test.each(cellNames)("%s: greedy text is that of whole passes, alone, in a batch and drafted", async (cell) => {
  const made = makeModel(cell);
  const settings = generationSchema.parse(greedy);
  const wanted = prompts.map((prompt) => {
    const text: number[] = [];
    for (let window = prompt.slice(-context); text.length < greedy.maxTokens; ) {
      const token = chooseToken(wholePass(made, window), settings, 0);
      text.push(token);
      window = window.length < context ? [...window, token] : [...window, token].slice(-context / 2);
    }
    return text;
  });
  expect(new Set(wanted.flat()).size).toBeGreaterThan(3); // texts that could not differ would prove nothing
  const texts = async (generator: TokenGenerator, options: object) =>
    (await generator.generateAll(prompts, { ...greedy, ...options })).map(({ tokens }) => tokens);
  for (const chunk of [1, 3, 8]) {
    const generator = new TokenGenerator({ ...made, chunk });
    expect(await texts(generator, {})).toEqual(wanted);
    const draft = new DraftModel(makeModel(cell, 6)); // most of what it proposes is taken back
    expect(await texts(generator, { draft, draftTokens: 3 })).toEqual(wanted);
  }
});

test("beams go on from the states of their own rows: the score of each text is the sum of its log-probabilities", async () => {
  const made = makeModel("lstm");
  const generator = new TokenGenerator({ ...made, chunk: 3 });
  const found = await generator.search([0, 7, 2], { beams: 3, maxTokens: 5, lengthPenalty: 0 }, []);
  expect(found.length).toBe(3);
  for (const { tokens, score } of found) {
    const logs = tokens.map((token, at) => {
      const logits = wholePass(made, [0, 7, 2, ...tokens.slice(0, at)]);
      const most = Math.max(...logits);
      return logits[token]! - most - Math.log(logits.reduce((sum, x) => sum + Math.exp(x - most), 0));
    });
    assertClose([score], [logs.reduce((sum, x) => sum + x)], { absolute: 1e-12, what: "score" });
  }
});

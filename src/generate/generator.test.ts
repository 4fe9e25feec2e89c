// Generation over the cache against whole forward passes, seeds, ends, streaming, and prompts that must be refused.
import { beforeAll, expect, test } from "vitest";
import { assertClose } from "../../test/support/close.ts";
import { fromNumbers, parseConfig, RandomStream, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { trace, variable } from "../core/index.ts";
import { type Program, ReferenceEngine } from "../engine/index.ts";
import { Gpt, gptPresets } from "../models/index.ts";
import { functionalCall, initialize } from "../nn/index.ts";
import {
  chooseToken,
  createGenerator,
  type GeneratedTokens,
  type GenerationOptions,
  generationSchema,
  type TextTokenizer,
  TokenGenerator,
} from "./index.ts";

const config = { ...gptPresets.nano, layers: 1, heads: 2, width: 8, context: 8, vocab: 20, tiedHead: false };
const model = new Gpt(config);
const engine = new ReferenceEngine();
const store = engine.createStore();
const types = [...model.parameters()].map(([name, { shape }]) => ({ name, dtype: "f64" as const, shape }));

/** Ids are letters; 19 of the head's 20 rows have one. */
const letters = "abcdefghijklmnopqrs";
const tokenizer: TextTokenizer = {
  vocabSize: letters.length,
  encode: (text) => Array.from(text, (letter) => letters.indexOf(letter)),
  decodeStream: () => ({ push: (id) => letters[id]!, end: () => "" }),
};

beforeAll(() => {
  store.declare(types);
  for (const [name, { init, shape }] of model.parameters()) {
    // ten times the usual deviation: logits that differ enough for a fault in the cache to change the text
    const { dtype, data } = initialize(init, name, shape, "f64", 5);
    store.write(name, { dtype, shape, data: name.includes("ln_") ? data : (data as Float64Array).map((x) => 10 * x) });
  }
});

/** The logits after the last of `tokens`, by a whole forward pass without any cache. */
const programs = new Map<number, Program>();
function wholePass(tokens: readonly number[], numIds = letters.length): number[] {
  const program =
    programs.get(tokens.length) ??
    engine.load(
      compile(
        trace(
          { tokens: { dtype: "i32", shape: [1, tokens.length] } },
          (feeds) => {
            const parameters = new Map(types.map(({ name, dtype, shape }) => [name, variable(name, dtype, shape)]));
            return functionalCall(model, parameters, () => model.forward(feeds.tokens));
          },
          { floatDType: "f64" },
        ),
        engine.target,
      ),
      store,
    );
  programs.set(tokens.length, program);
  const feeds = { tokens: fromNumbers("i32", [1, tokens.length], tokens) };
  const logits = toNumbers(engine.runNow({ program, feeds }).outputs.result!);
  return Array.from(logits.slice(-config.vocab).subarray(0, numIds));
}

/** What generation must give, without a cache: the window of what is seen is written out here. */
function uncached(prompt: readonly number[], options: GenerationOptions): number[] {
  const settings = parseConfig(generationSchema, options, "test");
  const random = new RandomStream(settings.seed, "generate");
  const out: number[] = [];
  let window = prompt.slice(-config.context);
  while (out.length < settings.maxTokens) {
    const token = chooseToken(wholePass(window), settings, random.uniform(out.length, settings.sample));
    out.push(token);
    window = window.length < config.context ? [...window, token] : [...window, token].slice(-config.context / 2);
  }
  return out;
}

async function collect(generator: TokenGenerator, prompt: readonly number[], options: GenerationOptions) {
  const source = generator.generate(prompt, options);
  const tokens: number[] = [];
  let next = await source.next();
  for (; !next.done; next = await source.next()) tokens.push(next.value);
  return { tokens, ending: next.value };
}

const prompts = [[3], [0, 18, 7], [1, 2, 3, 4, 5, 6, 7, 8], Array.from({ length: 13 }, (_, i) => (7 * i) % 19)];

// chunk 3 does not divide the context: the cache is longer than it; chunk 1 has no separate prefill; 8 reads prompts whole
for (const chunk of [1, 3, 8]) {
  test(`cached text equals uncached text, past the end of the context too (chunks of ${chunk})`, async () => {
    const generator = new TokenGenerator({ engine, store, model, chunk, vocabSize: letters.length });
    for (const prompt of prompts) {
      for (const options of [
        { temperature: 0, maxTokens: 14 },
        { temperature: 1.5, topK: 8, topP: 0.9, seed: 3, maxTokens: 14 },
      ]) {
        const { tokens, ending } = await collect(generator, prompt, options);
        expect(tokens).toEqual(uncached(prompt, options));
        expect(ending).toBe("maxTokens");
        expect(new Set(tokens).size).toBeGreaterThan(1); // a text that could not differ would prove nothing
      }
    }
  });
}

test("same seed, same text; another seed or sample, another text", async () => {
  const generator = createGenerator({ engine, store, model, tokenizer });
  const text = async (options: GenerationOptions) =>
    (await generator.generate("bad", { maxTokens: 12, ...options })).text;
  const first = await text({ seed: 1 });
  expect(await text({ seed: 1 })).toBe(first);
  expect(await text({ seed: 2 })).not.toBe(first);
  expect(await text({ seed: 1, sample: 1 })).not.toBe(first);
});

test("a stream's pieces are the text, and the texts of two streams read in turns are their own", async () => {
  const generator = createGenerator({ engine, store, model, tokenizer });
  const read = async (seed: number) => {
    let text = "";
    for await (const piece of generator.stream("face", { maxTokens: 10, seed })) text += piece;
    return text;
  };
  const together = await Promise.all([read(1), read(2)]);
  const alone = [
    await generator.generate("face", { maxTokens: 10, seed: 1 }),
    await generator.generate("face", { maxTokens: 10, seed: 2 }),
  ];
  expect(together).toEqual(alone.map(({ text }) => text));
  expect(alone[0]!.tokens).toEqual(tokenizer.encode(alone[0]!.text));
});

test("a reader who stops early gives the cache back", async () => {
  const generator = createGenerator({ engine, store, model, tokenizer });
  for await (const piece of generator.stream("a", { maxTokens: 1000 })) if (piece !== "") break;
  expect((await generator.generate("a", { maxTokens: 3 })).tokens).toHaveLength(3);
});

test("a text ends at a stop token, at the context's end if asked to, or by a signal", async () => {
  const generator = new TokenGenerator({ engine, store, model });
  const { tokens } = await collect(generator, [1, 2], { temperature: 0, maxTokens: 20 });
  const stop = tokens[3]!;
  const before = tokens.slice(0, tokens.indexOf(stop));
  expect(await collect(generator, [1, 2], { temperature: 0, maxTokens: 20, stopTokens: [stop] })).toEqual({
    tokens: before,
    ending: "stopToken",
  });
  // 2 given, 6 more fill the context of 8, and the full context gives one more
  const full = await collect(generator, [1, 2], { temperature: 0, maxTokens: 20, atContextEnd: "stop" });
  expect(full).toEqual({ tokens: tokens.slice(0, 7), ending: "contextEnd" });
  const controller = new AbortController();
  controller.abort();
  expect(await collect(generator, [1, 2], { temperature: 0, signal: controller.signal })).toEqual({
    tokens: tokens.slice(0, 1),
    ending: "aborted",
  });
});

test("generating changes nothing in the store but its cache", async () => {
  const before = types.map(({ name }) => store.read(name));
  await collect(new TokenGenerator({ engine, store, model }), [1], { maxTokens: 5 });
  expect(types.map(({ name }) => store.read(name))).toEqual(before);
  expect(
    store
      .names()
      .filter((name) => !types.some((type) => type.name === name))
      .every((name) => name.startsWith("cache.")),
  ).toBe(true);
});

test("many texts at once are the texts that each prompt gives alone, in the order of the prompts", async () => {
  const options = { temperature: 0.7, seed: 4, maxTokens: 11, samples: 2, logProbabilities: true } as const;
  const generator = new TokenGenerator({ engine, store, model, chunk: 3, batch: 3, vocabSize: letters.length });
  const together = await generator.generateAll(prompts, options);
  const alone: GeneratedTokens[] = [];
  for (const prompt of prompts)
    for (const sample of [0, 1])
      alone.push(...(await generator.generateAll([prompt], { ...options, sample, samples: 1 })));
  expect(together.map(({ tokens }) => tokens)).toEqual(alone.map(({ tokens }) => tokens));
  expect(new Set(together.map(({ tokens }) => tokens.join())).size).toBeGreaterThan(together.length / 2);
  together.forEach(({ logProbabilities }, i) => {
    assertClose(logProbabilities!, alone[i]!.logProbabilities!, { absolute: 1e-12, what: "log-probabilities" });
  });
});

test("log-probabilities are those of a whole pass, whatever temperature and topK are", async () => {
  const [{ tokens, logProbabilities }] = (await new TokenGenerator({ engine, store, model }).generateAll([[3, 1]], {
    ...{ temperature: 3, topK: 5, maxTokens: 4, logProbabilities: true },
  })) as [GeneratedTokens];
  const wanted = tokens.map((token, i) => {
    const logits = wholePass([3, 1, ...tokens.slice(0, i)], config.vocab);
    return logits[token]! - Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit), 0));
  });
  assertClose(logProbabilities!, wanted, { absolute: 1e-12, what: "log-probabilities" });
});

test("a text ends before a stop string that reaches over tokens, and its beginning is shown only if it is none", async () => {
  const generator = createGenerator({ engine, store, model, tokenizer });
  const options = { maxTokens: 12, seed: 1 };
  const { text } = await generator.generate("bad", options);
  const stop = text.slice(4, 7);
  const at = text.indexOf(stop);
  const never = `${text.slice(1, 3)}!`; // its beginning comes, not it
  const pieces: string[] = [];
  const source = generator.stream("bad", { ...options, stop: [never, stop] });
  let next = await source.next();
  for (; !next.done; next = await source.next()) pieces.push(next.value);
  expect(next.value).toMatchObject({ text: text.slice(0, at), ending: "stopString" });
  expect(pieces.join("")).toBe(text.slice(0, at));
  expect(next.value.tokens).toEqual(tokenizer.encode(text.slice(0, at + stop.length)));
  const whole = await generator.generate("bad", { ...options, stop: `${text.slice(-2)}!` });
  expect(whole).toMatchObject({ text, ending: "maxTokens" }); // what was held back is given at the end
  const [first, second] = await generator.generateAll(["bad", "face"], { ...options, stop });
  expect(first!.text).toBe(text.slice(0, at));
  expect(second).toEqual(await generator.generate("face", { ...options, stop }));
});

test("wrong prompts and settings are refused", async () => {
  const generator = createGenerator({ engine, store, model, tokenizer });
  await expect(generator.generate("")).rejects.toThrow("there is nothing to go on from");
  await expect(collect(generator.tokens, [19], {})).rejects.toThrow("an id that the model does not know");
  await expect(collect(generator.tokens, new Array(9).fill(0), { atContextEnd: "stop" })).rejects.toThrow(
    "at most 8 tokens",
  );
  await expect(generator.generate("a", { maxTokens: 0 })).rejects.toThrow("maxTokens: must be greater than 0, got 0");
  await expect(generator.generate("a", { stop: "" })).rejects.toThrow("generate.stop");
  await expect(generator.generate("a", { temprature: 1 } as GenerationOptions)).rejects.toThrow(
    "did you mean temperature?",
  );
});

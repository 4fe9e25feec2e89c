// Tasks over a tiny model: what counts as right, how texts are cut into tokens, and files that are no task.
import { beforeAll, expect, test } from "vitest";
import golden from "../../test/golden/text-metrics.json" with { type: "json" };
import { ReferenceEngine } from "../engine/index.ts";
import { createGenerator, type TextTokenizer } from "../generate/index.ts";
import { Gpt, gptPresets } from "../models/index.ts";
import { initialize } from "../nn/index.ts";
import {
  encodePair,
  parseTask,
  scoreChoices,
  scoreExactMatch,
  scoreWrittenTexts,
  slidingWindows,
  TokenScorer,
} from "./index.ts";

const letters = " abcdefghijklmnopqrs";
const tokenizer: TextTokenizer = {
  vocabSize: letters.length,
  encode: (text) => Array.from(text, (letter) => letters.indexOf(letter)),
  decodeStream: () => ({ push: (id) => letters[id]!, end: () => "" }),
};
const model = new Gpt({ ...gptPresets.nano, layers: 1, heads: 2, width: 8, context: 12, vocab: 20 });
const engine = new ReferenceEngine();
const store = engine.createStore();
const scorer = new TokenScorer({ engine, store, model, batch: 3 });

beforeAll(() => {
  for (const [name, { init, shape }] of model.parameters()) {
    const { data } = initialize(init, name, shape, "f64", 5);
    store.declare([{ name, dtype: "f64", shape }]);
    store.write(name, { dtype: "f64", shape, data: (data as Float64Array).map((x) => 10 * x) });
  }
});

test("a choice is right when the model finds it likeliest, as it is or for its length", async () => {
  const questions = [
    { question: "abc", choices: ["d", "bcd", "aaaaaa"], answer: 0 },
    { question: "face", choices: ["s", "qr"], answer: 1 },
    { question: "bad", choices: ["egg", "decade"], answer: 1 },
    { question: "mad", choices: ["hare", "h"], answer: 0 },
  ];
  let [plain, normalized] = [0, 0];
  for (const { question, choices, answer } of questions) {
    const rows = choices.map((choice) => ({
      tokens: tokenizer.encode(`${question} ${choice}`) as number[],
      from: question.length,
    }));
    const scores = (await scorer.score(rows)).map((row) => row.logProbability);
    const perLetter = scores.map((score, at) => score / choices[at]!.length);
    const best = (values: number[]) => values.reduce((top, value, at) => (value > values[top]! ? at : top), 0);
    plain += Number(best(scores) === answer) / 4;
    normalized += Number(best(perLetter) === answer) / 4;
  }
  expect(plain).not.toBe(normalized); // figures that cannot differ would prove nothing
  expect(await scoreChoices(scorer, tokenizer.encode, questions)).toEqual({
    accuracy: plain,
    normalizedAccuracy: normalized,
    count: 4,
  });
});

test("spaces at a context's end belong to what follows, and of a long text the end stays", () => {
  const encode = (text: string) => Array.from(text, (letter) => letters.indexOf(letter));
  expect(encodePair(encode, { context: "ab ", follows: "cd", longest: 9 })).toEqual({
    tokens: [1, 2, 0, 3, 4],
    from: 2,
  });
  expect(encodePair(encode, { context: "abcd", follows: " e", longest: 4 })).toEqual({ tokens: [3, 4, 0, 5], from: 2 });
});

test("windows score every token but the first once, and all but the first window with something before", () => {
  const rows = slidingWindows([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 4, 3);
  expect(rows.flatMap(({ tokens, from }) => tokens.slice(from))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9]);
  expect(rows.map(({ from }) => from)).toEqual([1, 1, 1]);
});

test("what is written up to the end of an answer must be one of those that count", async () => {
  const generator = createGenerator({ engine, store, model, tokenizer });
  const options = { maxTokens: 4, stop: "q" };
  const { text } = await generator.generate("ab", { ...options, temperature: 0 });
  const questions = [
    { prompt: "ab", answer: ["no", text.trim()] },
    { prompt: "ab", answer: `${text.trim()}x` },
  ];
  expect(await scoreExactMatch(generator, questions, options)).toEqual({ exactMatch: 0.5, count: 2 });
});

test("written texts have sacrebleu's scores, Chinese by its characters, in the order that they were asked for", async () => {
  const { rows, bleu, chrf } = golden.chinese;
  const wanted = rows.map(({ references }, at) => ({ source: `${at}`, target: references }));
  const write = async (sources: readonly string[]) => sources.map((source) => rows[Number(source)]!.text);
  const scored = await scoreWrittenTexts(write, wanted);
  expect(scored.bleu).toBeCloseTo(bleu.zh.two, 9);
  expect(scored.chrf).toBeCloseTo(chrf.two, 9);
  expect(scored.count).toBe(rows.length);
  const single = wanted.map(({ source, target }) => ({ source, target: target[0]! }));
  expect((await scoreWrittenTexts(write, single, { tokenization: "char" })).bleu).toBeCloseTo(bleu.char.one, 9);
  const copied = await scoreWrittenTexts(async (sources) => sources, [{ source: "the cat sat", target: "the cat" }]);
  expect([copied.rouge1, copied.rouge2, copied.rougeL]).toEqual([80, 200 / 3, 80].map((f) => expect.closeTo(f, 12)));
});

test("a file is one kind of task, and says where it is none", () => {
  const line = '{"question":"q","choices":["a","b"],"answer":1}';
  expect(parseTask(`${line}\n\n${line}\n`, "x").kind).toBe("choices");
  const arc = { question: "q", choices: { text: ["a", "b"], label: ["1", "2"] }, answerKey: "2" };
  expect(parseTask(JSON.stringify(arc), "x")).toEqual({ kind: "choices", rows: [JSON.parse(line)] });
  expect(parseTask('{"prompt":"q","answer":"a"}', "x").kind).toBe("exact match");
  expect(parseTask('\uFEFF{"text":"q"}\r\n', "x")).toEqual({ kind: "text", rows: [{ text: "q" }] }); // as Windows writes it
  expect(parseTask('{"text":"q"}', "x")).toEqual({ kind: "text", rows: [{ text: "q" }] });
  const pair = { source: "a", target: ["b", "c"] };
  expect(parseTask(JSON.stringify(pair), "x")).toEqual({ kind: "pairs", rows: [pair] });
  for (const [text, message] of [
    ['{"source":"a","target":[]}', "target"],
    ["", "an empty file"],
    ["{", "x:1"],
    ['{"a":1}', "lines of { question, choices, answer }"],
    [`${line}\n{"text":"q"}`, "x:2"],
    [`${line}\n{"choices":["a","b"],"answer":"b"}`, "a row asks no question"],
    [`${line}\n{"question":"q","choices":["a","b"],"answer":"b"}`, "an answer is none of the choices"],
    ['{"question":"q","choices":["a","b"],"answer":2}', "a number from 0 to 1, a letter from A to B"],
    [`${line}\n{"question":"q","choices":["a"],"answer":0}`, "x:2"],
  ] as const)
    expect(() => parseTask(text, "x"), text).toThrow(message);
});

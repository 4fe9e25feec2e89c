// Questions and answers as tokens and back: rows in SQuAD's forms, windows over a long text, and what is no question.
import { describe, expect, test } from "vitest";
import { AthanorError } from "../base/index.ts";
import { byteTokenizer, CharTokenizer, QuestionDataset, QuestionEncoder, readQuestions, specialIds } from "./index.ts";
import { splitWords } from "./split-words.ts";

const context = "The Nile, 6,650 km long, flows north. 尼罗河 is its name.";
const [flows] = readQuestions(
  { context, question: "where to?", answers: [{ text: "flows north", answer_start: 25 }] },
  "x",
);

test("words cover all of a text that is no white space, with their places", () => {
  const words = splitWords(context);
  expect(words.map(({ start, end }) => context.slice(start, end)).slice(0, 9)).toEqual([
    ...["The", "Nile", ",", "6", ",", "650", "km", "long", ","],
  ]);
  expect(words.map(({ start, end }) => context.slice(start, end)).filter((word) => /\p{sc=Han}/u.test(word))).toEqual([
    ...["尼", "罗", "河"],
  ]);
  expect(words.map(({ piece }) => piece).join("")).toBe(context);
});

test("rows are read as lists, as the Hub has them, and as a whole file of SQuAD", () => {
  const nile = { text: "The Nile", start: 0 };
  const answers = { text: ["The Nile", "Nile"], answer_start: [0, 4] };
  expect(readQuestions({ context, question: "which?", answers }, "x")).toEqual([
    { context, question: "which?", answers: [nile, { text: "Nile", start: 4 }] },
  ]);
  const qas = [
    { question: "which?", answers: [{ text: "The Nile", answer_start: 0 }] },
    { question: "who?", answers: [], is_impossible: true },
  ];
  expect(readQuestions({ version: "v2.0", data: [{ title: "Nile", paragraphs: [{ context, qas }] }] }, "x")).toEqual([
    { context, question: "which?", answers: [nile] },
    { context, question: "who?", answers: [] },
  ]);
});

describe.each([20, 40, 200])("in windows of %i tokens", (length) => {
  const tokenizer = byteTokenizer();
  const special = specialIds(tokenizer);
  const encoder = new QuestionEncoder(tokenizer, length);
  const windows = encoder.windows(flows!);

  test("each is framed and typed, and together they are all of the text", () => {
    const seen = new Set<number>();
    for (const { tokens, tokenTypes, words } of windows) {
      const used = tokens.filter((token) => token >= 0);
      expect([tokens[0], used.at(-1)]).toEqual([special.cls, special.sep]);
      expect(used.filter((token) => token === special.sep)).toHaveLength(2);
      const first = tokens.indexOf(special.sep) + 1;
      expect(Array.from(tokenTypes)).toEqual(Array.from(tokens, (token, at) => Number(at >= first && token >= 0)));
      words.forEach((word, at) => {
        if (word >= 0) seen.add(word);
        else expect(tokens[at]! < 0 || at < first || tokens[at] === special.sep).toBe(true);
      });
    }
    expect(seen.size).toBe(splitWords(context).length);
  });

  test("scores that point at the targets give the answer back", () => {
    const scores = windows.map((window) => {
      const given = new Float64Array(2 * length);
      const [start, end] = encoder.target(flows!, window);
      given[2 * start] = given[2 * end + 1] = start === 0 ? 1 : 5;
      return given;
    });
    const isWhole = windows.some((window) => encoder.target(flows!, window)[0] > 0);
    expect(isWhole).toBe(length > 20); // eleven letters and a space do not fit beside the question
    const { answer, start, end } = encoder.answer(flows!, windows, scores);
    if (isWhole) expect([answer, start, end]).toEqual(["flows north", 25, 36]);
    else expect(answer).toBe("");
  });
});

test("a question without an answer, and one whose answer is in another window, point at [CLS]", () => {
  const tokenizer = new CharTokenizer([...new Set([...context, ..."where to?"])]);
  const encoder = new QuestionEncoder(tokenizer, 32);
  const dataset = new QuestionDataset([flows!, { ...flows!, answers: [] }], encoder, "x");
  const targets = dataset.collate(Array.from({ length: dataset.length }, (_, at) => at)).targets.data as Int32Array;
  const rows = Array.from({ length: dataset.length }, (_, at) => [targets[2 * at], targets[2 * at + 1]]);
  const half = dataset.length / 2;
  expect(rows.slice(half)).toEqual(new Array(half).fill([0, 0]));
  expect(rows.slice(0, half).filter(([start]) => start! > 0).length).toBeGreaterThan(0);
  expect(rows[0]).toEqual([0, 0]);
});

test("an answer ends behind its beginning, within the context and a number of words", () => {
  const encoder = new QuestionEncoder(byteTokenizer(), 200);
  const windows = encoder.windows({ question: "?", context: "one two three" });
  const scores = new Float64Array(400);
  scores[2] = scores[3] = 100; // the question itself
  const first = windows[0]!.words.indexOf(0);
  scores[2 * (first + 8)] = 9; // "three" begins, and "one" ends
  scores[2 * (first + 2) + 1] = 9;
  const { answer } = encoder.answer({ context: "one two three" }, windows, [scores], 1);
  expect(["one", "three"]).toContain(answer);
});

test.each([
  ["a row without a text", { question: "x" }],
  ["an answer that is not where it says", { context, question: "x", answers: [{ text: "Nile", answer_start: 5 }] }],
  ["an answer without a place", { context, question: "x", answers: { text: ["Nile"], answer_start: [] } }],
  ["nothing", null],
])("%s is refused", (_, row) => {
  expect(() => readQuestions(row, "rows.jsonl, row 3")).toThrow(AthanorError);
  expect(() => readQuestions(row, "rows.jsonl, row 3")).toThrow("rows.jsonl, row 3");
});

// Questions with choices: the layouts of public sets, what is no such row, and rows of tokens that keep what tells the choices apart.
import { expect, test } from "vitest";
import type { AthanorError } from "../base/index.ts";
import { byteTokenizer, ChoiceDataset, encodeChoice, readChoiceFile, readChoiceRow, specialIds } from "./index.ts";

const wanted = { question: "Which is hot?", choices: ["ice", "fire", "snow"], answer: 1 };
const { question, choices } = wanted;

test.each([
  ["plain, by number", { question, choices, answer: 1 }],
  ["by letter", { question, choices, answer: "B" }],
  ["by a number as text", { question, choices, answer: "1" }],
  ["ARC on the Hub", { question, choices: { text: choices, label: ["A", "B", "C"] }, answerKey: "B" }],
  [
    "ARC, labels that are numbers from 1",
    { question, choices: { text: choices, label: ["1", "2", "3"] }, answerKey: "2" },
  ],
  [
    "ARC's own files",
    { question: { stem: question, choices: choices.map((text, at) => ({ text, label: "ABC"[at] })) }, answerKey: "B" },
  ],
  ["HellaSwag", { ctx: question, endings: choices, label: "1" }],
  ["SWAG", { sent1: question, sent2: "", ending0: "ice", ending1: "fire", ending2: "snow", label: 1 }],
])("%s is read", (_, row) => {
  expect(readChoiceRow(row, "x")).toEqual(wanted);
});

test("a context stands before the question, and SWAG's second sentence before each ending", () => {
  expect(readChoiceRow({ context: "Winter.", question, choices, answer: 0 }, "x").question).toBe(
    "Winter. Which is hot?",
  );
  const swag = { sent1: "She sits.", sent2: "She", ending0: "sings.", ending1: "sleeps.", label: 1 };
  expect(readChoiceRow(swag, "x")).toEqual({
    question: "She sits.",
    choices: ["She sings.", "She sleeps."],
    answer: 1,
  });
});

test.each([
  ["no question", { choices, answer: 0 }, "a row asks no question", "a row of choices, answer"],
  ["one choice", { question, choices: ["ice"], answer: 0 }, "a question does not have choices", '["ice"]'],
  ["no choices", { question, answer: 0 }, "a question does not have choices", "[]"],
  ["a text of choices", { question, choices: "ice;fire", answer: 0 }, "a question does not have choices", '"ice;fire"'],
  [
    "a choice that is no text",
    { question, choices: ["ice", 3], answer: 0 },
    "a question does not have choices",
    '["ice",3]',
  ],
  ["an answer out of range", { question, choices, answer: 3 }, "an answer is none of the choices", "3"],
  ["a letter out of range", { question, choices, answer: "D" }, "an answer is none of the choices", '"D"'],
  ["a negative answer", { question, choices, answer: -1 }, "an answer is none of the choices", "-1"],
  ["no answer", { question, choices }, "an answer is none of the choices", "no answer"],
  [
    "a label that is not there",
    { question, choices: { text: choices, label: ["1", "2", "3"] }, answerKey: "4" },
    "an answer is none of the choices",
    '"4"',
  ],
  ["nothing", null, "a row asks no question", "a row of nothing"],
])("%s is refused, with its place", (_, row, what, got) => {
  const error = (() => {
    try {
      return readChoiceRow(row, "rows.jsonl, row 3");
    } catch (error) {
      return error as AthanorError;
    }
  })();
  expect(error).toMatchObject({ code: "data/choices", what, where: "rows.jsonl, row 3", got });
  expect((error as AthanorError).expected).toBeTruthy();
  expect((error as AthanorError).fix).toBe("mend the row, or take it out");
});

test("an answer is told the labels that there are, and needs none where one is asked for", () => {
  const row = { question, choices: { text: choices, label: ["x", "y", "z"] }, answerKey: "w" };
  expect(() => readChoiceRow(row, "x")).toThrow("a number from 0 to 2, a letter from A to C, or one of x, y, z");
  expect(readChoiceRow({ question, choices }, "x", { answered: false })).toEqual({ question, choices, answer: 0 });
});

test("rows in memory are read with their places", async () => {
  const bad = readChoiceFile({ records: [wanted, { question, choices, answer: 7 }] });
  await expect(bad).rejects.toMatchObject({ code: "data/choices", where: "records in memory, row 2" });
});

const tokenizer = byteTokenizer();
const { cls, sep } = specialIds(tokenizer);
const text = (tokens: Int32Array) => tokenizer.decode(tokens.filter((id) => id >= 0 && id !== cls && id !== sep));

test("a framed row is [CLS] question [SEP] choice [SEP], the second kind from the choice on", () => {
  const { tokens, second, isCut } = encodeChoice("hot?", "fire", { tokenizer, length: 24, isFramed: true });
  expect([tokens[0], tokens[5], tokens.at(-1), tokens.length, second, isCut]).toEqual([cls, sep, sep, 11, 6, false]);
  expect(text(tokens.subarray(second))).toBe("fire");
});

test.each([
  ["the question's end stays", "0123456789", "abc", 13, "3456789|abc", true],
  ["of a long choice its beginning, half of the room", "0123456789", "abcdefghij", 13, "56789|abcde", true],
  ["a short question leaves a choice the rest", "01", "abcdefghij", 13, "01|abcdefgh", true],
  ["what fits is whole", "01", "abcdefgh", 13, "01|abcdefgh", false],
])("of what is too long %s", (_, asked, given, length, kept, cut) => {
  const { tokens, second, isCut } = encodeChoice(asked, given, { tokenizer, length: length, isFramed: true });
  expect(`${text(tokens.subarray(0, second))}|${text(tokens.subarray(second))}`).toBe(kept);
  expect([tokens.length <= length, isCut]).toEqual([true, cut]);
});

test("without a frame a space stands between the two, and the end of both is kept", () => {
  expect(text(encodeChoice("hot?", "fire", { tokenizer, length: 20, isFramed: false }).tokens)).toBe("hot? fire");
  expect(text(encodeChoice("hot?", "fire", { tokenizer, length: 6, isFramed: false }).tokens)).toBe("? fire");
});

test("rows of fewer choices leave places of −1 alone", () => {
  const sizes = { tokenizer, length: 8, isFramed: true, most: 4 };
  const rows = [wanted, { question, choices: ["ice", "fire"], answer: 0 }];
  const batch = new ChoiceDataset(rows, sizes, "x").collate([1, 0]);
  expect([batch.tokens.shape, batch.tokenTypes!.shape]).toEqual([
    [2, 4, 8],
    [2, 4, 8],
  ]);
  const isThere = Array.from({ length: 8 }, (_, at) => batch.tokens.data[at * 8] !== -1);
  expect(isThere).toEqual([true, true, false, false, true, true, true, false]);
  expect(batch.targets.data).toEqual(Int32Array.of(0, 1));
  const plain = new ChoiceDataset(rows, { ...sizes, isFramed: false }, "x");
  expect([plain.collate([0]).tokenTypes, plain.cut]).toEqual([undefined, 2]);
});

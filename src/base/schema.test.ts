// Problems of configurations as people read them.
import { expect, test } from "vitest";
import { z } from "zod";
import { oneOf, parseConfig } from "./index.ts";

const schema = z.strictObject({
  size: z.number().int().positive().default(3),
  rate: z
    .union([
      z.number().positive(),
      oneOf({ cosine: z.strictObject({ peak: z.number().positive() }), constant: z.strictObject({}) }),
    ])
    .optional(),
  mode: z.enum(["fast", "slow"]).optional(),
  list: z.array(z.number()).min(2).optional(),
  nested: z.strictObject({ deep: z.strictObject({ count: z.number() }).optional() }).optional(),
});

const problems = (value: unknown): string[] => {
  try {
    parseConfig(schema, value, "test");
    return [];
  } catch (error) {
    return (error as { got: string }).got.split("\n");
  }
};

test("defaults are filled in, and a choice's name stands for its defaults", () => {
  expect(parseConfig(schema, { rate: "constant" }, "test")).toEqual({ size: 3, rate: { constant: {} } });
});

test("every problem is told, each once, at its place", () => {
  expect(
    problems({
      size: 0.5,
      rate: { cosine: { peak: -1, peek: 2 } },
      mode: "fats",
      nested: { deep: { cuont: 1 } },
      sise: 1,
    }),
  ).toEqual([
    expect.stringMatching(/^size: expected a whole number, got 0.5$/),
    "rate.cosine.peak: must be greater than 0, got -1",
    "rate.cosine.peek: unknown key; did you mean peak?",
    expect.stringMatching(/^mode: expected one of "fast"\|"slow", got "fats"$/),
    "nested.deep.count: missing; expected number",
    "nested.deep.cuont: unknown key; did you mean count?",
    "sise: unknown key; did you mean size?",
  ]);
});

test("a plain value in an object's place is shown under the first key that takes it, else the keys are", () => {
  expect(problems({ nested: { deep: 2 } })).toEqual([
    "nested.deep: expected object, got 2; such as deep: { count: 2 }",
  ]);
  expect(problems({ nested: { deep: "two" } })).toEqual(['nested.deep: expected object, got "two"; known: count']);
});

test("a text that must not be empty says so", () => {
  const read = () => parseConfig(z.strictObject({ word: z.string().min(1) }), { word: "" }, "test");
  expect(read).toThrow(expect.objectContaining({ got: 'word: must not be empty, got ""' }));
});

test("a list that is too short says how many entries it must have", () => {
  expect(problems({ list: [1] })).toEqual(["list: must have at least 2 entries, got [1]"]);
});

test("a union tells what it takes when no branch was meant", () => {
  expect(problems({ rate: [1] })).toEqual([expect.stringMatching(/^rate: expected number or object, got \[1\]$/)]);
  expect(problems({ rate: Number.NaN })).toEqual([expect.stringMatching(/^rate: expected number or object, got NaN$/)]);
  expect(problems({ rate: {} })).toEqual(["rate: expected exactly one of cosine, constant, got none"]);
  expect(problems({ rate: { cosine: { peak: 1 }, constant: {} } })).toEqual([
    "rate: expected exactly one of cosine, constant, got cosine and constant",
  ]);
  expect(problems("no object")).toEqual([
    '(the whole): expected object, got "no object"; known: size, rate, mode, list, nested',
  ]);
});

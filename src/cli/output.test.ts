// Where words go, which exit code an error means, and words that a shell reads back.
import { stripVTControlCharacters } from "node:util";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { AthanorError } from "../base/index.ts";
import { numberOption, wholeOption } from "./options.ts";
import { createOutput, reportError, toLine } from "./output.ts";

let stdout: string;
let stderr: string;
beforeEach(() => {
  [stdout, stderr] = ["", ""];
  vi.spyOn(process.stdout, "write").mockImplementation((text) => {
    stdout += text;
    return true;
  });
  vi.spyOn(process.stderr, "write").mockImplementation((text) => {
    stderr += text;
    return true;
  });
});
afterEach(() => vi.restoreAllMocks());

function speak(json: boolean): void {
  const output = createOutput(json);
  output.note("note");
  output.print("print");
  output.record({ a: 1 });
}

test("for people: results on stdout, notes on stderr", () => {
  speak(false);
  expect([stdout, stderr]).toEqual(["print\n", "note\n"]);
});

test("for machines: nothing but records on stdout", () => {
  speak(true);
  expect([stdout, stderr]).toEqual(['{"a":1}\n', "note\n"]);
});

test("numbers that JSON has no word for are told by name", () => {
  expect(toLine({ loss: Number.NaN, inner: [Number.POSITIVE_INFINITY, 1] })).toBe(
    '{"loss":"NaN","inner":["Infinity",1]}\n',
  );
});

test.each([
  ["config/unknown-key", 2],
  ["data/empty", 2],
  ["resume/recipe", 2],
  ["engine/precision", 2],
  ["run/exists", 2],
  ["checkpoint/missing", 2],
  ["eval/task", 2],
  ["align/reward", 2],
  ["hub/not-found", 2],
  ["safetensors/truncated", 2],
  ["generate/context", 2],
  ["generate/not-finite", 1],
  ["hub/network", 1],
  ["hub/hash", 1],
  ["train/non-finite", 1],
  ["checkpoint/hash", 1],
  ["engine/missing", 1],
  ["run/disk", 1],
])("%s means exit code %i", (code, exit) => {
  const fields = { where: "here", expected: "this", got: "that", fix: "so" };
  expect(reportError(new AthanorError(code, "what", fields), true)).toBe(exit);
  expect(JSON.parse(stdout)).toEqual({ event: "error", type: "error", code, what: "what", ...fields });
  expect(stripVTControlCharacters(stderr)).toBe(
    `[${code}] what\n  at        here\n  expected  this\n  got       that\n  fix       so\n`,
  );
});

test("what nobody foresaw is our fault, with its stack on stderr", () => {
  expect(reportError(new TypeError("x is not a function"), false)).toBe(1);
  expect(stdout).toBe("");
  expect(stderr).toMatch(/\[internal\][\s\S]*TypeError: x is not a function\n +at /);
});

test("options that are no numbers are refused by their name", () => {
  const parse = numberOption("--tokens");
  expect([parse("12"), parse("1e-3"), parse("-2")]).toEqual([12, 0.001, -2]);
  for (const text of ["", " ", "many", "NaN", "Infinity", "1,5"])
    expect(() => parse(text)).toThrow(/cli\/number[\s\S]*--tokens/);
  const whole = wholeOption("--tokens");
  expect(whole("12")).toBe(12);
  for (const text of ["", "many", "0", "-1", "2.5"])
    expect(() => whole(text)).toThrow(/--tokens is not a positive whole number[\s\S]*a whole number, at least 1$/);
  expect(() => wholeOption("--tokens", 9)("10")).toThrow(/--tokens is too large[\s\S]*at least 1 and at most 9$/);
});

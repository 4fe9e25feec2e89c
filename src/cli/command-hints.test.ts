// Errors of the package in the words of the command line: what is advised is a command or an option that there is, and nothing else changes.
import { Command } from "commander";
import { expect, test } from "vitest";
import { AthanorError } from "../base/index.ts";
import { withCommands } from "./command-hints.ts";
import { withUsualName } from "./usual-names.ts";

test.each([
  ["call generate(prompt); or train it with data.chat", "npx athanor generate; or train it with data.chat"],
  ["call predict()", "npx athanor predict"],
  ['save(folder, { dtype: "bf16" }), which reaches as far as f32', "--dtype bf16, which reaches as far as f32"],
  ['save(to, { layout: "peft" })', "--layout peft"],
  [
    "choose a new folder, or add --replace; from code save(folder, { replace: true })",
    "choose a new folder, or add --replace",
  ],
  ["check the path", "check the path"],
])("%s", (fix, told) => {
  const cause = new TypeError("below");
  const error = new AthanorError("a/b", "broken", { where: "here", expected: "e", got: "g", fix, cause });
  const { code, what, where, expected, got, stack } = error;
  const hinted = withCommands(error) as AthanorError;
  expect(hinted).toMatchObject({ code, what, where, expected, got, fix: told, cause });
  expect(hinted.stack!.split("\n    at ").slice(1)).toEqual(stack!.split("\n    at ").slice(1));
  expect(hinted.message).toContain(`fix       ${told}`);
});

test("what is no such error, or advises nothing, stays as it is", () => {
  const [plain, silent] = [new Error("x"), new AthanorError("a/b", "broken")];
  expect(withCommands(plain)).toBe(plain);
  expect(withCommands(silent)).toBe(silent);
});

test("a command by another name", () => {
  const told = (name: string) => withUsualName(`error: unknown command '${name}'\n`, new Command("athanor"));
  expect(told("compare")).toBe("error: unknown command 'compare'\n(Did you mean runs compare?)\n");
  for (const none of ["cook", "constructor"]) expect(told(none)).toBe(`error: unknown command '${none}'\n`);
});

test.each([
  ["--max-tokens", "generate", "--tokens"],
  ["--max-tokens", "train", undefined],
  ["--model", "generate", "the argument <run>"],
  ["--model", "train", "--set from=FOLDER"],
  ["--batch-size", "eval", "--batch"],
  ["--batch-size", "train", "--set batch.size=32"],
  ["--lr", "eval", undefined],
  ["--epochs", "train", "--set steps=1000"],
])("%s of %s: %s", (option, name, told) => {
  const commands = [
    new Command("train").argument("[recipe]").option("--set <key=value>"),
    new Command("generate").argument("<run>").option("--tokens <n>"),
    new Command("eval").argument("<run>").option("--batch <n>").option("--set <key=value>"),
  ];
  const text = `error: unknown option '${option}'\n`;
  const hint = told === undefined ? "" : `(Did you mean ${told}?)\n`;
  expect(withUsualName(text, commands.find((command) => command.name() === name)!)).toBe(text + hint);
});

// Parsing of option values, with errors that name the option.
import type { Command } from "commander";
import { fail, parseBytes } from "../base/index.ts";

/** What `--raw` means for every command that uses trained weights. */
export const rawHelp = "the weights trained on, where the optimizer also keeps averages: those are used by default";

/** What `--adapter` means for every command that takes a model. */
export const adapterHelp = "an adapter in PEFT's layout, beside the model of a Hugging Face folder";

/** A parser for the path of a folder or file. Errors with `cli/argument` when it is empty. */
export function pathOption(name: string): (text: string) => string {
  return (text) =>
    text !== ""
      ? text
      : fail("cli/argument", `${name} is empty`, {
          where: name,
          expected: "a path",
          got: '""',
          fix: "give it; a variable of the shell may be unset",
        });
}

/** A parser for a positive whole number. Errors with `cli/number`. */
export function wholeOption(name: string, most = Number.MAX_SAFE_INTEGER): (text: string) => number {
  const range = `at least 1${most < Number.MAX_SAFE_INTEGER ? ` and at most ${most}` : ""}`;
  return (text) => {
    const value = toNumber(text);
    if (Number.isInteger(value) && value > 0 && value <= most) return value;
    return fail("cli/number", `${name} is ${value > most ? "too large" : "not a positive whole number"}`, {
      where: name,
      expected: `a whole number, ${range}`,
      got: text === "" ? '""' : text,
      fix: `give a whole number, ${range}`,
    });
  };
}

/** A parser for a finite number. Errors with `cli/number`. */
export function numberOption(name: string): (text: string) => number {
  return (text) => {
    const value = toNumber(text);
    if (Number.isFinite(value)) return value;
    return fail("cli/number", `${name} is not a number`, {
      where: name,
      expected: "a finite number",
      got: text === "" ? '""' : text,
      fix: "give a number, with a point for decimals",
    });
  };
}

/** A parser for bytes, such as 2GiB. Errors with `cli/argument`. */
export function bytesOption(name: string): (text: string) => number {
  return (text) => {
    const bytes = /^\s*[\d.]+\s*([KMGT]i)?B?\s*$/.test(text) ? parseBytes(text) : 0;
    if (bytes > 0) return bytes;
    return fail("cli/argument", `${name} is not an amount of bytes`, {
      where: name,
      expected: "more than 0, with B, KiB, MiB, GiB or TiB, such as 2GiB",
      got: text === "" ? '""' : text,
      fix: "give a number with one of these units",
    });
  };
}

const toNumber = (text: string): number => (text.trim() === "" ? Number.NaN : Number(text));

/** A parser for one of several names. Errors with `cli/argument`. */
export function choiceOption<Name extends string>(name: string, choices: readonly Name[]): (text: string) => Name {
  return (text) =>
    choices.find((choice) => choice === text) ??
    fail("cli/argument", `${name} does not know ${text}`, {
      where: name,
      expected: choices.join(", "),
      got: text,
      fix: "name one of these",
    });
}

/** Refuses options that would do nothing here, by their keys, where the command line names them. Errors with `cli/argument`. */
export function refuseUnused(command: Command, keys: readonly string[], why: string): void {
  const given = keys.filter((key) => command.getOptionValueSource(key) === "cli").map((key) => `--${kebab(key)}`);
  if (given.length === 0) return;
  fail("cli/argument", `${given.join(", ")} would do nothing here: ${why}`, {
    where: given[0]!,
    expected: "options that are used",
    got: given.join(", "),
    fix: `leave ${given.length === 1 ? "it" : "them"} out`,
  });
}

const kebab = (key: string): string => key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

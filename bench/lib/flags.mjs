// The command line of a benchmark: --help, and what is wrong with a request in a line instead of a stack.
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { parseArgs } from "node:util";

/** Values by name, as `parseArgs` reads `options`. Prints `usage` and ends for --help; refuses flags that are not known. */
export function readFlags(usage, options) {
  const { values } = orRefuse(() => parseArgs({ options: { ...options, help: { type: "boolean" } } }));
  if (!values.help) return values;
  console.log(usage);
  process.exit(0);
}

/** Says what is wrong, and ends with status 2. */
export function refuse(what) {
  console.error(what);
  process.exit(2);
}

/** What `make` returns; refuses with the message of what it throws. */
export function orRefuse(make) {
  try {
    return make();
  } catch (error) {
    return refuse(error.message);
  }
}

/** A whole number from 1 on. */
export function countOf(name, text) {
  const value = Number(text);
  return Number.isInteger(value) && value >= 1
    ? value
    : refuse(`--${name} is a whole number from 1 on, not "${text}".`);
}

/** One of `words`. */
export function wordOf(name, text, words) {
  return words.includes(text) ? text : refuse(`--${name} is ${words.join(" or ")}, not "${text}".`);
}

/** A file in a folder that is there. */
export function fileOf(name, path) {
  return existsSync(dirname(path)) ? path : refuse(`--${name} is a file in a folder that is there, not ${path}.`);
}

// What options are called elsewhere: a hint beside the error of an unknown one. Misspelt names are found by commander itself.
import type { Command } from "commander";

/** Of each what a command may have in its place: an option, or an argument; a setting where it takes a recipe. The first that it has is told. */
const ours: { readonly [usual: string]: readonly string[] } = {
  "--max-tokens": ["--tokens"],
  "--max-new-tokens": ["--tokens"],
  "--num-beams": ["--beams"],
  "--num-samples": ["--samples"],
  "--num-return-sequences": ["--samples"],
  "--vocab-size": ["--vocab"],
  "--num-workers": ["--workers"],
  "--model": ["<run>", "--set from=FOLDER"],
  "--file": ["<file>", "<documents>"],
  "--data": ["<file>", "<documents>", "--set data.path=FILE"],
  "--batch-size": ["--batch", "--set batch.size=32"],
  "--learning-rate": ["--set optimizer.adamw.lr=3e-4"],
  "--lr": ["--set optimizer.adamw.lr=3e-4"],
  "--epochs": ["--set steps=1000"],
  "--steps": ["--set steps=1000"],
  "--seed": ["--set seed=1"],
  "--output": ["--run-dir", "--to", "<folder>"],
  "--output-dir": ["--run-dir", "--output", "--to", "<folder>"],
};

/** An error of the command line, with what `command` calls the option that it does not know. */
export function withUsualName(text: string, command: Command): string {
  const [, option = ""] = /unknown option '([^'=]+)/.exec(text) ?? [];
  const takes = (name: string) => command.registeredArguments.some((argument) => argument.name() === name);
  const has = (name: string) =>
    name.startsWith("<")
      ? takes(name.slice(1, -1))
      : command.options.some(({ long }) => long === name.split(" ")[0]) && (!name.includes(" ") || takes("recipe"));
  const name = ours[option]?.find(has);
  if (name === undefined || text.includes("Did you mean")) return text;
  return `${text.trimEnd()}\n(Did you mean ${name.startsWith("<") ? `the argument ${name}` : name}?)\n`;
}

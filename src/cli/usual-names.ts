// What options and commands are called elsewhere: a hint beside the error of an unknown one. Misspelt names are found by commander itself.
import type { Command } from "commander";

/** Of each option what a command may have in its place, the first that it has: an option, an argument, a setting of its recipe. Of commands ours. */
const ours: ReadonlyMap<string, readonly string[]> = new Map(
  Object.entries({
    "--max-tokens": ["--tokens"],
    "--max-new-tokens": ["--tokens"],
    "--max-length": ["--tokens"],
    "--format": ["--layout"],
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
    ...{ chat: ["generate --chat"], compare: ["runs compare"], tokenize: ["data tokenize"], preview: ["data preview"] },
    ...{ evaluate: ["eval"], test: ["eval"], finetune: ["train"], download: ["pull"], upload: ["push"] },
  }),
);

/** An error of the command line, with what `command` calls what it does not know. */
export function withUsualName(text: string, command: Command): string {
  const [, unknown = ""] = /unknown (?:option|command) '([^'=]+)/.exec(text) ?? [];
  const takes = (name: string) => command.registeredArguments.some((argument) => argument.name() === name);
  const offers = (name: string) => command.options.some(({ long }) => long === name.split(" ")[0]);
  const has = (name: string) => {
    if (name.startsWith("<")) return takes(name.slice(1, -1));
    return !name.startsWith("--") || (offers(name) && (!name.includes(" ") || takes("recipe")));
  };
  const name = ours.get(unknown)?.find(has);
  if (name === undefined || text.includes("Did you mean")) return text;
  return `${text.trimEnd()}\n(Did you mean ${name.startsWith("<") ? `the argument ${name}` : name}?)\n`;
}

// What options are called elsewhere: a hint beside the error of an unknown one. Misspelt names are found by commander itself.

const ours: { readonly [usual: string]: string } = {
  "--max-tokens": "--tokens",
  "--max-new-tokens": "--tokens",
  "--num-beams": "--beams",
  "--num-samples": "--samples",
  "--num-return-sequences": "--samples",
  "--model": "the run's folder as the first argument",
  "--file": "the file as an argument",
  "--batch-size": "--set batch.size=32 (eval: --batch)",
  "--learning-rate": "--set optimizer.adamw.lr=3e-4",
  "--lr": "--set optimizer.adamw.lr=3e-4",
  "--epochs": "--set epochs=3",
  "--seed": "--set seed=1",
  "--output-dir": "--run-dir",
};

/** An error of the command line, with what we call the option that it does not know. */
export function withUsualName(text: string): string {
  const [, option = ""] = /unknown option '([^'=]+)/.exec(text) ?? [];
  const name = ours[option];
  return name === undefined || text.includes("Did you mean") ? text : `${text.trimEnd()}\n(Did you mean ${name}?)\n`;
}

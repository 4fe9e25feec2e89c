// What an error advises programs to call, in the words of the command line.
import { AthanorError } from "../base/index.ts";

/** Calls as errors write them, and the command or the options that do the same. */
const commands: readonly (readonly [call: RegExp, command: string])[] = [
  [/; from code \w+\([^)]*\)/g, ""],
  [/\bsave\(\w+, \{ (\w+): true \}\)/g, "--$1"],
  [/\bsave\(\w+, \{ (\w+): "([^"]+)" \}\)/g, "--$1 $2"],
  [/\bcall (generate|predict)\([^)]*\)/g, "npx athanor $1"],
];

/** The same error, whose `fix` names commands and options where it named functions. */
export function withCommands(error: unknown): unknown {
  if (!(error instanceof AthanorError) || error.fix === undefined) return error;
  return error.with({ fix: commands.reduce((text, [call, command]) => text.replace(call, command), error.fix) });
}

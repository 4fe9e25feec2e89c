// What an error advises programs to call, in the words of the command line.
import { AthanorError } from "../base/index.ts";

const commands: readonly (readonly [call: string, command: string])[] = [
  ["; from code save(folder, { replace: true })", ""],
  ['save(folder, { dtype: "bf16" })', "--dtype bf16"],
  ["call generate(prompt)", "npx athanor generate"],
  ["call predict()", "npx athanor predict"],
];

/** The same error, whose `fix` names commands and options where it named functions. */
export function withCommands(error: unknown): unknown {
  if (!(error instanceof AthanorError) || error.fix === undefined) return error;
  const fix = commands.reduce((text, [call, command]) => text.replaceAll(call, command), error.fix);
  const { code, what, where, expected, got } = error;
  return fix === error.fix ? error : new AthanorError(code, what, withoutUndefined({ where, expected, got, fix }));
}

const withoutUndefined = <T extends object>(fields: T) =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));

// What a command is: one file under commands/, which declares its arguments and does its work through `api` and `study`.
import type { Command } from "commander";
import type { Output } from "./output.ts";

/** The package's folder, seen from src/cli as from dist/cli. */
export const packageRoot = new URL("../../", import.meta.url);

export interface CommandContext {
  readonly output: Output;
  /**
   * Aborted by the first Ctrl-C or SIGTERM: the run saves and ends. The second one ends the process. A command that never
   * reads this is ended by the first.
   */
  readonly signal: AbortSignal;
  /** Which signal came: decides between exit codes 130 and 75. */
  readonly stoppedBy: () => NodeJS.Signals | undefined;
}

/** Declares a command on the program. `run` wraps an action with output, signals and error reports. */
export type DefineCommand = (
  program: Command,
  run: <A extends unknown[]>(
    action: (context: CommandContext, ...args: A) => Promise<number | undefined>,
  ) => (...args: A) => Promise<void>,
) => void;

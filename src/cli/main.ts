// The command line. The only place that reads process.argv and process.env; each command is a file of its own.
import { Command, CommanderError } from "commander";
import { version } from "../api/index.ts";
import { fail } from "../base/index.ts";
import type { CommandContext } from "./command.ts";
import { withCommands } from "./command-hints.ts";
import { commands } from "./commands/index.ts";
import { createOutput, exitCodes, reportError, stoppedCode, toLine } from "./output.ts";
import { withUsualName } from "./usual-names.ts";

const program = new Command("athanor")
  .description("Train models in TypeScript: from raw data to a deployed model, without Python.")
  .version(version)
  .option("--json", "machine-readable output on stdout; progress stays on stderr")
  .showSuggestionAfterError(true)
  .showHelpAfterError("(--help tells how it is used)")
  .configureHelp({ showGlobalOptions: true })
  .exitOverride()
  .configureOutput({ writeErr: (text) => void process.stderr.write(text) });

const stop = new AbortController();
let stoppedBy: NodeJS.Signals | undefined;

function onSignal(signal: NodeJS.Signals): void {
  if (stoppedBy !== undefined) process.exit(stoppedCode(signal));
  stoppedBy = signal;
  stop.abort();
}

/** Signals are held back from the first look at `signal` on: a command that has no way to stop well is ended at once. */
function createContext(json: boolean): CommandContext {
  return {
    output: createOutput(json),
    get signal() {
      for (const name of ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR2"] as const)
        if (!process.listeners(name).includes(onSignal)) process.on(name, onSignal);
      return stop.signal;
    },
    stoppedBy: () => stoppedBy,
  };
}

function wrap<A extends unknown[]>(action: (context: CommandContext, ...args: A) => Promise<number | undefined>) {
  return async (...args: A): Promise<void> => {
    const json = program.opts<{ json?: boolean }>().json ?? false;
    try {
      if (args.includes(""))
        fail("cli/argument", "an argument is empty", {
          expected: "a recipe, a run, a file or a folder",
          got: '""',
          fix: "give it; a variable of the shell may be unset",
        });
      process.exitCode = (await action(createContext(json), ...args)) ?? exitCodes.done;
    } catch (error) {
      process.exitCode = reportError(withCommands(error), json);
    }
  };
}

/** Each command's errors name the options that it has itself. */
function tellUsualNames(command: Command): void {
  command.configureOutput({ outputError: (text, write) => write(withUsualName(text, command)) });
  command.commands.forEach(tellUsualNames);
}

// A reader that went away (`| head`, a terminal that was closed) wants no more: what can be saved is saved, nothing more is said.
for (const stream of [process.stdout, process.stderr]) {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE" && error.code !== "EIO") throw error;
    stop.abort();
  });
}
for (const define of commands) define(program, wrap);
tellUsualNames(program);

try {
  await program.parseAsync();
} catch (error) {
  const json = process.argv.includes("--json");
  if (!(error instanceof CommanderError)) process.exitCode = reportError(error, json);
  else if (error.exitCode === 0) process.exitCode = exitCodes.done;
  else {
    // commander has told people already: with the help where a command is missing
    const what = error.code === "commander.help" ? "a command is missing" : error.message.replace(/^error: /, "");
    if (json) process.stdout.write(toLine({ event: "error", type: "error", code: "cli/usage", what }));
    process.exitCode = exitCodes.wrongRequest;
  }
}

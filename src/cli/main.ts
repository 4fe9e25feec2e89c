#!/usr/bin/env node
// The command line. The only place that reads process.argv and process.env; each command is a file of its own.
import { readFileSync } from "node:fs";
import { Command, CommanderError } from "commander";
import type { CommandContext } from "./command.ts";
import { commands } from "./commands/index.ts";
import { createOutput, exitCodes, reportError } from "./output.ts";

const manifest = JSON.parse(readFileSync(new URL("../../package.json", import.meta.url), "utf8")) as {
  version: string;
};

const program = new Command("athanor")
  .description("Train models in TypeScript: from raw data to a deployed model, without Python.")
  .version(manifest.version)
  .option("--json", "machine-readable output on stdout; progress stays on stderr")
  .showSuggestionAfterError(true)
  .configureHelp({ showGlobalOptions: true })
  .exitOverride()
  .configureOutput({ writeErr: (text) => void process.stderr.write(text) });

const stop = new AbortController();
let stoppedBy: NodeJS.Signals | undefined;

function onSignal(signal: NodeJS.Signals): void {
  if (stoppedBy !== undefined) process.exit(signal === "SIGINT" ? exitCodes.interrupted : exitCodes.preempted);
  stoppedBy = signal;
  stop.abort();
}

function wrap<A extends unknown[]>(action: (context: CommandContext, ...args: A) => Promise<number | undefined>) {
  return async (...args: A): Promise<void> => {
    const json = program.opts<{ json?: boolean }>().json ?? false;
    try {
      const context = { output: createOutput(json), signal: stop.signal, stoppedBy: () => stoppedBy };
      process.exitCode = (await action(context, ...args)) ?? exitCodes.done;
    } catch (error) {
      process.exitCode = reportError(error, json);
    }
  };
}

for (const signal of ["SIGINT", "SIGTERM", "SIGUSR2"] as const) process.on(signal, onSignal);
// A closed pipe (`| head`) ends the output, not the run with a stack trace.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(exitCodes.done);
  throw error;
});
for (const define of commands) define(program, wrap);
for (const command of program.commands)
  command
    .option("--json", "machine-readable output on stdout")
    .on("option:json", () => program.setOptionValue("json", true));

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError)
    process.exitCode = error.exitCode === 0 ? exitCodes.done : exitCodes.wrongRequest;
  else process.exitCode = reportError(error, false);
}

// Where words go: results on stdout, progress and errors on stderr, and with --json one object or NDJSON on stdout.
import pc from "picocolors";
import { AthanorError } from "../base/index.ts";
import { plainFigures } from "../track/index.ts";

/**
 * Exit codes: 0 done, 1 failed, or a check that says no; 2 the request was wrong: the command line, the recipe, or a file or folder that
 * they name must change first; 75 preempted (saved; start again), 130 interrupted (saved).
 */
export const exitCodes = { done: 0, failed: 1, wrongRequest: 2, preempted: 75, interrupted: 130 } as const;

/** Of a command that a signal stopped. */
export function stoppedCode(signal: NodeJS.Signals | undefined): number {
  return signal === "SIGINT" ? exitCodes.interrupted : exitCodes.preempted;
}

/** Code prefixes of errors that the caller mends by asking for something else. */
const requestCodes: readonly string[] = [
  "align/",
  "config/",
  "cli/",
  "data/",
  "eval/",
  "generate/",
  "hub/",
  "tokenizer/",
  "shape/",
  "dtype/",
  "plan/",
  "nn/",
  "optim/",
  "model/",
  "path/",
  "resume/",
  "reproduce/",
  "safetensors/",
  "search/missing",
  "engine/precision",
  "tune/noise",
  "engine/isa",
  "engine/too-slow",
  "run/exists",
  "run/missing",
  "run/data",
  "run/foreign",
  "run/no-steps",
  "run/version",
  "checkpoint/missing",
  "checkpoint/version",
  "state-dict/",
];

/** Those of them that another request would not mend. */
const failures: readonly string[] = ["generate/not-finite", "hub/hash", "hub/network"];

export interface Output {
  readonly json: boolean;
  /** A line of progress, for people: stderr. */
  note(text: string): void;
  /** A result for people on stdout; nothing with --json. */
  print(text: string): void;
  /** A machine-readable record on stdout; nothing without --json. */
  record(value: object): void;
}

export function createOutput(json: boolean): Output {
  return {
    json,
    note: (text) => void process.stderr.write(`${text}\n`),
    print: (text) => void (json || process.stdout.write(`${text}\n`)),
    record: (value) => void (json && process.stdout.write(toLine(value))),
  };
}

/** One line, in which a loss that is NaN is told as in the run's log. */
export function toLine(value: object): string {
  return `${JSON.stringify(value, plainFigures)}\n`;
}

/** Prints an error the way it deserves, and says which exit code it means. */
export function reportError(error: unknown, json: boolean): number {
  const known = error instanceof AthanorError;
  if (json) {
    const body = known ? error.toJSON() : { code: "internal/unexpected", what: String(error) };
    process.stdout.write(toLine({ event: "error", type: "error", ...body }));
  }
  if (known) {
    const [first, ...rest] = error.message.split("\n");
    process.stderr.write(`${pc.red(first ?? "")}\n${rest.map((line) => `${line}\n`).join("")}`);
    const isRequest = requestCodes.some((prefix) => error.code.startsWith(prefix)) && !failures.includes(error.code);
    return isRequest ? exitCodes.wrongRequest : exitCodes.failed;
  }
  process.stderr.write(
    `${pc.red("[internal] this is a fault in Athanor: please report it")}\n${error instanceof Error ? error.stack : String(error)}\n`,
  );
  return exitCodes.failed;
}

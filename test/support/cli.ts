// Running the command line as its users do: as a process, with a folder of its own. Holds no expectations.
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { RandomStream } from "../../src/base/index.ts";

const command = fileURLToPath(new URL("../../bin/athanor.mjs", import.meta.url));

export interface CliResult {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
  /** Objects of stdout, with --json. */
  readonly records: readonly { readonly [key: string]: unknown }[];
}

export interface RunningCli {
  readonly child: ChildProcess;
  readonly done: Promise<CliResult>;
}

export function startCli(args: readonly string[], cwd: string): RunningCli {
  const child = spawn(process.execPath, [command, ...args], { cwd, stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (data) => {
    stdout += data;
  });
  child.stderr.on("data", (data) => {
    stderr += data;
  });
  const done = new Promise<CliResult>((resolve) => {
    child.on("close", (code, signal) => {
      const lines = stdout.split("\n").filter((line) => line.startsWith("{"));
      resolve({ code, signal, stdout, stderr, records: lines.flatMap(parse) });
    });
  });
  return { child, done };
}

export async function runCli(args: readonly string[], cwd: string): Promise<CliResult> {
  return await startCli(args, cwd).done;
}

function parse(line: string): { [key: string]: unknown }[] {
  try {
    return [JSON.parse(line)];
  } catch {
    return []; // the last line of a killed process
  }
}

/** A folder that goes away at the end. */
export function scratchFolder(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), "athanor-test-"));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

/** English-like text: words drawn by a counter generator, the same for one seed. */
export function makeText(characters: number, seed = 1): string {
  const words =
    "the of and to in a is that it was for on are as with his they at be this from have or by one had not".split(" ");
  const stream = new RandomStream(seed, "words");
  const parts: string[] = [];
  for (let length = 0, at = 0; length < characters; at++) {
    const word = words[stream.below(words.length, at)]!;
    parts.push(word, at % 9 === 8 ? ".\n" : " ");
    length += word.length + 1;
  }
  return parts.join("").slice(0, characters);
}

/** Writes `corpus.txt` and a recipe of a tiny GPT beside it; returns the recipe's name. */
export function writeTinyRecipe(folder: string, changes: { readonly [key: string]: unknown } = {}): string {
  writeFileSync(join(folder, "corpus.txt"), makeText(20_000));
  const recipe = {
    data: { path: "corpus.txt" },
    tokenizer: "char",
    model: { gpt: { layers: 2, heads: 2, width: 32, context: 16, dropout: 0.1, bias: false } },
    optimizer: { adamw: { lr: 3e-3, clip: 1 } },
    batch: { size: 8, lanes: 2 },
    steps: 60,
    seed: 7,
    eval: { every: 20 },
    checkpoint: { every: 10 },
    ...changes,
  };
  writeFileSync(join(folder, "tiny.json"), JSON.stringify(recipe));
  return "tiny.json";
}

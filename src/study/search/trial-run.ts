// A trial under way: `athanor train` as a process of its own, in its own run folder, up to a step. What it was worth is read
// from the run's log. Which trial runs when, others decide.
import { spawn } from "node:child_process";
import { access, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { readLock } from "../../checkpoint/index.ts";
import { readEvents, recordName } from "../../track/index.ts";
import type { Report } from "./trials.ts";

export interface TrialPiece {
  readonly program: string;
  readonly folder: string;
  readonly recipe: string;
  readonly until: number;
  readonly metric: string;
  /** Lets the run save and end. */
  readonly signal?: AbortSignal | undefined;
}

export type PieceResult =
  | { readonly ending: "reached"; readonly report: Report }
  | { readonly ending: "failed"; readonly code: string; readonly message: string }
  | { readonly ending: "stopped" };

/**
 * Runs a trial up to a step; one that is there already goes on from its newest checkpoint. A process that an earlier search left
 * behind may still be taking the folder: it ends as soon as it speaks, and is waited for.
 */
export async function runPiece(piece: TrialPiece): Promise<PieceResult> {
  for (let attempt = 1; ; attempt++) {
    await waitForFree(piece.folder);
    const result = await tryPiece(piece);
    const isTaken = result.ending === "failed" && ["run/locked", "run/exists"].includes(result.code);
    if (!isTaken || attempt === 20) return result;
    await sleep(250);
  }
}

async function tryPiece({ program, folder, recipe, until, metric, signal }: TrialPiece): Promise<PieceResult> {
  const place = ["--run-dir", folder, ...((await isRun(folder)) ? ["--resume"] : [])];
  const args = [program, "train", recipe, ...place, "--until", String(until), "--json"];
  const { code, killedBy, lastLine, lastWords } = await runCommand(args, signal);
  if (code === 0) return await judge(folder, until, metric);
  if (signal?.aborted === true) return { ending: "stopped" };
  if (killedBy !== null)
    return { ending: "failed", code: "search/killed", message: `the trial was ended by ${killedBy}` };
  const { code: fault, what } = parseError(lastLine);
  return { ending: "failed", code: fault ?? "search/exit", message: what ?? (lastWords || `exit code ${code}`) };
}

/** Waits for a run that an earlier search left behind: without a reader it saves and ends after the step under way. */
export async function waitForFree(folder: string): Promise<void> {
  for (;;) {
    const lock = await readLock(folder).catch(() => undefined);
    if (lock === undefined || lock.liveness === "dead") return;
    await sleep(100);
  }
}

/** Whether there is a run to go on with; what a kill left of the beginning of one is removed. */
async function isRun(folder: string): Promise<boolean> {
  const there = await access(join(folder, recordName)).then(
    () => true,
    () => false,
  );
  if (!there) await rm(folder, { recursive: true, force: true });
  return there;
}

interface Ended {
  readonly code: number | null;
  readonly killedBy: NodeJS.Signals | null;
  readonly lastLine: string;
  readonly lastWords: string;
}

async function runCommand(args: readonly string[], signal: AbortSignal | undefined): Promise<Ended> {
  // a group of its own: Ctrl-C reaches the search, which tells its trials once
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "pipe"], detached: true });
  const stop = () => void child.kill("SIGTERM");
  signal?.addEventListener("abort", stop);
  if (signal?.aborted === true) stop();
  let [out, err] = ["", ""];
  child.stdout.on("data", (data) => {
    out = `${out}${data}`.slice(-65_536);
  });
  child.stderr.on("data", (data) => {
    err = `${err}${data}`.slice(-2_000);
  });
  return await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, killedBy) => {
      signal?.removeEventListener("abort", stop);
      resolve({ code, killedBy, lastLine: out.trimEnd().split("\n").at(-1) ?? "", lastWords: err.trim() });
    });
  });
}

function parseError(line: string): { readonly code?: string; readonly what?: string } {
  try {
    const { event, code, what } = JSON.parse(line);
    return event === "error" ? { code, what } : {};
  } catch {
    return {};
  }
}

/** The figure of the run's last evaluation. */
async function judge(folder: string, until: number, metric: string): Promise<PieceResult> {
  const last = (await readEvents(folder, "eval")).at(-1);
  const { loss, perplexity, metrics = {}, seconds } = last ?? { loss: Number.NaN, seconds: 0 };
  const figures: { readonly [name: string]: number | undefined } = { ...metrics, loss, perplexity };
  const value = figures[metric] ?? Number.NaN;
  if (!Number.isFinite(value))
    return { ending: "failed", code: "search/non-finite", message: `${metric} is ${value} at step ${until}` };
  return { ending: "reached", report: { step: until, value, seconds } };
}

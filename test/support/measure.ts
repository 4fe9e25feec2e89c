// Starts measured-run.mjs and reads what it measured.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export interface Measured {
  readonly peakBytes: number;
  readonly plannedBytes: number;
  readonly timerP99Ms: number;
  readonly timerMaxMs: number;
  /** Share of the steps' time that they waited for data. */
  readonly stall: number;
}

const script = fileURLToPath(new URL("./measured-run.mjs", import.meta.url));

/** Trains a recipe in a process of its own. */
export async function measureRun(recipe: object, folder: string): Promise<Measured> {
  const { stdout } = await promisify(execFile)(process.execPath, [script, JSON.stringify(recipe), folder], {
    maxBuffer: 2 ** 26,
  });
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Measured;
}

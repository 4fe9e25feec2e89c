// The one way anything is saved: a folder is filled aside, fsynced, read back, then renamed. Knows no tensors.
// A crash at any instant leaves the old state and perhaps a `.tmp-…` folder, whose name says which process left it.
import { randomBytes } from "node:crypto";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { syncFolder, systemCode } from "./disk.ts";
import { currentProcess, liveness, processSpace } from "./process-identity.ts";

/** Staging folders that this process is filling now. */
const inFlight = new Set<string>();

/** `.tmp-<step>-<pid>.<start>.<space>.<random>`: enough to tell later whether its writer still runs. */
function stagingName(step: number): string {
  const { pid, started } = currentProcess();
  return `.tmp-${step}-${pid}.${started || "0"}.${processSpace()}.${randomBytes(4).toString("hex")}`;
}

const stagingPattern = /^\.tmp-\d+-(\d+)\.(\d+)\.([0-9a-f]{8})\.[0-9a-f]{8}$/;

export interface CommitSteps {
  readonly step: number;
  /** Names to try in turn; the first free one is taken. */
  readonly names: Iterable<string>;
  /** Writes and fsyncs the files, the manifest last. */
  readonly fill: (folder: string) => Promise<void>;
  /** Reads everything back; throws when it is not what was meant. Gives a name to settle for that one instead of a new folder. */
  readonly check: (folder: string) => Promise<string | undefined>;
}

/**
 * Fills a staging folder and renames it into `parent`. On any failure the staging folder is removed and the error goes on.
 * @returns the name under which it now stands
 */
export async function commit(parent: string, steps: CommitSteps): Promise<string> {
  const staging = join(parent, stagingName(steps.step));
  inFlight.add(staging);
  try {
    await mkdir(staging);
    await steps.fill(staging);
    await syncFolder(staging);
    const settled = await steps.check(staging);
    if (settled !== undefined) {
      await rm(staging, { recursive: true });
      await syncFolder(parent); // an earlier attempt may have failed just there
      return settled;
    }
    const name = await renameToFree(staging, parent, steps.names);
    await syncFolder(parent);
    return name;
  } catch (error) {
    await rm(staging, { recursive: true, force: true }).catch(() => undefined); // what stays is reclaimed by the next save
    throw error;
  } finally {
    inFlight.delete(staging);
  }
}

async function renameToFree(staging: string, parent: string, names: Iterable<string>): Promise<string> {
  for (const name of names) {
    try {
      await rename(staging, join(parent, name));
      return name;
    } catch (error) {
      if (!["ENOTEMPTY", "EEXIST", "ENOTDIR"].includes(systemCode(error) ?? "")) throw error;
    }
  }
  throw new Error(`no free name in ${parent}`);
}

/** Removes a committed folder: first out of sight by one rename, so that a crash never leaves half of it under its name. */
export async function discard(parent: string, name: string, step: number): Promise<void> {
  const staging = join(parent, stagingName(step));
  inFlight.add(staging);
  try {
    await rename(join(parent, name), staging);
    await rm(staging, { recursive: true, force: true });
  } finally {
    inFlight.delete(staging);
  }
}

/**
 * Removes staging folders whose writer is dead, and those that this process left after a failure. With `alone` (the
 * caller holds the run's lock) also those of machines and containers that cannot be seen from here. Other names stay.
 */
export async function reclaim(parent: string, options: { alone: boolean }): Promise<string[]> {
  const reclaimed: string[] = [];
  for (const name of await readdir(parent)) {
    const match = stagingPattern.exec(name);
    const path = join(parent, name);
    if (match === null || inFlight.has(path)) continue;
    const [, pid, started, space] = match;
    if (!options.alone && writerMayRun(Number(pid), started!, space!)) continue;
    await rm(path, { recursive: true, force: true });
    reclaimed.push(name);
  }
  return reclaimed;
}

function writerMayRun(pid: number, started: string, space: string): boolean {
  const here = currentProcess();
  if (space !== processSpace()) return true;
  if (pid === here.pid && started === (here.started || "0")) return false; // ours, and not in flight: left by a failure
  return liveness({ ...here, pid, started: here.started === "" ? "" : started }) !== "dead";
}

// Which checkpoints a run folder holds, and which one to go on from. The truth is the scan; `latest` is a hint for people.
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { AthanorError, fail } from "../base/index.ts";
import { onDisk, systemCode } from "./disk.ts";
import {
  type Checkpoint,
  checkSizes,
  type LoadOptions,
  loadCheckpoint,
  readManifest,
  verifyCheckpoint,
} from "./load.ts";
import type { Manifest } from "./manifest.ts";

/** A checkpoint whose manifest is sound and whose files have their sizes; its data were not hashed. */
export interface CheckpointInfo {
  readonly path: string;
  readonly name: string;
  readonly step: number;
  /** 1, or more when the step was saved again beside an earlier one. */
  readonly attempt: number;
  readonly bytes: number;
  readonly manifest: Manifest;
}

/** A checkpoint that cannot be used, and why. */
export interface Skipped {
  readonly path: string;
  readonly error: AthanorError;
}

export interface Scan {
  /** Oldest first: by step, then by attempt. Never by a clock. */
  readonly checkpoints: readonly CheckpointInfo[];
  /** Folders with a checkpoint's name that hold none. They are never deleted. */
  readonly broken: readonly Skipped[];
}

const namePattern = /^step-(0|[1-9]\d{0,14})(?:-([2-9]|[1-9]\d{1,5}))?$/;

/** Where a run keeps its checkpoints. */
export function checkpointsFolder(runFolder: string): string {
  return join(runFolder, "checkpoints");
}

/** `step-300`, then `step-300-2`, `step-300-3`, ... */
export function* checkpointNames(step: number): Generator<string> {
  yield `step-${step}`;
  for (let attempt = 2; attempt < 1_000_000; attempt++) yield `step-${step}-${attempt}`;
}

/** The checkpoints of a run by a scan for sound manifests, oldest first. None when the folder is not there. */
export async function findCheckpoints(runFolder: string): Promise<readonly CheckpointInfo[]> {
  return (await scanCheckpoints(runFolder)).checkpoints;
}

/** As `findCheckpoints`, with what was found broken. */
export async function scanCheckpoints(runFolder: string): Promise<Scan> {
  const found = await scanInOrder(runFolder);
  return {
    checkpoints: found.filter((one) => "manifest" in one),
    broken: found.filter((one) => "error" in one),
  };
}

async function scanInOrder(runFolder: string): Promise<(CheckpointInfo | Skipped)[]> {
  const folder = checkpointsFolder(runFolder);
  const found: (CheckpointInfo | Skipped)[] = [];
  for (const { name, step, attempt } of await listNames(folder)) {
    const path = join(folder, name);
    try {
      const manifest = await readManifest(path);
      if (manifest.step !== step)
        fail("checkpoint/foreign", "the folder's name and its manifest tell different steps", {
          where: path,
          expected: `step ${step}`,
          got: `step ${manifest.step}`,
        });
      await checkSizes(path, manifest);
      const bytes = manifest.files.reduce((sum, file) => sum + file.bytes, 0);
      found.push({ path, name, step, attempt, bytes, manifest });
    } catch (error) {
      if (!(error instanceof AthanorError)) throw error;
      found.push({ path, error });
    }
  }
  return found;
}

interface StepName {
  readonly name: string;
  readonly step: number;
  readonly attempt: number;
}

async function listNames(folder: string): Promise<StepName[]> {
  const names = await onDisk("looking for checkpoints", folder, async () => {
    try {
      return await readdir(folder);
    } catch (error) {
      if (systemCode(error) === "ENOENT") return [];
      throw error;
    }
  });
  return names.flatMap(parseName).sort((a, b) => a.step - b.step || a.attempt - b.attempt);
}

function parseName(name: string): StepName[] {
  const match = namePattern.exec(name);
  return match === null ? [] : [{ name, step: Number(match[1]), attempt: Number(match[2] ?? 1) }];
}

export interface LatestGood {
  readonly path: string;
  readonly step: number;
  readonly manifest: Manifest;
  /** Newer ones that were passed over, newest first. Tell the user. */
  readonly skipped: readonly Skipped[];
}

/**
 * The newest checkpoint of which every byte verifies, falling back past damaged ones. `undefined` when the run has none.
 * Errors with `checkpoint/none-good` when there are some and all are damaged.
 */
export async function latestGood(runFolder: string): Promise<LatestGood | undefined> {
  return await newest(runFolder, async (path, skipped) => {
    const manifest = await verifyCheckpoint(path);
    return { path, step: manifest.step, manifest, skipped };
  });
}

/** Loads what `latestGood` would name, reading it once. Errors as `latestGood`. */
export async function loadLatest(
  runFolder: string,
  options: LoadOptions = {},
): Promise<{ readonly checkpoint: Checkpoint; readonly skipped: readonly Skipped[] } | undefined> {
  return await newest(runFolder, async (path, skipped) => ({
    checkpoint: await loadCheckpoint(path, options),
    skipped,
  }));
}

async function newest<T>(
  runFolder: string,
  take: (path: string, skipped: readonly Skipped[]) => Promise<T>,
): Promise<T | undefined> {
  const skipped: Skipped[] = [];
  for (const candidate of (await scanInOrder(runFolder)).toReversed()) {
    if ("error" in candidate) {
      skipped.push(candidate);
      continue;
    }
    try {
      return await take(candidate.path, skipped);
    } catch (error) {
      if (!(error instanceof AthanorError)) throw error;
      skipped.push({ path: candidate.path, error });
    }
  }
  if (skipped.length === 0) return undefined;
  return fail("checkpoint/none-good", "every checkpoint of this run is damaged", {
    where: checkpointsFolder(runFolder),
    got: skipped.map(({ path, error }) => `${path}: [${error.code}] ${error.what}`).join("\n"),
    fix: "restore one from a copy, or start the run anew",
  });
}

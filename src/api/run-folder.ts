// The folder of a run: a new one, made only once everything else is ready, or an earlier one to go on with; each with its lock.
import { createHash } from "node:crypto";
import { rmdir, statfs } from "node:fs/promises";
import { basename, dirname, resolve } from "node:path";
import { fail, formatBytes } from "../base/index.ts";
import { lockRun, type RunLock } from "../checkpoint/index.ts";
import type { Engine } from "../engine/index.ts";
import { compareRecipes, freeOnResume, type Prepared, type Recipe, recipeJson } from "../recipe/index.ts";
import {
  createRun,
  describeEnvironment,
  makeFolders,
  type NewRun,
  type RunRecord,
  readRun,
  requireFree,
} from "../track/index.ts";
import { findRun } from "./run-path.ts";
import { version } from "./version.ts";

export interface RunPlace {
  /** The run's folder; by default a new one under `runsRoot`. */
  readonly runDir?: string;
  /** Default `runs`. */
  readonly runsRoot?: string;
  /** The run or checkpoint that the first weights come from. */
  readonly initFrom?: string;
}

export interface LockedRun {
  readonly folder: string;
  readonly lock: RunLock;
}

/** SHA-256 of a recipe with every default filled in, as records and checkpoints name it. */
export function recipeHash(recipe: Recipe): string {
  return createHash("sha256")
    .update(JSON.stringify(recipeJson(recipe)))
    .digest("hex");
}

/** Looks at what a new run is to use before there is any work. Errors with `run/exists`, `run/disk`, `path/missing`. */
export async function requirePlace({ runDir, initFrom }: RunPlace): Promise<void> {
  if (runDir !== undefined) await requireFree(resolve(runDir));
  if (initFrom !== undefined) await findRun(initFrom);
}

/** Refuses a new run whose disk has no room for a single checkpoint of it. Errors with `run/no-space`. */
export async function requireSpace({ runDir, runsRoot = "runs" }: RunPlace, checkpointBytes: number): Promise<void> {
  const folder = resolve(runDir ?? runsRoot);
  requireFreeBytes(folder, checkpointBytes, await freeBytes(folder));
}

/** The pure part of `requireSpace`; free bytes that are not known refuse nothing. */
export function requireFreeBytes(folder: string, checkpointBytes: number, free: number | undefined): void {
  if (free === undefined || free >= checkpointBytes) return;
  fail("run/no-space", "the disk has no room for a checkpoint of this run", {
    where: folder,
    expected: `at least ${formatBytes(checkpointBytes)}, one checkpoint`,
    got: `${formatBytes(free)} free`,
    fix: "free space there, or train elsewhere: --run-dir",
  });
}

/** Free bytes where a folder is or will be made; undefined where the system does not tell. */
async function freeBytes(folder: string): Promise<number | undefined> {
  try {
    const { bavail, bsize, blocks } = await statfs(folder);
    return blocks === 0 ? undefined : bavail * bsize; // some file systems of networks count no blocks
  } catch {
    return dirname(folder) === folder ? undefined : await freeBytes(dirname(folder));
  }
}

/** Makes the folder of a new run and takes its lock. Errors with `run/exists`, `run/locked`, `run/disk`. */
export async function newRun(place: RunPlace, prepared: Prepared, engine: Engine): Promise<LockedRun> {
  const { recipe, label, dataHash } = prepared;
  const { runDir, runsRoot = "runs", initFrom } = place;
  const { isa, threads } = engine;
  const record: NewRun = {
    recipe: recipeJson(recipe),
    recipeHash: recipeHash(recipe),
    dataHash,
    environment: await describeEnvironment({ athanor: version, isa, threads, folder: process.cwd() }),
    ...(initFrom === undefined ? {} : { origin: resolve(await findRun(initFrom)) }),
  };
  if (runDir !== undefined) return await newRunAt(resolve(runDir), record);
  const { folder } = await createRun({ root: runsRoot, label: recipe.name ?? label }, record);
  return { folder, lock: await lockRun(folder) };
}

/** The lock comes before the record: of two runs started in one folder, only one may write. */
async function newRunAt(folder: string, record: NewRun): Promise<LockedRun> {
  const made = await makeFolders(folder);
  const lock = await lockRun(folder);
  try {
    await createRun({ folder }, record);
    return { folder, lock };
  } catch (error) {
    await lock.release();
    if (made !== undefined) await rmdir(folder).catch(() => undefined); // nothing half-made stays
    throw error;
  }
}

export interface EarlierRun {
  readonly folder: string;
  readonly record: RunRecord;
}

/** The run to go on with. Errors with `resume/recipe` and a diff when the recipe was changed in what the past depends on. */
export async function earlierRun(path: string, recipe: Recipe): Promise<EarlierRun> {
  const folder = await findRun(path);
  const { record } = await readRun(folder);
  const changes = compareRecipes(record.recipe, recipeJson(recipe));
  if (changes.length > 0) {
    fail("resume/recipe", `the recipe is not the one that ${basename(folder)} was started with`, {
      where: folder,
      expected: `the same settings, apart from ${freeOnResume.join(", ")}`,
      got: changes.join("\n"),
      fix: "undo these changes, or start a new run from its weights: --init-from",
    });
  }
  return { folder, record };
}

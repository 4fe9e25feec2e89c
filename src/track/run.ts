// The run folder and its record, `run.json`: what was asked, on what machine, and how it stands. The log is in metrics-log.ts.
import { randomInt } from "node:crypto";
import { mkdir, open, readdir, readFile, rename, rm, rmdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { z } from "zod";
import { AthanorError, fail } from "../base/index.ts";
import type { Environment } from "./environment.ts";
import { plainFigures } from "./events.ts";
import { runName } from "./run-name.ts";

export const recordName = "run.json";
const format = "athanor-run";
const version = 1;

export const runStatuses = ["running", "finished", "failed", "paused", "interrupted", "preempted"] as const;
/** `running` is what was last written: whether the process still lives, its lock tells. */
export type RunStatus = (typeof runStatuses)[number];

/** JSON has no NaN, and a run may well end with one. Not z.enum: its declaration would hold the key [-Infinity], an error to users. */
const figure = z.union([z.number(), z.literal(["NaN", "Infinity", "-Infinity"]).transform(Number)]);

const recordSchema = z.object({
  format: z.literal(format),
  version: z.int(),
  name: z.string(),
  /** For people. */
  createdAt: z.string(),
  status: z.enum(runStatuses),
  /** The last step that is known here; the log may be ahead. */
  step: z.int().nonnegative(),
  /** The recipe with every default filled in, as JSON. */
  recipe: z.unknown(),
  /** SHA-256 of the recipe as it is compared on resume. */
  recipeHash: z.string(),
  /** SHA-256 of the data, as the loader tells it. */
  dataHash: z.string(),
  environment: z.custom<Environment>((value) => typeof value === "object" && value !== null),
  /** Each time it was started: from which step. */
  starts: z.array(z.object({ at: z.string(), step: z.int() })).readonly(),
  /** The run or checkpoint that its first state was taken from. */
  origin: z.string().optional(),
  /** The checkpoint whose whole state it began with, and its step: the run was never at an earlier one. */
  forked: z.object({ from: z.string(), step: z.int() }).optional(),
  result: z
    .object({ loss: figure, evalLoss: figure.optional(), hash: z.string(), reason: z.string().optional() })
    .optional(),
  error: z.object({ code: z.string(), message: z.string() }).optional(),
});

export type RunRecord = Readonly<Omit<z.infer<typeof recordSchema>, "format" | "version">>;

export type NewRun = Pick<RunRecord, "recipe" | "recipeHash" | "dataHash" | "environment" | "origin">;

/** Where a new run goes: a fresh name under `root`, or exactly `folder`, which must be empty or not there yet. */
export type RunPlace = { readonly root: string; readonly label: string } | { readonly folder: string };

export interface Run {
  readonly folder: string;
  readonly record: RunRecord;
}

/**
 * Makes a run folder with its record. A given folder may already hold the run's lock, and should: of two runs started in
 * one folder only the lock decides. Errors with `run/exists` when the folder holds anything else, `run/disk` when the
 * system refuses.
 * @example const { folder } = await createRun({ root: "runs", label: "gpt" }, { recipe, recipeHash, dataHash, environment });
 */
export async function createRun(place: RunPlace, run: NewRun, now: Date = new Date()): Promise<Run> {
  const { folder, isNew } = await makeFolder(place, now);
  const at = now.toISOString();
  const record: RunRecord = {
    name: basename(folder),
    createdAt: at,
    status: "running",
    step: 0,
    ...run,
    starts: [{ at, step: 0 }],
  };
  try {
    await writeRecord(folder, record);
  } catch (error) {
    await rm(join(folder, `${recordName}.new`), { force: true }).catch(() => undefined);
    if (isNew) await rmdir(folder).catch(() => undefined); // nothing half-made stays
    throw error;
  }
  return { folder, record };
}

/** Refuses a folder that holds more than a run's lock; one that is not there is free. Errors with `run/exists`, `run/disk`. */
export async function requireFree(folder: string): Promise<void> {
  const names = await onDisk(folder, () =>
    readdir(folder).catch(async (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return [];
      if (error.code === "ENOTDIR" && (await stat(folder).catch(() => undefined)) !== undefined) {
        return fail("run/exists", "a file has the name of the run's folder", {
          where: folder,
          expected: "an empty folder, or none",
          got: "a file",
          fix: "choose another folder",
        });
      }
      throw error;
    }),
  );
  const held = names.filter((name) => !name.startsWith(".") && name !== "run.lock");
  if (held.length === 0) return;
  fail("run/exists", "this folder already holds something", {
    where: folder,
    got: held.slice(0, 5).join(", "),
    fix: held.includes(recordName)
      ? "resume that run (--resume), or choose another folder"
      : "choose an empty or new folder",
  });
}

async function makeFolder(place: RunPlace, now: Date): Promise<{ folder: string; isNew: boolean }> {
  if ("folder" in place) {
    const first = await makeFolders(place.folder);
    await requireFree(place.folder);
    return { folder: place.folder, isNew: first !== undefined };
  }
  await makeFolders(place.root);
  for (let attempt = 0; ; attempt++) {
    const folder = join(place.root, runName(place.label, now, randomInt(2 ** 32) / 2 ** 32));
    const made = await onDisk(folder, async () => {
      try {
        await mkdir(folder);
        return true;
      } catch (error) {
        if (error instanceof Error && "code" in error && error.code === "EEXIST" && attempt < 1000) return false;
        throw error;
      }
    });
    if (made) return { folder, isNew: true };
    if (attempt % 20 === 19) now = new Date(now.getTime() + 1000); // all draws of this second are taken
  }
}

/** The record of a run. Errors with `run/missing`, `run/foreign` or `run/version`. */
export async function readRun(folder: string): Promise<Run> {
  const path = join(folder, recordName);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    return fail("run/missing", "there is no run here", {
      where: path,
      expected: `the folder of a run, with its ${recordName}`,
      got: cause instanceof Error ? cause.message : String(cause),
      fix: "give the folder of a run; `npx athanor runs` lists them",
      cause,
    });
  }
  return { folder, record: decodeRecord(text, path) };
}

/** Changes a record, atomically: readers see the old or the new one. The caller holds the run's lock. */
export async function updateRun(folder: string, change: Partial<RunRecord>): Promise<RunRecord> {
  const { record } = await readRun(folder);
  const changed = { ...record, ...change };
  await writeRecord(folder, changed);
  return changed;
}

/**
 * Marks a run as started again from `step`, and its earlier end or error as past. The caller holds the run's lock.
 * @example await restartRun(folder, checkpoint.step);
 */
export async function restartRun(folder: string, step: number, now: Date = new Date()): Promise<RunRecord> {
  const { result: _, error: __, ...record } = (await readRun(folder)).record;
  const starts = [...record.starts, { at: now.toISOString(), step }];
  const changed: RunRecord = { ...record, status: "running", step, starts };
  await writeRecord(folder, changed);
  return changed;
}

export interface RunList {
  /** Oldest first. */
  readonly runs: readonly Run[];
  /** Folders with a record that cannot be read. */
  readonly unreadable: readonly { readonly folder: string; readonly error: AthanorError }[];
}

/** The runs under a folder. Folders without a record are not runs and are passed over; a missing root has none. */
export async function listRuns(root: string): Promise<RunList> {
  const runs: Run[] = [];
  const unreadable: { folder: string; error: AthanorError }[] = [];
  for (const name of await readdir(root).catch(() => [])) {
    const folder = join(root, name);
    try {
      runs.push(await readRun(folder));
    } catch (error) {
      if (!(error instanceof AthanorError)) throw error;
      if (error.code !== "run/missing") unreadable.push({ folder, error });
    }
  }
  runs.sort((a, b) => compare(a.record.createdAt, b.record.createdAt) || compare(a.folder, b.folder));
  return { runs, unreadable };
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

function decodeRecord(text: string, where: string): RunRecord {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return fail("run/foreign", "the run's record is not JSON", { where, fix: "restore run.json from a copy", cause });
  }
  const read = recordSchema.safeParse(value);
  if (!read.success)
    return fail("run/foreign", "this is not the record of a run", {
      where,
      expected: `"format": "${format}"`,
      got: read.error.issues.map(({ path, message }) => `${path.join(".")}: ${message}`).join("\n"),
    });
  const { format: _, version: found, ...record } = read.data;
  if (found !== version)
    return fail("run/version", "this run has a format that this version does not know", {
      where,
      expected: `version ${version}`,
      got: String(found),
      fix: "update athanor",
    });
  return record;
}

async function writeRecord(folder: string, record: RunRecord): Promise<void> {
  const path = join(folder, recordName);
  const text = `${JSON.stringify({ format, version, ...record }, plainFigures, 1)}\n`;
  await onDisk(path, async () => {
    const handle = await open(`${path}.new`, "w");
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(`${path}.new`, path);
    const parent = await open(dirname(path), "r").catch(() => undefined); // a folder cannot be opened on Windows
    await parent?.sync().catch(() => undefined);
    await parent?.close();
  });
}

/**
 * Makes a folder and what is missing above it; gives the first that it made. Errors with `run/disk`. One after the other:
 * Node 20's recursive mkdir never returns where a folder that is there (/proc) answers ENOENT to a new one in it.
 */
export async function makeFolders(folder: string): Promise<string | undefined> {
  return await onDisk(folder, () => makeWithParents(resolve(folder)));
}

async function makeWithParents(path: string): Promise<string | undefined> {
  try {
    await mkdir(path);
    return path;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "EEXIST" && (await stat(path)).isDirectory()) return undefined;
    if (code !== "ENOENT" || dirname(path) === path) throw error;
    const first = await makeWithParents(dirname(path));
    await mkdir(path);
    return first ?? path;
  }
}

async function onDisk<T>(where: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (cause instanceof AthanorError || !(cause instanceof Error)) throw cause;
    return fail("run/disk", "the folder cannot be written", {
      where,
      got: cause.message,
      fix: "choose a folder on a disk that can be written and has space",
      cause,
    });
  }
}

// Where a run is (a folder, or `runs/latest` for the newest run beside it), its newest checkpoint, and how it stands.
import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { fail } from "../base/index.ts";
import { type Checkpoint, loadCheckpoint, loadLatest, readLock } from "../checkpoint/index.ts";
import { listRuns, type Run } from "../track/index.ts";

/** The folder that a path means. Errors with `path/missing`. */
export async function findRun(path: string): Promise<string> {
  const found = await stat(path).catch(() => undefined);
  if (found?.isDirectory()) return path;
  if (found === undefined && basename(path) === "latest") {
    const newest = (await listRuns(dirname(path))).runs.at(-1);
    if (newest !== undefined) return newest.folder;
  }
  return fail("path/missing", "there is no such folder", {
    where: path,
    expected: "a folder that is there",
    got: found === undefined ? "nothing of that name" : "a file",
    fix: "`npx athanor runs` lists the runs of this folder; runs/latest means the newest",
  });
}

/** The newest good checkpoint of a run folder, or the checkpoint that the path names. Errors with `path/missing`, `checkpoint/*`. */
export async function checkpointAt(path: string): Promise<Checkpoint> {
  const folder = await findRun(path);
  return (await loadLatest(folder))?.checkpoint ?? (await loadCheckpoint(folder));
}

/** How a run stands: its record's word, or `cut off` where the record says `running` and the process is gone. */
export async function runStatus({ folder, record }: Run): Promise<string> {
  if (record.status !== "running") return record.status;
  const lock = await readLock(folder).catch(() => "unreadable" as const);
  if (lock === "unreadable") return "lock unreadable";
  return lock !== undefined && lock.liveness !== "dead" ? "running" : "cut off";
}

/** The files beside a checkpoint's tensors, by name. */
export function textsOf({ files }: Pick<Checkpoint, "files">): ReadonlyMap<string, string> {
  return new Map([...files].map(([name, bytes]) => [name, Buffer.from(bytes).toString("utf8")]));
}

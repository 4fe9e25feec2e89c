// Which checkpoints may go once a new one stands. Deletes only what it recognises, and never down to fewer than two good.
import { AthanorError } from "../base/index.ts";
import { discard } from "./commit.ts";
import { onDisk } from "./disk.ts";
import { type CheckpointInfo, checkpointsFolder, findCheckpoints } from "./find.ts";
import { verifyCheckpoint } from "./load.ts";

export interface Retention {
  /** How many of the newest stay. Default 2. Two good ones stay whatever is asked. */
  readonly keep?: number;
  /** Also the best few by a figure that was saved with them. Ties go to the newer. */
  readonly best?: { readonly metric: string; readonly mode: "min" | "max"; readonly keep: number };
  /** Also those of these steps. */
  readonly steps?: readonly (number | undefined)[];
}

/** Checkpoints that were read back whole by this process, with the time of their manifest: not read twice. */
const verified = new Map<string, string>();

/** Notes that every byte of a checkpoint was just verified. */
export function noteVerified(path: string, savedAt: string): void {
  verified.set(path, savedAt);
}

async function isGood({ path, manifest }: CheckpointInfo): Promise<boolean> {
  if (verified.get(path) === manifest.savedAt) return true;
  try {
    await verifyCheckpoint(path);
    noteVerified(path, manifest.savedAt);
    return true;
  } catch (error) {
    if (error instanceof AthanorError) return false;
    throw error;
  }
}

/** Those to keep by the policy, before it is known which are good. `checkpoints` oldest first. */
export function wanted(checkpoints: readonly CheckpointInfo[], retention: Retention): Set<CheckpointInfo> {
  const newestFirst = checkpoints.toReversed();
  const kept = new Set(newestFirst.slice(0, retention.keep ?? 2));
  for (const info of checkpoints) if (retention.steps?.includes(info.step)) kept.add(info);
  if (retention.best !== undefined) {
    const { metric, mode, keep } = retention.best;
    const sign = mode === "min" ? 1 : -1;
    const figure = (info: CheckpointInfo) => sign * (info.manifest.metrics[metric] ?? Number.NaN);
    const ranked = newestFirst.filter((info) => !Number.isNaN(figure(info))).sort((a, b) => figure(a) - figure(b));
    for (const info of ranked.slice(0, keep)) kept.add(info);
  }
  return kept;
}

/**
 * Deletes what the policy lets go after `newest` was saved and verified. Before the first deletion two of those that
 * stay are known to be good; when no two are, nothing is deleted.
 * @returns the paths that are gone
 */
export async function prune(runFolder: string, newest: string, retention: Retention): Promise<string[]> {
  const checkpoints = await findCheckpoints(runFolder);
  const kept = wanted(checkpoints, retention);
  for (const info of checkpoints) if (info.path === newest) kept.add(info);
  if (kept.size === checkpoints.length) return [];
  const newestFirst = checkpoints.toReversed();
  let good = 0;
  for (const info of [...newestFirst.filter((one) => kept.has(one)), ...newestFirst.filter((one) => !kept.has(one))]) {
    if (good === 2) break;
    if (!(await isGood(info))) continue;
    kept.add(info);
    good++;
  }
  if (good < 2) return [];
  const deleted: string[] = [];
  for (const { path, name, step } of checkpoints.filter((info) => !kept.has(info))) {
    await onDisk("deleting an old checkpoint", path, () => discard(checkpointsFolder(runFolder), name, step));
    verified.delete(path);
    deleted.push(path);
  }
  return deleted;
}

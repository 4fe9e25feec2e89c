// Saving a checkpoint: shards, state, files, then the manifest, through the one commit. Reading back is in load.ts, the
// search in find.ts. A save that fails leaves every older checkpoint as it was.
import { createHash } from "node:crypto";
import { mkdir, realpath, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { AthanorError, byteSize, fail, sizeOf } from "../base/index.ts";
import { isCount } from "./checked.ts";
import { commit, reclaim } from "./commit.ts";
import { onDisk, syncFolder, systemCode, writeDurably } from "./disk.ts";
import { checkpointNames, checkpointsFolder } from "./find.ts";
import { readManifest, stateName, verifyCheckpoint } from "./load.ts";
import type { RunLock } from "./lock.ts";
import {
  encodeManifest,
  isFileName,
  type Manifest,
  type ManifestFile,
  type ManifestTensor,
  manifestName,
  type Provenance,
} from "./manifest.ts";
import { noteVerified, prune, type Retention } from "./retention.ts";
import { type TensorSource, writeSafetensors } from "./safetensors.ts";
import { compareNames } from "./safetensors-header.ts";
import { encodeState } from "./state-json.ts";

/** Everything that a run needs to go on as if it had never stopped. */
export interface CheckpointContent {
  readonly step: number;
  /** Parameters, slots, statistics. They must not change until the save has returned: pass a snapshot or wait. */
  readonly tensors: Iterable<TensorSource>;
  /** Clock, loader cursor, seed and the like: a plain JSON value. */
  readonly state: unknown;
  /** Small files beside the tensors, by name: the recipe, `tokenizer.json`. */
  readonly files?: Readonly<Record<string, string | Uint8Array>>;
  readonly provenance: Provenance;
  /** Figures that "best" is judged by, such as `evalLoss`. One that is not finite is left out: it is never best. */
  readonly metrics?: Readonly<Record<string, number>>;
}

export interface SavePolicy extends Retention {
  /** A file with more tensor bytes than this is divided; a single larger tensor has a file of its own. Default 2 GiB. */
  readonly shardBytes?: number;
  /** The run's lock, when it is held: leftovers of writers on other machines may then be removed as well. */
  readonly lock?: RunLock;
}

export interface SavedCheckpoint {
  readonly path: string;
  readonly step: number;
  readonly bytes: number;
  /** Older checkpoints that the policy let go. */
  readonly deleted: readonly string[];
  /** The checkpoint stands, but something beside it failed: an old one could not be deleted, say. Report it. */
  readonly problems: readonly AthanorError[];
}

/** The last save of each folder: a second one waits for it. */
const queue = new Map<string, Promise<unknown>>();

/**
 * Saves a state into `<runFolder>/checkpoints/step-<n>`. When it returns, every byte was fsynced and read back; when it
 * throws, nothing that stood before has changed and the next call starts afresh. When the same state of the same step
 * stands there already, that one is returned; when another one does, the new one is called `step-<n>-2`.
 *
 * Errors with `checkpoint/no-space`, `/read-only`, `/denied`, `/path`, `/io` (the disk refused), `/state`, `/file`,
 * `/hash` (what was read back is not what was written) and `safetensors/*` (bad names or data).
 * @example await saveCheckpoint(run, { step, tensors, state: { clock }, provenance }, { keep: 3 });
 */
export async function saveCheckpoint(
  runFolder: string,
  content: CheckpointContent,
  policy: SavePolicy = {},
): Promise<SavedCheckpoint> {
  const folder = checkpointsFolder(runFolder);
  const parts = checkContent(content, folder);
  return await onDisk("saving a checkpoint", folder, async () => {
    await makeFolder(runFolder, folder);
    const key = await realpath(folder);
    const turn = (queue.get(key) ?? Promise.resolve()).then(
      () => save(runFolder, content, parts, policy),
      () => save(runFolder, content, parts, policy),
    );
    queue.set(key, turn);
    try {
      return await turn;
    } finally {
      if (queue.get(key) === turn) queue.delete(key);
    }
  });
}

/** What is written beside the shards, as bytes. */
type Parts = ReadonlyMap<string, Uint8Array>;

function checkContent(content: CheckpointContent, where: string): Parts {
  const { step, state, files = {} } = content;
  if (!isCount(step) || step >= 1e15) fail("checkpoint/step", "a step is a count", { where, got: String(step) });
  const parts = new Map<string, Uint8Array>([[stateName, Buffer.from(encodeState(state))]]);
  for (const [name, data] of Object.entries(files)) {
    if (!isFileName(name) || parts.has(name) || name.endsWith(".safetensors"))
      fail("checkpoint/file", "this cannot be the name of a file in a checkpoint", {
        where,
        expected: `letters, digits, ".", "_", "-", not ${stateName}, ${manifestName} or *.safetensors`,
        got: JSON.stringify(name),
      });
    parts.set(name, typeof data === "string" ? Buffer.from(data) : data);
  }
  return parts;
}

/**
 * Makes the folder inside the run's, and fsyncs what names it: a checkpoint in a folder that a power cut forgets would be
 * lost with it. The run's own folder must be there: a misspelt path shall not become a tree.
 */
async function makeFolder(runFolder: string, folder: string): Promise<void> {
  try {
    await mkdir(folder);
  } catch (error) {
    if (systemCode(error) === "EEXIST") return;
    throw error;
  }
  await syncFolder(runFolder);
}

async function save(
  runFolder: string,
  content: CheckpointContent,
  parts: Parts,
  policy: SavePolicy,
): Promise<SavedCheckpoint> {
  const folder = checkpointsFolder(runFolder);
  await policy.lock?.check();
  const problems: AthanorError[] = [];
  const alone = policy.lock?.held === true;
  await collect(problems, () => onDisk("removing leftovers", folder, () => reclaim(folder, { alone })));
  let manifest: Manifest | undefined;
  const name = await commit(folder, {
    step: content.step,
    names: checkpointNames(content.step),
    fill: async (staging) => {
      manifest = await fill(staging, content, parts, policy);
    },
    check: async (staging) => {
      await verifyCheckpoint(staging);
      return await findSame(folder, manifest!);
    },
  });
  const { savedAt, files } = manifest!;
  const path = join(folder, name);
  noteVerified(path, savedAt);
  const deleted = await collect(problems, () => prune(runFolder, path, policy));
  await collect(problems, () => hint(folder, name));
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return { path, step: content.step, bytes, deleted: deleted ?? [], problems };
}

async function fill(staging: string, content: CheckpointContent, parts: Parts, policy: SavePolicy): Promise<Manifest> {
  const files: ManifestFile[] = [];
  const tensors: ManifestTensor[] = [];
  const shards = divide(content.tensors, policy.shardBytes ?? 2 * 1024 ** 3);
  for (const [i, shard] of shards.entries()) {
    const file = shardName(i, shards.length);
    const written = await writeSafetensors(join(staging, file), shard);
    files.push({ name: file, bytes: written.bytes, sha256: written.sha256, header: written.header });
    for (const { name, dtype, shape, begin, end, sha256 } of written.tensors)
      tensors.push({ name, dtype, shape, file, begin, bytes: end - begin, sha256 });
  }
  for (const [name, bytes] of parts) {
    await writeDurably(join(staging, name), bytes);
    files.push({ name, bytes: bytes.length, sha256: createHash("sha256").update(bytes).digest("hex") });
  }
  const { step } = content;
  const metrics = Object.fromEntries(
    Object.entries(content.metrics ?? {}).filter(([, value]) => Number.isFinite(value)),
  );
  const { codeVersion, isa, recipeHash, worldSize = 1 } = content.provenance;
  const provenance = { codeVersion, isa, recipeHash, worldSize };
  const manifest = { step, savedAt: new Date().toISOString(), provenance, metrics, files, tensors };
  await writeDurably(join(staging, manifestName), Buffer.from(encodeManifest(manifest)));
  return manifest;
}

function shardName(i: number, count: number): string {
  const five = (n: number) => String(n).padStart(5, "0");
  return count === 1 ? "tensors.safetensors" : `tensors-${five(i + 1)}-of-${five(count)}.safetensors`;
}

/** Cuts the tensors, in name order, into runs of at most `shardBytes`; a header stays far below its format's limit. */
function divide(tensors: Iterable<TensorSource>, shardBytes: number): TensorSource[][] {
  const shards: TensorSource[][] = [[]];
  let filled = 0;
  for (const tensor of [...tensors].sort((a, b) => compareNames(a.name, b.name))) {
    const bytes = sizeOf(tensor.shape) * byteSize(tensor.dtype);
    const shard = shards.at(-1)!;
    if (shard.length > 0 && (filled + bytes > shardBytes || shard.length >= 50_000)) {
      shards.push([tensor]);
      filled = bytes;
    } else {
      shard.push(tensor);
      filled += bytes;
    }
  }
  for (let i = 1; i < shards.length; i++)
    if (shards[i]![0]!.name === shards[i - 1]!.at(-1)!.name)
      fail("safetensors/duplicate-key", "two tensors have one name", {
        expected: "a name of its own for each",
        got: `${JSON.stringify(shards[i]![0]!.name)} twice`,
        fix: "rename one of them",
      });
  return shards;
}

/** A sound checkpoint of the same step with the same bytes, which need not be there twice. */
async function findSame(folder: string, manifest: Manifest): Promise<string | undefined> {
  for (const name of checkpointNames(manifest.step)) {
    try {
      const other = await readManifest(join(folder, name));
      if (essence(other) !== essence(manifest)) continue;
      await verifyCheckpoint(join(folder, name));
      return name;
    } catch (error) {
      if (!(error instanceof AthanorError)) throw error;
      if (error.code === "checkpoint/missing") return undefined; // a name is free: no later one is taken
    }
  }
  return undefined;
}

function essence({ step, files, provenance, metrics }: Manifest): string {
  return JSON.stringify([step, files.map(({ name, sha256 }) => [name, sha256]), provenance, metrics]);
}

/** `latest` tells people and scripts where to look. Nothing of ours reads it. */
async function hint(folder: string, name: string): Promise<void> {
  const path = join(folder, "latest");
  await onDisk("writing the hint", path, async () => {
    await writeFile(`${path}.new`, `${name}\n`);
    await rename(`${path}.new`, path);
  });
}

async function collect<T>(problems: AthanorError[], work: () => Promise<T>): Promise<T | undefined> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof AthanorError)) throw error;
    problems.push(error);
    return undefined;
  }
}

// Reading checkpoints back: every byte that is handed out was hashed and compared first. Nothing here writes.
import { createHash, type Hash } from "node:crypto";
import type { FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { allocate, fail, formatBytes, type HostArray, sizeOf } from "../base/index.ts";
import { bytesOf, onDisk, openPlainFile, readAt, sliceBytes, systemCode } from "./disk.ts";
import {
  decodeManifest,
  type Manifest,
  type ManifestFile,
  type ManifestTensor,
  manifestName,
  maxManifestBytes,
} from "./manifest.ts";
import type { JsonValue } from "./state-json.ts";

export const stateName = "state.json";
/** Files beside the tensors are read whole: recipe, tokenizer, state. */
const maxExtraBytes = 1024 * 1024 * 1024;

/** A loaded checkpoint: what was saved, verified. */
export interface Checkpoint {
  readonly path: string;
  readonly step: number;
  readonly manifest: Manifest;
  readonly state: JsonValue;
  /** In name order. */
  readonly tensors: ReadonlyMap<string, HostArray>;
  readonly files: ReadonlyMap<string, Uint8Array>;
}

export interface LoadOptions {
  /** Reads only the tensors whose name passes; the others are not even touched. Default: all. */
  readonly only?: (name: string) => boolean;
}

/**
 * Loads a checkpoint folder by its path; it may stand anywhere and have any name.
 * Errors, each naming the file and where it can the tensor: `checkpoint/missing` (no such folder, file), `/foreign` (not
 * a checkpoint), `/manifest`, `/version`, `/truncated`, `/size`, `/hash` (bytes are not those that were saved).
 * @example const { step, tensors, state } = await loadCheckpoint("runs/2026-11-22-gpt-k3f9/checkpoints/step-300");
 */
export async function loadCheckpoint(path: string, options: LoadOptions = {}): Promise<Checkpoint> {
  const manifest = await readManifest(path);
  const { only = () => true } = options;
  const tensors = new Map<string, HostArray>();
  const files = new Map<string, Uint8Array>();
  let state: JsonValue = null;
  for (const file of manifest.files) {
    await onDisk("loading the checkpoint", join(path, file.name), async () => {
      if (file.header !== undefined) await readShard(path, manifest, file, { only, keep: tensors });
      else {
        const bytes = await readExtra(path, file);
        if (file.name === stateName) state = JSON.parse(Buffer.from(bytes).toString("utf8"));
        else files.set(file.name, bytes);
      }
    });
  }
  return { path, step: manifest.step, manifest, state, tensors, files };
}

/** Reads and hashes every byte of a checkpoint and keeps none. Errors as `loadCheckpoint`. */
export async function verifyCheckpoint(path: string): Promise<Manifest> {
  const manifest = await readManifest(path);
  for (const file of manifest.files) {
    await onDisk("verifying the checkpoint", join(path, file.name), async () => {
      if (file.header !== undefined) await readShard(path, manifest, file, {});
      else await readExtra(path, file);
    });
  }
  return manifest;
}

/** The manifest of a checkpoint folder, which vouches for itself; the other files are not touched. */
export async function readManifest(path: string): Promise<Manifest> {
  const file = join(path, manifestName);
  return await onDisk("reading the manifest", file, async () => {
    const { handle, bytes } = await openPlainFile(file).catch((cause: unknown) => {
      if (systemCode(cause) !== "ENOENT") throw cause;
      return fail("checkpoint/missing", "there is no checkpoint here: the folder has no manifest", {
        where: file,
        fix: "give the folder of a run that has saved one, or of a checkpoint, such as RUN/checkpoints/step-300",
        cause,
      });
    });
    try {
      if (bytes > maxManifestBytes)
        fail("checkpoint/foreign", "the manifest is larger than any that is written", {
          where: file,
          expected: `at most ${formatBytes(maxManifestBytes)}`,
          got: formatBytes(bytes),
        });
      const content = new Uint8Array(bytes);
      const read = await readAt(handle, content, 0);
      return decodeManifest(content.subarray(0, read), file);
    } finally {
      await handle.close();
    }
  });
}

/** Sizes of all files against the manifest: cheap, finds what was never finished or cut off, not what was flipped. */
export async function checkSizes(path: string, manifest: Manifest): Promise<void> {
  for (const file of manifest.files) {
    const where = join(path, file.name);
    await onDisk("reading the checkpoint", where, async () => {
      const { handle, bytes } = await openPlainFile(where);
      await handle.close();
      checkSize(file, bytes, where, tensorsOf(manifest, file));
    });
  }
}

function tensorsOf(manifest: Manifest, file: ManifestFile): ManifestTensor[] {
  return manifest.tensors.filter((tensor) => tensor.file === file.name);
}

function checkSize(file: ManifestFile, bytes: number, where: string, tensors: readonly ManifestTensor[]): void {
  if (bytes === file.bytes) return;
  const dataBytes = bytes - (file.header?.bytes ?? 0);
  const cut = tensors.find((tensor) => tensor.begin + tensor.bytes > dataBytes);
  const shorter = bytes < file.bytes;
  fail(
    shorter ? "checkpoint/truncated" : "checkpoint/size",
    `a file is ${shorter ? "shorter" : "longer"} than it was saved`,
    {
      where: cut === undefined ? where : `${where}, tensor ${JSON.stringify(cut.name)}`,
      expected: `${file.bytes} bytes`,
      got: `${bytes} bytes`,
      fix: "use another checkpoint of this run, or copy this one again",
    },
  );
}

async function readExtra(path: string, file: ManifestFile): Promise<Uint8Array> {
  const where = join(path, file.name);
  const { handle, bytes } = await openPlainFile(where);
  try {
    checkSize(file, bytes, where, []);
    if (bytes > maxExtraBytes)
      fail("checkpoint/foreign", "a file beside the tensors is too large", { where, got: formatBytes(bytes) });
    const content = new Uint8Array(bytes);
    await readHashed(handle, content, 0, { sha256: file.sha256, where });
    return content;
  } finally {
    await handle.close();
  }
}

interface ShardSink {
  readonly only?: (name: string) => boolean;
  readonly keep?: Map<string, HostArray>;
}

async function readShard(path: string, manifest: Manifest, file: ManifestFile, sink: ShardSink): Promise<void> {
  const where = join(path, file.name);
  const header = file.header!;
  const tensors = tensorsOf(manifest, file);
  const { handle, bytes } = await openPlainFile(where);
  try {
    checkSize(file, bytes, where, tensors);
    const { keep, only = () => true } = sink;
    await hashRange(handle, header.bytes, 0, { sha256: header.sha256, where: `${where}, header` });
    for (const tensor of tensors) {
      if (!only(tensor.name)) continue;
      const expected = { sha256: tensor.sha256, where: `${where}, tensor ${JSON.stringify(tensor.name)}` };
      const position = header.bytes + tensor.begin;
      if (keep === undefined) await hashRange(handle, tensor.bytes, position, expected);
      else {
        const data = allocate(tensor.dtype, sizeOf(tensor.shape));
        await readHashed(handle, data, position, expected);
        keep.set(tensor.name, { dtype: tensor.dtype, shape: tensor.shape, data });
      }
    }
  } finally {
    await handle.close();
  }
}

interface Expected {
  readonly sha256: string;
  readonly where: string;
}

/** Fills `target` from the file, and compares its hash. */
async function readHashed(
  handle: FileHandle,
  target: HostArray["data"],
  position: number,
  expected: Expected,
): Promise<void> {
  await hashSlices(handle, position, target.byteLength, expected, (at, count) => bytesOf(target, at, count));
}

/** Hashes `bytes` of a file through two buffers and compares. */
async function hashRange(handle: FileHandle, bytes: number, position: number, expected: Expected): Promise<void> {
  const buffers = [0, 1].map(() => new Uint8Array(Math.min(bytes, sliceBytes)));
  await hashSlices(handle, position, bytes, expected, (at, count) =>
    buffers[(at / sliceBytes) % 2]!.subarray(0, count),
  );
}

/** Reads slices to where `place` says and hashes each while the next one is read. */
async function hashSlices(
  handle: FileHandle,
  position: number,
  bytes: number,
  expected: Expected,
  place: (at: number, count: number) => Uint8Array,
): Promise<void> {
  const hash = createHash("sha256");
  const read = async (at: number): Promise<Uint8Array> => {
    const slice = place(at, Math.min(sliceBytes, bytes - at));
    if ((await readAt(handle, slice, position + at)) < slice.length)
      fail("checkpoint/truncated", "the file shrank while it was read", {
        where: expected.where,
        expected: `${bytes} bytes`,
        got: `fewer than ${at + slice.length}`,
        fix: "use another checkpoint of this run, or copy this one again",
      });
    return slice;
  };
  let next = read(0);
  for (let at = 0; at < bytes; at += sliceBytes) {
    const slice = await next;
    if (at + sliceBytes < bytes) next = read(at + sliceBytes);
    hash.update(slice);
  }
  compare(hash, expected);
}

function compare(hash: Hash, expected: { sha256: string; where: string }): void {
  const got = hash.digest("hex");
  if (got === expected.sha256) return;
  fail("checkpoint/hash", "the bytes are not those that were saved", {
    where: expected.where,
    expected: `SHA-256 ${expected.sha256}`,
    got: `SHA-256 ${got}`,
    fix: "use another checkpoint of this run, or copy this one again",
  });
}

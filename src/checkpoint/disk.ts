// Bytes to and from the disk: whole writes, fsync of files and folders, ranged reads, and the typed error for what the
// system refuses. Knows nothing of checkpoints.
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { AthanorError, fail, type HostData } from "../base/index.ts";

/** Bytes handled between two awaits: SHA-256 of this much keeps the JavaScript thread for about a millisecond. */
export const sliceBytes = 1024 * 1024;

/** The system's code of an error (`ENOSPC`), if it has one. */
export function systemCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

const causes: Record<string, readonly [code: string, what: string, fix: string]> = {
  ENOSPC: [
    "no-space",
    "the disk is full",
    "free space, or set checkpoint.keep lower; nothing saved before was touched",
  ],
  EDQUOT: ["no-space", "the disk quota is used up", "free space or raise the quota; nothing saved before was touched"],
  EFBIG: ["no-space", "a file would pass the size limit", "raise the file size limit, or save in smaller shards"],
  EROFS: ["read-only", "the file system is read-only", "choose a run folder on a writable disk"],
  EACCES: ["denied", "permission denied", "give this user access to the folder, or choose another one"],
  EPERM: ["denied", "operation not permitted", "give this user access to the folder, or choose another one"],
  ENOENT: ["missing", "no such file or folder", "check the path"],
  ENOTDIR: ["path", "a part of the path is not a folder", "check the path"],
  EISDIR: ["path", "a folder stands where a file is wanted", "check the path"],
  ELOOP: ["path", "the path runs in a circle of links", "mend the symbolic links, or choose another folder"],
  ENAMETOOLONG: ["path", "the path is too long for this system", "choose a shorter folder name"],
  EEXIST: ["path", "something else stands where the folder should be", "move it away, or choose another folder"],
  ERR_INVALID_ARG_VALUE: ["path", "the path holds a NUL character", "check the path"],
  EMFILE: ["io", "too many open files", "raise the limit of open files (ulimit -n)"],
};

/**
 * The typed error for a failed system call: `checkpoint/no-space`, `/read-only`, `/denied`, `/path`, `/missing`, `/io`.
 * What is no system error comes back as it is.
 */
export function diskError(error: unknown, doing: string, where: string): unknown {
  const system = systemCode(error);
  if (!(error instanceof Error) || error instanceof AthanorError || system === undefined) return error;
  if (system.startsWith("ERR_") && system !== "ERR_INVALID_ARG_VALUE") return error;
  const [code, what, fix] = causes[system] ?? [
    "io",
    "the system reported an error",
    "check the disk (dmesg, smartctl)",
  ];
  return new AthanorError(`checkpoint/${code}`, `${doing}: ${what}`, { where, got: error.message, fix, cause: error });
}

/** Runs `work` and gives what it throws as a typed error. */
export async function onDisk<T>(doing: string, where: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw diskError(error, doing, where);
  }
}

/** Writes all of `bytes` at `position`: a write may be short, and a short one is gone on with. */
export async function writeAll(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  let done = 0;
  while (done < bytes.length) {
    const wanted = Math.min(bytes.length - done, sliceBytes);
    const { bytesWritten } = await handle.write(bytes, done, wanted, position + done);
    if (bytesWritten <= 0) throw Object.assign(new Error("EIO: a write wrote nothing"), { code: "EIO" });
    done += bytesWritten;
  }
}

/** A part of an array's raw bytes, without a copy. Small views, because one Uint8Array holds at most 4 GiB on Node 20. */
export function bytesOf(data: HostData, start: number, count: number): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset + start, count);
}

/** Fills `target` from `position` on; gives how many bytes there were. */
export async function readAt(handle: FileHandle, target: HostData, position: number): Promise<number> {
  let done = 0;
  while (done < target.byteLength) {
    const slice = bytesOf(target, done, Math.min(target.byteLength - done, sliceBytes));
    const { bytesRead } = await handle.read(slice, 0, slice.length, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/**
 * Writes a new file and fsyncs it before it is closed. The name must be free. After a failed fsync the pages may count
 * as clean, so a second fsync would lie: the caller discards the file and starts again.
 */
export async function writeDurably(path: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(path, "wx");
  try {
    await writeAll(handle, bytes, 0);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** fsync of a folder: makes renames and new names in it last. Systems that cannot (Windows, some network disks) are let by. */
export async function syncFolder(path: string): Promise<void> {
  let handle: FileHandle;
  try {
    handle = await open(path, "r");
  } catch (error) {
    if (process.platform === "win32") return;
    throw error;
  }
  try {
    await handle.sync();
  } catch (error) {
    if (!["EINVAL", "ENOTSUP", "EPERM"].includes(systemCode(error) ?? "")) throw error;
  } finally {
    await handle.close();
  }
}

/** Opens a plain file for reading and gives its size. Pipes, devices and folders are refused before they can block. */
export async function openPlainFile(path: string): Promise<{ handle: FileHandle; bytes: number }> {
  const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  try {
    const status = await handle.stat();
    if (!status.isFile()) fail("checkpoint/foreign", "not a plain file", { where: path });
    return { handle, bytes: status.size };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

// Which files a path means (a file, a folder, a glob), in one fixed order, and their bytes, decompressed under a
// bound. Knows nothing of text.
import { createReadStream } from "node:fs";
import { open, readdir, stat } from "node:fs/promises";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { AthanorError, fail, formatBytes } from "../base/index.ts";
import { expandBraces, isGlob, matchSegments, splitGlob } from "./glob.ts";

/** Bounds on what a compressed file may become. */
export interface ByteLimits {
  /** Greatest ratio of decompressed to compressed bytes, looked at once 16 MiB came out. Default 200. */
  readonly maxExpansion?: number;
  /** Greatest number of decompressed bytes per file. Default 1 TiB. */
  readonly maxFileBytes?: number;
}

const expansionFreeBytes = 16 * 2 ** 20;
const chunkBytes = 2 ** 20;

/**
 * The regular files that `path` names: itself, all below a folder, or a glob's matches. Sorted by path in UTF-16
 * order, hidden files left out, so the answer depends on the names alone. Errors: `data/no-file`, `data/not-a-file`.
 */
export async function listFiles(path: string | readonly string[]): Promise<string[]> {
  const paths = typeof path === "string" ? [path] : path;
  const found: string[] = [];
  for (const one of paths) found.push(...(await listOne(one)));
  return [...new Set(found)];
}

async function listOne(path: string): Promise<string[]> {
  const info = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    if (isGlob(path) && (cause.code === "ENOENT" || cause.code === "ENOTDIR")) return undefined;
    return fail("data/no-file", "the data cannot be found", {
      where: path,
      expected: "a file, a .gz file, a folder or a glob",
      got: cause.code ?? String(cause),
      fix: "check the path; it counts from the recipe's folder in a recipe, from the working folder in a command",
      cause,
    });
  });
  if (info?.isFile()) return [path];
  if (info?.isDirectory()) return notEmpty(await walk(path), path, "the folder holds no files");
  if (info) {
    fail("data/not-a-file", "neither a regular file nor a folder", {
      where: path,
      expected: "a file, a .gz file, a folder or a glob",
      got: info.isFIFO() ? "a pipe" : info.isSocket() ? "a socket" : "a device",
      fix: "write the data to a file and give its path",
    });
  }
  const patterns = expandBraces(path.replaceAll("\\", "/")).map(splitGlob);
  const matches = new Set<string>();
  for (const { base, segments } of patterns) {
    const prefix = base === "." && !path.startsWith("./") ? "" : base === "/" ? "/" : `${base}/`;
    const depth = segments.includes("**") ? Number.POSITIVE_INFINITY : segments.length;
    for (const file of await walk(base, depth)) {
      const below = base === "/" ? file.slice(1) : file.slice(base.length + 1);
      if (matchSegments(segments, below.split("/"))) matches.add(prefix + below);
    }
  }
  return notEmpty([...matches].sort(byCodeUnits), path, "no file matches the pattern");
}

function notEmpty(files: string[], path: string, what: string): string[] {
  return files.length > 0
    ? files
    : fail("data/no-file", what, {
        where: path,
        expected: "at least one visible file",
        got: "none",
        fix: "check the path",
      });
}

function byCodeUnits(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

/** Visible regular files below `folder`, sorted. Links to files count, links to folders are not followed: no cycles. */
async function walk(folder: string, depth = Number.POSITIVE_INFINITY): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT" || cause.code === "ENOTDIR") return [];
    return fail("data/no-file", "the folder cannot be read", {
      where: folder,
      expected: "a folder that this user may list",
      got: cause.code ?? String(cause),
      fix: "check its permissions",
      cause,
    });
  });
  const files: string[] = [];
  for (const entry of entries) {
    if (entry.name.startsWith(".")) continue;
    const path = folder === "/" ? `/${entry.name}` : `${folder}/${entry.name}`;
    if (entry.isDirectory() && depth > 1) files.push(...(await walk(path, depth - 1)));
    else if (entry.isFile()) files.push(path);
    else if (entry.isSymbolicLink() && (await stat(path).catch(() => undefined))?.isFile()) files.push(path);
  }
  return files.sort(byCodeUnits);
}

/**
 * The bytes of a file in pieces of at most 1 MiB; gzip (told by its first two bytes or a `.gz` name) is decompressed
 * as a stream. Errors: `data/read`, `data/gzip`, `data/gzip-bomb`.
 */
export async function* readBytes(path: string, limits: ByteLimits = {}): AsyncGenerator<Buffer> {
  const { maxExpansion = 200, maxFileBytes = 2 ** 40 } = limits;
  const compressed = await isCompressed(path).catch((cause) => readFailure(path, cause));
  if (!compressed) return yield* readRaw(path);
  const raw = createReadStream(path, { highWaterMark: chunkBytes });
  const inflate = createGunzip({ chunkSize: chunkBytes });
  pipeline(raw, inflate, () => {}); // its error also ends the iteration below
  let bytesOut = 0;
  try {
    for await (const chunk of inflate as AsyncIterable<Buffer>) {
      bytesOut += chunk.length;
      const ratio = bytesOut / Math.max(1, raw.bytesRead);
      if (bytesOut > maxFileBytes || (bytesOut > expansionFreeBytes && ratio > maxExpansion)) {
        fail("data/gzip-bomb", "the compressed file grows beyond its bound", {
          where: path,
          expected: `at most ${maxExpansion} times its size and ${formatBytes(maxFileBytes)}`,
          got: `${formatBytes(bytesOut)} out of the first ${formatBytes(raw.bytesRead)}`,
          fix: "if the file is trusted, decompress it first",
        });
      }
      yield chunk;
    }
  } catch (cause) {
    if (!(cause as NodeJS.ErrnoException).code?.startsWith("Z_")) readFailure(path, cause);
    fail("data/gzip", "the compressed file is damaged", {
      where: `${path}, decompressed byte ${bytesOut}`,
      expected: "a whole gzip file",
      got: (cause as Error).message,
      fix: "fetch the file again; `gzip -t` tells whether it is whole",
      cause,
    });
  } finally {
    raw.destroy();
    inflate.destroy();
  }
}

/** The bytes of a file as they lie. Errors with `data/read`. */
export async function* readRaw(path: string): AsyncGenerator<Buffer> {
  try {
    yield* createReadStream(path, { highWaterMark: chunkBytes }) as AsyncIterable<Buffer>;
  } catch (cause) {
    readFailure(path, cause);
  }
}

async function isCompressed(path: string): Promise<boolean> {
  const handle = await open(path, "r");
  try {
    const { bytesRead, buffer } = await handle.read(Buffer.alloc(2), 0, 2, 0);
    return bytesRead > 0 && (path.endsWith(".gz") || (buffer[0] === 0x1f && buffer[1] === 0x8b));
  } finally {
    await handle.close();
  }
}

function readFailure(path: string, cause: unknown): never {
  if (cause instanceof AthanorError) throw cause;
  const code = (cause as NodeJS.ErrnoException).code ?? String(cause);
  fail("data/read", "the file cannot be read", {
    where: path,
    expected: "a file that this user may read, to its end",
    got: code,
    fix: "check its permissions and the disk, or take it out of the data",
    cause,
  });
}

// From a repository of the Hub to a folder: the files of a model and no others, each checked by its hash. What was begun is gone on
// with; the folder appears whole.
import { createHash, type Hash } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import type { ListFileEntry } from "@huggingface/hub";
import { fail, formatBytes } from "../base/index.ts";
import { onDisk, syncFolder } from "../checkpoint/index.ts";
import { type HubOptions, modelFiles, onHub, requireModel } from "./remote.ts";

export interface PullOptions extends HubOptions {
  /** A branch, tag or commit. Default `main`. */
  readonly revision?: string | undefined;
  /** The folder that appears; must not be there. */
  readonly to: string;
}

/** What was pulled: the folder, the commit that all files are of, and their names. */
export interface Pulled {
  readonly folder: string;
  readonly commit: string;
  readonly files: readonly string[];
  readonly bytes: number;
}

/**
 * Downloads the model `repo`, such as `openai-community/gpt2`. Until all is there it grows in `<to>.partial`, which the next call
 * goes on with. Errors with `hub/exists`, `hub/pickle`, `hub/files`, `hub/hash`, `hub/not-found`, `hub/denied`, `hub/refused`,
 * `hub/network` and those of the disk.
 * @example await pullModel("openai-community/gpt2", { to: "gpt2" });
 */
export async function pullModel(repo: string, options: PullOptions): Promise<Pulled> {
  const { revision = "main", to, signal, onNote } = options;
  const folder = resolve(to);
  const partial = `${folder}.partial`;
  if ((await stat(folder).catch(() => undefined)) !== undefined)
    fail("hub/exists", "something is there already", { where: to, fix: "name another folder, or move this one away" });
  const where = `${repo}, ${revision}`;
  return await onHub(where, async () => {
    const { listFiles, modelInfo } = await import("@huggingface/hub");
    const access = accessOf(options);
    const { sha: commit } = await modelInfo({ name: repo, revision, additionalFields: ["sha"], ...access });
    const entries: ListFileEntry[] = [];
    for await (const entry of listFiles({ repo, revision: commit, ...access }))
      if (entry.type === "file" && entries.push(entry) > maxFiles) failListing(where, `more than ${maxFiles} files`);
    const all = entries.map(({ path }) => path);
    const files = modelFiles(all);
    requireModel(files, all, where);
    const wanted = files.map((name) => entries.find(({ path }) => path === name)!);
    const bytes = wanted.reduce((sum, { size }) => sum + size, 0);
    onNote?.(`${repo} at ${commit.slice(0, 12)}: ${files.length} files, ${formatBytes(bytes)}`);
    await onDisk("pulling a model", partial, () => mkdir(partial, { recursive: true }));
    for (const entry of wanted) {
      signal?.throwIfAborted();
      await pullFile(repo, commit, entry, partial, options);
    }
    await onDisk("pulling a model", folder, async () => {
      for (const name of await readdir(partial))
        if (!files.includes(name)) await rm(join(partial, name), { recursive: true }); // of another revision, begun and left
      await syncFolder(partial);
      await rename(partial, folder);
      await syncFolder(dirname(folder));
    });
    return { folder, commit, files, bytes };
  });
}

/** The Hub's client wants what is not given left out. */
export function accessOf({ hubUrl, accessToken, signal }: HubOptions) {
  const cancelled: typeof fetch = (input, init) => fetch(input, signal === undefined ? init : { ...init, signal });
  return {
    fetch: cancelled,
    ...(hubUrl === undefined ? {} : { hubUrl: hubUrl.replace(/\/+$/, "") }),
    ...(accessToken === undefined ? {} : { accessToken }),
  };
}

/** One file of a commit, from where an earlier call ended. Errors with `hub/hash` when it is not what the Hub said. */
async function pullFile(
  repo: string,
  commit: string,
  entry: ListFileEntry,
  partial: string,
  options: PullOptions,
): Promise<void> {
  const { path: name, size } = entry;
  const id = entry.lfs?.oid ?? entry.oid ?? "";
  if (!/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(id) || !Number.isSafeInteger(size) || size < 0)
    failListing(name, `size ${size}, hash ${id.slice(0, 80)}`);
  const [done, begun] = [join(partial, name), join(partial, `${name}.${id.slice(0, 16)}.begun`)];
  const hash = startHash(entry);
  if ((await feed(hash, done)) === size && hash.digest("hex") === id) return;
  const { downloadFile } = await import("@huggingface/hub");
  const blob = await downloadFile({ repo, path: name, revision: commit, ...accessOf(options) });
  if (blob === null || blob.size !== size)
    return failFile(name, `${size} bytes`, blob === null ? "no such file" : `${blob.size} bytes`);
  const whole = startHash(entry);
  let at = await feed(whole, begun);
  if (at > size) at = 0;
  const handle = await open(begun, at === 0 ? "w" : "a");
  try {
    for await (const chunk of at < size ? blob.slice(at).stream() : []) {
      at += chunk.length;
      if (at > size) break;
      whole.update(chunk);
      await handle.write(chunk);
    }
    await handle.sync();
  } finally {
    await handle.close();
  }
  if (at < size) fail("hub/network", "the connection ended early", endedEarly(name, size, at));
  const got = whole.digest("hex");
  if (at !== size || got !== id) {
    await rm(begun);
    failFile(name, id, got);
  }
  await rename(begun, done);
  options.onNote?.(`${basename(name)}: ${formatBytes(size)}`);
}

/** SHA-256 of large files; of small ones git's own, SHA-1 of the content behind its size. */
function startHash({ lfs, size }: ListFileEntry): Hash {
  return lfs === undefined ? createHash("sha1").update(`blob ${size}\0`) : createHash("sha256");
}

/** Hashes what is there of a file; how many bytes that is. */
async function feed(hash: Hash, path: string): Promise<number> {
  const info = await stat(path).catch(() => undefined);
  if (info === undefined) return 0;
  for await (const chunk of createReadStream(path)) hash.update(chunk as Buffer);
  return info.size;
}

const maxFiles = 10_000;

function failListing(where: string, got: string): never {
  return fail("hub/refused", "the Hub's list of files is not one", { where, got, fix: "check HF_ENDPOINT" });
}

const endedEarly = (where: string, size: number, at: number) => ({
  where,
  expected: `${size} bytes`,
  got: `${at} bytes`,
  fix: "the same command goes on where it ended",
});

function failFile(where: string, expected: string, got: string): never {
  return fail("hub/hash", "a file is not what the Hub says that it is", {
    where,
    expected,
    got,
    fix: "pull again: what came was thrown away; a proxy may have changed it",
  });
}

// A folder of token shards: its manifest, and the shards as one store. A shard holds ids and nothing else, little endian, u16 or u32;
// every document ends with one token that no text becomes. Who writes them is tokenize-documents.ts.
import { createHash } from "node:crypto";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { fail, formatBytes } from "../base/index.ts";
import { loadTokenizer } from "./load-tokenizer.ts";
import {
  bytesPerToken,
  checkRange,
  fromLittleEndian,
  MemoryTokens,
  readFully,
  type TokenStore,
} from "./token-store.ts";
import type { Tokenizer } from "./tokenizer.ts";

export const manifestName = "manifest.json";
export const tokenizerName = "tokenizer.json";

const count = z.number().int().nonnegative();
const hash = z.string().regex(/^[0-9a-f]{64}$/);

const manifestSchema = z.strictObject({
  format: z.literal("athanor-tokens"),
  version: z.literal(1),
  /** `sha256` is that of the tokenizer, not of its file; `end` ends every document. */
  tokenizer: z.strictObject({
    sha256: hash,
    vocabSize: z
      .number()
      .int()
      .min(1)
      .max(2 ** 24),
    end: count,
  }),
  dtype: z.enum(["u16", "u32"]),
  settings: z.strictObject({
    tokenizer: z.unknown(),
    text: z.string(),
    invalid: z.enum(["error", "skip", "replace"]),
    shardBytes: count,
  }),
  sources: z.array(
    z.strictObject({ path: z.string(), bytes: count, sha256: hash, documents: count, characters: count }),
  ),
  skipped: z.array(z.strictObject({ name: z.string(), reason: z.string() })),
  replaced: count,
  shards: z.array(
    z.strictObject({
      file: z.string().regex(/^shard-\d{5,}\.bin$/),
      bytes: count,
      sha256: hash,
      tokens: count,
      /** Documents that end in it. */
      documents: count,
    }),
  ),
  /** Of a folder that is not finished: the source, and the piece of it, that the next shard begins with. */
  next: z.strictObject({ source: count, piece: count }).optional(),
});

export type TokenManifest = z.output<typeof manifestSchema>;

/** The manifest of a folder, or `undefined` where there is none. Errors with `data/token-manifest`. */
export async function readTokenManifest(folder: string): Promise<TokenManifest | undefined> {
  const path = join(folder, manifestName);
  const text = await readFile(path, "utf8").catch(({ code }: NodeJS.ErrnoException) =>
    code === "ENOENT" || code === "ENOTDIR" ? undefined : damaged(path, String(code)),
  );
  if (text === undefined) return undefined;
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return damaged(path, `${formatBytes(text.length)} that are not JSON`);
  }
  const parsed = manifestSchema.safeParse(value);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  return damaged(path, `${issue?.path.join(".") || "the whole"}: ${issue?.message}`);
}

function damaged(where: string, got: string): never {
  return fail("data/token-manifest", "the manifest of the tokens cannot be read", {
    where,
    expected: "a manifest as athanor data tokenize writes it",
    got,
    fix: "delete the folder and tokenize again",
  });
}

/** What a shard that is not as its manifest says is told as. */
export function damagedShard(where: string, got: string): never {
  return fail("data/shard", "a shard is not the one that was written", {
    where,
    expected: "the bytes whose SHA-256 stands in the manifest",
    got,
    fix: "delete the folder and tokenize again, or fetch the shard again",
  });
}

/** Ids of a whole folder. */
export interface TokenFolder {
  readonly manifest: TokenManifest;
  readonly tokenizer: Tokenizer;
  readonly tokens: TokenStore;
  /** Where each document ends, the token that ends it included. */
  readonly ends: Float64Array;
}

/**
 * Opens a finished folder after checking every byte of it; up to `memoryBytes` (default 64 MiB) are kept in memory, else shards are read in
 * ranges. Errors: `data/token-manifest`, `data/shard`, `data/unfinished-tokens`, `data/stale-tokens`.
 */
export async function openTokenFolder(folder: string, memoryBytes = 2 ** 26): Promise<TokenFolder> {
  const manifest = (await readTokenManifest(folder)) ?? damaged(join(folder, manifestName), "no such file");
  if (manifest.next !== undefined)
    fail("data/unfinished-tokens", "the tokens are not all there", {
      where: folder,
      expected: "a folder that athanor data tokenize has finished",
      got: `${manifest.shards.length} shards, and more to come`,
      fix: "give the command again: it goes on where it was",
    });
  const { vocabSize, sha256, end } = manifest.tokenizer;
  const tokenizer = await loadTokenizer(join(folder, tokenizerName));
  requireTokenizer(folder, sha256, tokenizer);
  const size = bytesPerToken(vocabSize);
  if (manifest.dtype !== (size === 2 ? "u16" : "u32")) damaged(join(folder, manifestName), `dtype: ${manifest.dtype}`);
  const handles: FileHandle[] = [];
  const close = async () => void (await Promise.all(handles.map((handle) => handle.close())));
  try {
    for (const shard of manifest.shards) handles.push(await openShard(folder, shard, size));
    const length = manifest.shards.reduce((sum, { tokens }) => sum + tokens, 0);
    const isSmall = length * size <= memoryBytes;
    const kept = size === 2 ? new Uint16Array(isSmall ? length : 0) : new Uint32Array(isSmall ? length : 0);
    const ends = new Float64Array(manifest.shards.reduce((sum, { documents }) => sum + documents, 0));
    let [start, document] = [0, 0];
    for (const [number, shard] of manifest.shards.entries()) {
      const path = join(folder, shard.file);
      const before = document;
      await checkShard(handles[number]!, path, shard, (bytes, at) => {
        const ids = fromLittleEndian(bytes, size);
        for (let i = 0; i < ids.length; i++) {
          if (ids[i]! >= vocabSize) damagedShard(path, `id ${ids[i]}, of a vocabulary of ${vocabSize}`);
          if (ids[i] === end) ends[document++] = start + at / size + i + 1;
        }
        if (isSmall) kept.set(ids, start + at / size);
      });
      if (document - before !== shard.documents) damagedShard(path, `${document - before} documents`);
      start += shard.tokens;
    }
    const identity = createHash("sha256");
    for (const shard of manifest.shards) identity.update(shard.sha256);
    const fingerprint = identity.digest("hex");
    if (isSmall) await close();
    const tokens = isSmall
      ? new MemoryTokens(kept, vocabSize, fingerprint)
      : new ShardedTokens(handles, manifest, fingerprint);
    return { manifest, tokenizer, tokens, ends };
  } catch (error) {
    await close();
    throw error;
  }
}

/** A shard whose size is what the manifest says: nothing is taken from memory on its word alone. */
async function openShard(folder: string, shard: TokenManifest["shards"][number], size: number): Promise<FileHandle> {
  const path = join(folder, shard.file);
  const handle = await open(path, "r").catch(({ code }) => damagedShard(path, code));
  const { size: bytes } = await handle.stat();
  if (bytes === shard.bytes && bytes === shard.tokens * size && shard.documents <= shard.tokens) return handle;
  await handle.close();
  return damagedShard(
    path,
    `${bytes} bytes; the manifest tells ${shard.bytes}, ${shard.tokens} tokens, ${shard.documents} documents`,
  );
}

/** Errors with `data/stale-tokens` where another tokenizer made the tokens. */
export function requireTokenizer(where: string, made: string, { hash }: Tokenizer): void {
  if (hash === made) return;
  fail("data/stale-tokens", "the tokens were made by another tokenizer", {
    where,
    expected: `a tokenizer with the SHA-256 ${made.slice(0, 16)}…`,
    got: `${hash.slice(0, 16)}…`,
    fix: "tokenize the documents again with the tokenizer that is wanted, into another folder",
  });
}

/** Reads a shard to its end, shows it piece by piece, and compares its size and hash. Errors with `data/shard`. */
export async function checkShard(
  handle: FileHandle,
  path: string,
  { bytes, sha256 }: TokenManifest["shards"][number],
  see?: (bytes: Buffer, at: number) => void,
): Promise<void> {
  const { size } = await handle.stat();
  if (size !== bytes) damagedShard(path, `${size} bytes instead of ${bytes}`);
  const hashed = createHash("sha256");
  const step = 2 ** 20;
  for (let at = 0; at < bytes; at += step) {
    const piece = await readFully(handle, at, Math.min(step, bytes - at));
    hashed.update(piece);
    see?.(piece, at);
  }
  if (hashed.digest("hex") !== sha256) damagedShard(path, "other bytes");
}

/** Shards side by side, read in ranges. */
class ShardedTokens implements TokenStore {
  readonly length: number;
  readonly vocabSize: number;
  readonly fingerprint: string;
  private readonly handles: readonly FileHandle[];
  /** Where each shard begins, and the last ends. */
  private readonly starts: readonly number[];
  private readonly size: 2 | 4;

  constructor(handles: readonly FileHandle[], { tokenizer, shards }: TokenManifest, fingerprint: string) {
    const starts = [0];
    for (const { tokens } of shards) starts.push(starts.at(-1)! + tokens);
    this.handles = handles;
    this.starts = starts;
    this.length = starts.at(-1)!;
    this.vocabSize = tokenizer.vocabSize;
    this.size = bytesPerToken(tokenizer.vocabSize);
    this.fingerprint = fingerprint;
  }

  async readInto(out: Int32Array, at: number, start: number, length: number): Promise<void> {
    checkRange(this, start, length);
    const { starts, size, handles } = this;
    let shard = starts.findLastIndex((from) => from <= start);
    for (let done = 0; done < length; shard++) {
      const from = start + done;
      const count = Math.min(length - done, starts[shard + 1]! - from);
      const bytes = await readFully(handles[shard]!, (from - starts[shard]!) * size, count * size);
      out.set(fromLittleEndian(bytes, size), at + done);
      done += count;
    }
  }

  async read(start: number, length: number): Promise<Int32Array> {
    const out = new Int32Array(length);
    await this.readInto(out, 0, start, length);
    return out;
  }

  async close(): Promise<void> {
    await Promise.all(this.handles.map((handle) => handle.close()));
  }
}

/** A stretch of a store, seen as one. Closing it closes the whole. */
export function tokenRange(tokens: TokenStore, from: number, to: number): TokenStore {
  const fingerprint = createHash("sha256").update(`${tokens.fingerprint}/${from}/${to}`).digest("hex");
  const range: TokenStore = {
    length: to - from,
    vocabSize: tokens.vocabSize,
    fingerprint,
    readInto(out, at, start, length) {
      checkRange(range, start, length);
      return tokens.readInto(out, at, from + start, length);
    },
    async read(start, length) {
      const out = new Int32Array(length);
      await range.readInto(out, 0, start, length);
      return out;
    },
    close: () => tokens.close(),
  };
  return range;
}

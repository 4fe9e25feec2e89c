// Token ids by position, in memory or in a file that is read in ranges (Node.js has no memory map). Makes no tokens.
//
// A token file is a header of 128 bytes, little endian, then the ids as u16 or u32:
//   0 magic "ATHNTOK\0" · 8 u32 version 1 · 12 u32 bytes per id · 16 u64 count · 24 u32 vocabulary size · 28 u32 0
//   32 SHA-256 of the tokenizer · 64 SHA-256 of the text · 96 SHA-256 of the ids' bytes and then these 96
import { createHash, randomUUID } from "node:crypto";
import { type FileHandle, open, rename, rm } from "node:fs/promises";
import { endianness } from "node:os";
import { fail, formatBytes } from "../base/index.ts";

/** Ids in a fixed order. Reading is bounded by what is asked for. */
export interface TokenStore {
  readonly length: number;
  readonly vocabSize: number;
  /** SHA-256 of the ids as they lie in a file: equal ids, equal fingerprint. */
  readonly fingerprint: string;
  /** Copies ids `start` to `start + length` to `out` at `at`. Errors with `data/range` outside the store. */
  readInto(out: Int32Array, at: number, start: number, length: number): void | Promise<void>;
  /** The ids `start` to `start + length`. */
  read(start: number, length: number): Promise<Int32Array>;
  /** Releases the file, if any. */
  close(): Promise<void>;
}

/** What a token file says of itself. Hashes are hexadecimal. */
export interface TokenFileInfo {
  readonly vocabSize: number;
  readonly tokenizerHash: string;
  readonly textHash: string;
}

export type TokenArray = Uint16Array | Uint32Array;

const magic = "ATHNTOK\0";
const headerBytes = 128;

/** Bytes of an id: 2 while every id fits, else 4. */
export function bytesPerToken(vocabSize: number): 2 | 4 {
  return vocabSize <= 2 ** 16 ? 2 : 4;
}

export function checkRange(store: TokenStore, start: number, length: number): void {
  if (
    Number.isInteger(start) &&
    Number.isInteger(length) &&
    start >= 0 &&
    length >= 0 &&
    start + length <= store.length
  )
    return;
  fail("data/range", "tokens outside the store were asked for", {
    expected: `ranges within 0 to ${store.length}`,
    got: `${length} from ${start}`,
  });
}

/** Ids that stay in memory. */
export class MemoryTokens implements TokenStore {
  readonly length: number;
  readonly vocabSize: number;
  readonly fingerprint: string;
  private readonly data: TokenArray;

  /** Without `fingerprint` the ids are hashed here. */
  constructor(data: TokenArray, vocabSize: number, fingerprint?: string) {
    this.data = data;
    this.length = data.length;
    this.vocabSize = vocabSize;
    this.fingerprint = fingerprint ?? createHash("sha256").update(toLittleEndian(data)).digest("hex");
  }

  readInto(out: Int32Array, at: number, start: number, length: number): void {
    checkRange(this, start, length);
    out.set(this.data.subarray(start, start + length), at);
  }

  async read(start: number, length: number): Promise<Int32Array> {
    checkRange(this, start, length);
    return Int32Array.from(this.data.subarray(start, start + length));
  }

  async close(): Promise<void> {}
}

/** Ids in a token file. */
export class FileTokens implements TokenStore {
  readonly length: number;
  readonly vocabSize: number;
  readonly fingerprint: string;
  private readonly handle: FileHandle;
  private readonly size: 2 | 4;

  constructor(handle: FileHandle, length: number, vocabSize: number, fingerprint: string) {
    this.handle = handle;
    this.length = length;
    this.vocabSize = vocabSize;
    this.fingerprint = fingerprint;
    this.size = bytesPerToken(vocabSize);
  }

  async readInto(out: Int32Array, at: number, start: number, length: number): Promise<void> {
    checkRange(this, start, length);
    out.set(
      fromLittleEndian(await readFully(this.handle, headerBytes + start * this.size, length * this.size), this.size),
      at,
    );
  }

  async read(start: number, length: number): Promise<Int32Array> {
    checkRange(this, start, length);
    const out = new Int32Array(length);
    await this.readInto(out, 0, start, length);
    return out;
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

/**
 * Opens a token file after checking its header, its size, every id and its hash. Files up to `memoryBytes` (default
 * 64 MiB) are read into memory. Errors: `data/token-file` for damage, `data/stale-tokens` when `expected` differs.
 */
export async function openTokens(
  path: string,
  expected: Partial<TokenFileInfo> = {},
  memoryBytes = 2 ** 26,
): Promise<TokenStore> {
  const handle = await open(path, "r").catch((cause) =>
    fail("data/token-file", "the token file cannot be opened", { where: path, got: cause.code ?? "", cause }),
  );
  try {
    const { count, size, info, header } = await readHeader(handle, path, expected);
    const hash = createHash("sha256");
    const inMemory = count * size <= memoryBytes;
    const kept = size === 2 ? new Uint16Array(inMemory ? count : 0) : new Uint32Array(inMemory ? count : 0);
    const step = 2 ** 19;
    for (let start = 0; start < count; start += step) {
      const bytes = await readFully(handle, headerBytes + start * size, Math.min(step, count - start) * size);
      hash.update(bytes);
      const ids = fromLittleEndian(bytes, size);
      for (let i = 0; i < ids.length; i++) {
        if (ids[i] >= info.vocabSize)
          damaged(path, `id ${ids[i]} at ${start + i}, of a vocabulary of ${info.vocabSize}`);
      }
      if (inMemory) kept.set(ids, start);
    }
    const fingerprint = hash.copy().digest("hex");
    if (!hash.update(header.subarray(0, 96)).digest().equals(header.subarray(96, 128)))
      damaged(path, "ids and header do not have the hash that the header gives");
    if (!inMemory) return new FileTokens(handle, count, info.vocabSize, fingerprint);
    await handle.close();
    return new MemoryTokens(kept, info.vocabSize, fingerprint);
  } catch (error) {
    await handle.close().catch(() => {});
    throw error;
  }
}

async function readHeader(handle: FileHandle, path: string, expected: Partial<TokenFileInfo>) {
  const fileBytes = (await handle.stat()).size;
  if (fileBytes < headerBytes) damaged(path, `${fileBytes} bytes, less than a header`);
  const header = await readFully(handle, 0, headerBytes);
  const hex = (from: number) => header.subarray(from, from + 32).toString("hex");
  if (header.toString("latin1", 0, 8) !== magic) damaged(path, "it does not begin as a token file does");
  const [version, size, vocabSize] = [header.readUInt32LE(8), header.readUInt32LE(12), header.readUInt32LE(24)];
  const count = header.readBigUInt64LE(16);
  if (header.readUInt32LE(28) !== 0) damaged(path, "bytes that must be 0 are not");
  if (version !== 1) damaged(path, `version ${version}, where this program knows 1`);
  if (vocabSize < 1 || vocabSize > 2 ** 24) damaged(path, `a vocabulary of ${vocabSize}`);
  if (size !== bytesPerToken(vocabSize)) damaged(path, `${size} bytes an id for a vocabulary of ${vocabSize}`);
  if (count * BigInt(size) + BigInt(headerBytes) !== BigInt(fileBytes))
    damaged(path, `${count} ids announced, in a file of ${formatBytes(fileBytes)}`);
  const info: TokenFileInfo = { vocabSize, tokenizerHash: hex(32), textHash: hex(64) };
  for (const key of ["vocabSize", "tokenizerHash", "textHash"] as const) {
    if (expected[key] === undefined || expected[key] === info[key]) continue;
    fail("data/stale-tokens", "the token file was made from another text or tokenizer", {
      where: path,
      expected: `${key} ${expected[key]}`,
      got: `${key} ${info[key]}`,
      fix: "delete it: it is made again from the text",
    });
  }
  return { count: Number(count), size, info, header };
}

function damaged(path: string, got: string): never {
  fail("data/token-file", "the token file is damaged", {
    where: path,
    got,
    fix: "delete it: it is made again from the text",
  });
}

export async function readFully(handle: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.from(new ArrayBuffer(length));
  for (let done = 0; done < length; ) {
    const { bytesRead } = await handle.read(buffer, done, length - done, position + done);
    if (bytesRead === 0) fail("data/token-file", "the token file became shorter while it was read", {});
    done += bytesRead;
  }
  return buffer;
}

const swaps = endianness() === "BE";

export function fromLittleEndian(bytes: Buffer, size: number): TokenArray {
  if (swaps) size === 2 ? bytes.swap16() : bytes.swap32();
  const { buffer, byteOffset, length } = bytes;
  return size === 2 ? new Uint16Array(buffer, byteOffset, length / 2) : new Uint32Array(buffer, byteOffset, length / 4);
}

export function toLittleEndian(ids: TokenArray): Buffer {
  const bytes = Buffer.from(swaps ? ids.slice().buffer : ids.buffer, swaps ? 0 : ids.byteOffset, ids.byteLength);
  if (swaps) ids.BYTES_PER_ELEMENT === 2 ? bytes.swap16() : bytes.swap32();
  return bytes;
}

/** Writes a token file beside its place and renames it when it is whole. */
export class TokenWriter {
  private readonly path: string;
  private readonly temporary: string;
  private readonly info: TokenFileInfo;
  private readonly hash = createHash("sha256");
  private handle: FileHandle | undefined;
  private count = 0;

  constructor(path: string, info: TokenFileInfo) {
    this.path = path;
    this.temporary = `${path}.tmp-${randomUUID().slice(0, 8)}`;
    this.info = info;
  }

  async append(ids: Int32Array): Promise<void> {
    const bytes = toLittleEndian(
      bytesPerToken(this.info.vocabSize) === 2 ? Uint16Array.from(ids) : Uint32Array.from(ids),
    );
    this.hash.update(bytes);
    this.handle ??= await this.create();
    await this.handle.appendFile(bytes);
    this.count += ids.length;
  }

  /** Completes the file; it is at its path from now on. */
  async finish(): Promise<void> {
    const handle = this.handle ?? (await this.create());
    const { vocabSize, tokenizerHash, textHash } = this.info;
    const header = Buffer.alloc(headerBytes);
    header.write(magic, 0, "latin1");
    header.writeUInt32LE(1, 8);
    header.writeUInt32LE(bytesPerToken(vocabSize), 12);
    header.writeBigUInt64LE(BigInt(this.count), 16);
    header.writeUInt32LE(vocabSize, 24);
    header.write(tokenizerHash + textHash, 32, "hex");
    this.hash.update(header.subarray(0, 96)).digest().copy(header, 96);
    await handle.write(header, 0, headerBytes, 0);
    await handle.sync();
    await handle.close();
    await rename(this.temporary, this.path);
  }

  /** Leaves nothing behind. */
  async abort(): Promise<void> {
    await this.handle?.close().catch(() => {});
    await rm(this.temporary, { force: true });
  }

  private async create(): Promise<FileHandle> {
    this.handle = await open(this.temporary, "wx");
    await this.handle.write(Buffer.alloc(headerBytes)); // without a position: what is appended comes after it
    return this.handle;
  }
}

// Safetensors files: a streaming writer and a reader of single tensors. The header's rules are in safetensors-header.ts.
// Neither holds more than one slice of a file beyond the tensor that is asked for.
import { createHash, type Hash } from "node:crypto";
import { type FileHandle, open } from "node:fs/promises";
import { allocate, byteSize, fail, formatType, type HostArray, type HostData, sizeOf } from "../base/index.ts";
import { bytesOf, onDisk, openPlainFile, readAt, sliceBytes, writeAll } from "./disk.ts";
import {
  encodeHeader,
  parseHeader,
  readHeaderLength,
  type SafetensorsHeader,
  type TensorEntry,
  type TensorSpec,
} from "./safetensors-header.ts";

/** A tensor to be written. A function is called when its turn comes, so that the whole state need not be on the host at once. */
export interface TensorSource extends TensorSpec {
  readonly data: HostData | (() => HostData | Promise<HostData>);
}

/** What the writer found out on its way. */
export interface WrittenSafetensors {
  readonly bytes: number;
  readonly sha256: string;
  /** The part before the data: the length and the table. */
  readonly header: { readonly bytes: number; readonly sha256: string };
  readonly tensors: readonly (TensorEntry & { readonly sha256: string })[];
}

/**
 * Writes tensors of any dtype into a new file, fsynced before it returns. Bytes are little-endian, as on every machine
 * that Node runs on but s390x.
 * @param path must not exist yet
 * Errors with `safetensors/name`, `safetensors/data`, `checkpoint/no-space` and the other `checkpoint/*` of the disk.
 * @example await writeSafetensors("model.safetensors", [{ name: "w", dtype: "f32", shape: [2], data: new Float32Array([1, 2]) }]);
 */
export async function writeSafetensors(
  path: string,
  tensors: Iterable<TensorSource>,
  options: { readonly metadata?: Readonly<Record<string, string>> } = {},
): Promise<WrittenSafetensors> {
  const sources = new Map<string, TensorSource>();
  const specs: TensorSource[] = [];
  for (const tensor of tensors) {
    if (typeof tensor.data !== "function") checkData(tensor, tensor.data, path);
    sources.set(tensor.name, tensor);
    specs.push(tensor);
  }
  const { bytes, header } = encodeHeader(specs, { ...options, where: path });
  return await onDisk("writing tensors", path, async () => {
    const handle = await open(path, "wx");
    try {
      const writer = new SlicedWriter(handle);
      const headerHash = createHash("sha256");
      await writer.write(bytes, headerHash);
      const written: WrittenSafetensors["tensors"][number][] = [];
      for (const entry of header.entries) {
        const source = sources.get(entry.name)!;
        const data = typeof source.data === "function" ? await source.data() : source.data;
        checkData(source, data, path);
        const hash = createHash("sha256");
        await writer.write(data, hash);
        written.push({ ...entry, sha256: hash.digest("hex") });
      }
      const sha256 = await writer.end();
      await handle.sync();
      const headerPart = { bytes: bytes.length, sha256: headerHash.digest("hex") };
      return { bytes: header.fileBytes, sha256, header: headerPart, tensors: written };
    } finally {
      await handle.close();
    }
  });
}

function checkData(tensor: TensorSource, data: HostData, path: string): void {
  const wanted = classOf(allocate(tensor.dtype, 0));
  const length = sizeOf(tensor.shape);
  if (classOf(data) !== wanted || data.length !== length)
    fail("safetensors/data", "a tensor's data do not match its type", {
      where: `${path}, tensor ${JSON.stringify(tensor.name)}`,
      expected: `${wanted} of ${length} elements for ${formatType(tensor.dtype, tensor.shape)}`,
      got: `${classOf(data)} of ${data.length}`,
    });
}

/** `Uint8Array` also for a Buffer, and whatever realm made it. */
function classOf(data: HostData): string {
  return Object.prototype.toString.call(data).slice(8, -1);
}

/**
 * Gathers small pieces into slices, so that a thousand biases are a few system calls, and hashes what it writes. The
 * hash is taken from the copy that goes to the disk: should the caller change a tensor meanwhile, they still agree.
 */
class SlicedWriter {
  private readonly handle: FileHandle;
  private readonly slice = Buffer.allocUnsafeSlow(sliceBytes);
  private readonly hash = createHash("sha256");
  private filled = 0;
  private position = 0;

  constructor(handle: FileHandle) {
    this.handle = handle;
  }

  async write(data: HostData, alsoHash: Hash): Promise<void> {
    for (let at = 0; at < data.byteLength; ) {
      const count = Math.min(data.byteLength - at, sliceBytes - this.filled);
      const target = this.slice.subarray(this.filled, this.filled + count);
      target.set(bytesOf(data, at, count));
      alsoHash.update(target);
      this.filled += count;
      at += count;
      if (this.filled === sliceBytes) await this.flush();
    }
  }

  /** Writes the rest and gives the SHA-256 of everything. */
  async end(): Promise<string> {
    await this.flush();
    return this.hash.digest("hex");
  }

  private async flush(): Promise<void> {
    const bytes = this.slice.subarray(0, this.filled);
    this.hash.update(bytes);
    await writeAll(this.handle, bytes, this.position);
    this.position += bytes.length;
    this.filled = 0;
  }
}

export interface OpenSafetensorsOptions {
  /** Memory budget of the header. Default 3 MiB; the format's own limit is 100 MB. */
  readonly maxHeaderBytes?: number;
}

/**
 * An open safetensors file: a checked table, and reads of single tensors by range.
 * @example const file = await SafetensorsFile.open("model.safetensors"); const w = await file.read("w"); await file.close();
 */
export class SafetensorsFile {
  readonly path: string;
  readonly header: SafetensorsHeader;
  private readonly handle: FileHandle;
  private readonly byName: ReadonlyMap<string, TensorEntry>;

  private constructor(path: string, header: SafetensorsHeader, handle: FileHandle) {
    this.path = path;
    this.header = header;
    this.handle = handle;
    this.byName = new Map(header.entries.map((entry) => [entry.name, entry]));
  }

  /** Errors with `safetensors/*` for a bad header and `checkpoint/*` for the disk. */
  static async open(path: string, options: OpenSafetensorsOptions = {}): Promise<SafetensorsFile> {
    return await onDisk("opening tensors", path, async () => {
      const { handle, bytes } = await openPlainFile(path);
      try {
        const prefix = new Uint8Array(8);
        const prefixBytes = await readAt(handle, prefix, 0);
        const headerLength = readHeaderLength(prefix.subarray(0, prefixBytes), bytes, { where: path, ...options });
        const headerBytes = new Uint8Array(headerLength);
        if ((await readAt(handle, headerBytes, 8)) < headerLength)
          fail("safetensors/truncated", "the file shrank while it was read", { where: path });
        return new SafetensorsFile(path, parseHeader(headerBytes, bytes, path), handle);
      } catch (error) {
        await handle.close();
        throw error;
      }
    });
  }

  /** In the order of the data. */
  get names(): string[] {
    return this.header.entries.map((entry) => entry.name);
  }

  get metadata(): ReadonlyMap<string, string> {
    return this.header.metadata;
  }

  /** The table's row of a tensor. Errors with `checkpoint/missing`. */
  entry(name: string): TensorEntry {
    return (
      this.byName.get(name) ??
      fail("checkpoint/missing", "no such tensor in this file", { where: this.path, got: JSON.stringify(name) })
    );
  }

  /** A whole tensor. Allocates its bytes, which the checked table bounds by the file's size. */
  async read(name: string): Promise<HostArray> {
    const entry = this.entry(name);
    const data = await this.readRange(name, 0, sizeOf(entry.shape));
    return { dtype: entry.dtype, shape: entry.shape, data };
  }

  /** `count` elements of a tensor from element `start` on, in row-major order. Errors with `checkpoint/range`. */
  async readRange(name: string, start: number, count: number): Promise<HostData> {
    const entry = this.entry(name);
    const size = sizeOf(entry.shape);
    if (!(Number.isInteger(start) && Number.isInteger(count) && start >= 0 && count >= 0 && start + count <= size))
      fail("checkpoint/range", "elements outside the tensor", {
        where: `${this.path}, tensor ${JSON.stringify(name)}`,
        expected: `a range inside 0..${size}`,
        got: `${start}..${start + count}`,
      });
    const data = allocate(entry.dtype, count);
    const position = this.header.dataStart + entry.begin + start * byteSize(entry.dtype);
    const read = await onDisk("reading tensors", this.path, () => readAt(this.handle, data, position));
    if (read < data.byteLength)
      fail("safetensors/truncated", "the file shrank while it was read", {
        where: `${this.path}, tensor ${JSON.stringify(name)}`,
      });
    if (entry.dtype === "bool" && (data as Uint8Array).some((byte) => byte > 1))
      fail("safetensors/bool", "a bool tensor holds a byte that is neither 0 nor 1", {
        where: `${this.path}, tensor ${JSON.stringify(name)}`,
      });
    return data;
  }

  async close(): Promise<void> {
    await this.handle.close();
  }
}

// The safetensors header: text to table and back, with every check that needs no data. Not the file access (safetensors.ts).
// Layout of a file: 8 bytes little-endian header length N, N bytes of JSON, then the tensors' bytes with no hole between.
// @see https://github.com/huggingface/safetensors#format
import { byteSize, type DType, dtypes, fail, formatBytes, formatType } from "../base/index.ts";
import { checkedAdd, checkedBytes, isCount } from "./checked.ts";
import { type HeaderValue, parseHeaderJson } from "./header-json.ts";

/** The limit of the format itself; the reference reader holds the same. */
export const formatMaxHeaderBytes = 100_000_000;
/** What is read by default: room for about 30,000 tensors in one file, in at most 64 MiB of memory. */
export const defaultMaxHeaderBytes = 3 * 1024 * 1024;

/** One row of the table. `begin` and `end` are bytes from the start of the data part. */
export interface TensorEntry {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly begin: number;
  readonly end: number;
}

export interface TensorSpec {
  readonly name: string;
  readonly dtype: DType;
  readonly shape: readonly number[];
}

export interface SafetensorsHeader {
  /** In the order of the data. */
  readonly entries: readonly TensorEntry[];
  readonly metadata: ReadonlyMap<string, string>;
  /** Where the data part starts in the file. */
  readonly dataStart: number;
  readonly fileBytes: number;
}

const formatNames: Record<DType, string> = {
  f64: "F64",
  f32: "F32",
  bf16: "BF16",
  f16: "F16",
  i64: "I64",
  i32: "I32",
  u8: "U8",
  bool: "BOOL",
};
/** Data order of the reference writer: wide elements first, which keeps every tensor aligned to its own size. */
const dataOrder: readonly DType[] = ["i64", "f64", "f32", "i32", "bf16", "f16", "u8", "bool"];
const dtypeOfFormatName = new Map(dtypes.map((dtype) => [formatNames[dtype], dtype]));

/** Order of names everywhere in a checkpoint: by Unicode code point, which is also the order of their UTF-8 bytes. */
export function compareNames(a: string, b: string): number {
  if (surrogate.test(a) || surrogate.test(b)) return Buffer.compare(Buffer.from(a), Buffer.from(b));
  return a < b ? -1 : a > b ? 1 : 0;
}
const damaged = "the header is damaged, or its writer is at fault: fetch the file or save it again";
const surrogate = /[\ud800-\udfff]/; // only above U+FFFF do code units and code points sort apart

/** Reads N from the first 8 bytes. Errors with `safetensors/header-length` or `safetensors/truncated`. */
export function readHeaderLength(
  prefix: Uint8Array,
  fileBytes: number,
  options: { where: string; maxHeaderBytes?: number },
): number {
  const { where, maxHeaderBytes = defaultMaxHeaderBytes } = options;
  if (fileBytes < 8 || prefix.length < 8)
    fail("safetensors/truncated", "too short for a safetensors file", {
      where,
      expected: "8 bytes of header length, then the header",
      got: `${fileBytes} bytes`,
      fix: "this is not a safetensors file, or it was cut off: fetch or save it again",
    });
  const length = new DataView(prefix.buffer, prefix.byteOffset, 8).getBigUint64(0, true);
  if (length < 2n || length > BigInt(formatMaxHeaderBytes))
    fail("safetensors/header-length", "the header length is impossible", {
      where,
      expected: `from 2 to ${formatMaxHeaderBytes} bytes`,
      got: String(length),
      fix: "this is not a safetensors file, or its start is damaged",
    });
  const count = Number(length);
  if (count > fileBytes - 8)
    fail("safetensors/header-length", "the header is longer than the file", {
      where,
      expected: `at most ${fileBytes - 8} bytes`,
      got: String(count),
      fix: "the file was cut off or its start is damaged: fetch or save it again",
    });
  if (count > maxHeaderBytes)
    fail("safetensors/header-budget", "the header is larger than its memory budget", {
      where,
      expected: `at most ${formatBytes(maxHeaderBytes)}`,
      got: formatBytes(count),
      fix: "raise maxHeaderBytes when the file is trusted",
    });
  return count;
}

/**
 * Checks and reads a whole header. Nothing is allocated from a number in it.
 * @returns entries in the order of their bytes, which cover the data part exactly
 */
export function parseHeader(headerBytes: Uint8Array, fileBytes: number, where: string): SafetensorsHeader {
  const entries: TensorEntry[] = [];
  let metadata: ReadonlyMap<string, string> = new Map();
  parseHeaderJson(decodeUtf8(headerBytes, where), {
    where,
    maxDepth: 4,
    onMember: (name, value) => {
      if (name === "__metadata__") metadata = readMetadata(value, where);
      else entries.push(readEntry(name, value, where));
    },
  });
  // an empty tensor lies before the one that starts at the same byte
  entries.sort((a, b) => a.begin - b.begin || a.end - b.end);
  const dataStart = 8 + headerBytes.length;
  checkCoverage(entries, fileBytes - dataStart, where);
  return { entries, metadata, dataStart, fileBytes };
}

function decodeUtf8(bytes: Uint8Array, where: string): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    return fail("safetensors/utf8", "the header is not valid UTF-8", {
      where,
      fix: "this is not a safetensors file, or its header is damaged",
      cause,
    });
  }
}

function readMetadata(value: HeaderValue, where: string): Map<string, string> {
  const metadata = new Map<string, string>();
  if (value === null) return metadata;
  if (!(value instanceof Map))
    return fail("safetensors/metadata", "__metadata__ is not an object of strings", {
      where,
      expected: "an object of strings",
      got: kindOf(value),
      fix: damaged,
    });
  for (const [key, text] of value) {
    if (typeof text !== "string")
      return fail("safetensors/metadata", "__metadata__ holds something else than text", {
        where: `${where}, key ${JSON.stringify(key)}`,
        expected: "a string",
        got: kindOf(text),
        fix: damaged,
      });
    metadata.set(key, text);
  }
  return metadata;
}

function readEntry(name: string, value: HeaderValue, file: string): TensorEntry {
  const where = `${file}, tensor ${JSON.stringify(name)}`;
  if (!(value instanceof Map))
    return fail("safetensors/entry", "a tensor's entry is not an object", {
      where,
      expected: '{"dtype", "shape", "data_offsets"}',
      got: kindOf(value),
      fix: damaged,
    });
  const dtypeName = value.get("dtype");
  const shape = value.get("shape");
  const offsets = value.get("data_offsets");
  const dtype = typeof dtypeName === "string" ? dtypeOfFormatName.get(dtypeName) : undefined;
  if (dtype === undefined)
    return fail("safetensors/dtype", "a tensor has an element type that is not held here", {
      where,
      expected: [...dtypeOfFormatName.keys()].join(", "),
      got: typeof dtypeName === "string" ? dtypeName : "no dtype",
      fix: "convert the tensor before it is written",
    });
  if (!isCounts(shape))
    return fail("safetensors/shape", "a tensor's shape is not a list of counts", {
      where,
      expected: "a list of whole numbers from 0 on",
      got: kindOf(shape),
      fix: damaged,
    });
  if (!isCounts(offsets) || offsets.length !== 2)
    return fail("safetensors/offsets", "a tensor's data_offsets are not two counts", {
      where,
      expected: "[begin, end]",
      got: kindOf(offsets),
      fix: damaged,
    });
  const [begin, end] = offsets as [number, number];
  const bytes = checkedBytes(shape, byteSize(dtype));
  if (bytes === undefined)
    return fail("safetensors/overflow", "a tensor's size does not fit 2^53 bytes", {
      where,
      expected: "a size below 2^53 bytes",
      got: formatType(dtype, shape),
      fix: damaged,
    });
  if (end < begin)
    return fail("safetensors/offsets", "a tensor ends before it begins", {
      where,
      expected: "begin <= end",
      got: `[${begin}, ${end}]`,
      fix: damaged,
    });
  if (end - begin !== bytes)
    return fail("safetensors/size", "a tensor's bytes do not match its shape", {
      where,
      expected: `${bytes} bytes for ${formatType(dtype, shape)}`,
      got: `${end - begin} bytes, [${begin}, ${end}]`,
      fix: damaged,
    });
  return { name, dtype, shape, begin, end };
}

/** What a value of the header is, in a word or as the list that it is. */
function kindOf(value: HeaderValue | undefined): string {
  if (Array.isArray(value)) return `[${value.join(", ")}]`;
  return value === undefined ? "nothing" : value === null ? "null" : value instanceof Map ? "an object" : typeof value;
}

function isCounts(value: HeaderValue | undefined): value is number[] {
  return Array.isArray(value) && value.every(isCount);
}

/** Entries sorted by `begin` must tile [0, dataBytes): no overlap, no hole, nothing missing, nothing after. */
function checkCoverage(entries: readonly TensorEntry[], dataBytes: number, where: string): void {
  let end = 0;
  for (const entry of entries) {
    if (entry.begin !== end) {
      const overlaps = entry.begin < end;
      fail(
        overlaps ? "safetensors/overlap" : "safetensors/hole",
        `tensors ${overlaps ? "share bytes" : "leave a hole"}`,
        {
          where: `${where}, tensor ${JSON.stringify(entry.name)}`,
          expected: `to begin at byte ${end}`,
          got: String(entry.begin),
          fix: damaged,
        },
      );
    }
    end = entry.end;
  }
  if (end > dataBytes)
    fail("safetensors/truncated", "the file ends before its tensors do", {
      where: `${where}, tensor ${JSON.stringify(entries.find((entry) => entry.end > dataBytes)!.name)}`,
      expected: `${end} bytes of data`,
      got: `${dataBytes}`,
      fix: "the file was cut off: fetch or save it again",
    });
  if (end < dataBytes)
    fail("safetensors/trailing", "bytes follow the last tensor", {
      where,
      expected: `${end} bytes of data`,
      got: `${dataBytes}`,
      fix: "cut the file where its tensors end, or fetch or save it again",
    });
}

/**
 * Lays tensors out and writes the header: by dtype, then by name, byte for byte as the reference writer does. Readers
 * that map the file need each tensor to start at a multiple of its element size.
 * Errors with `safetensors/name`, `safetensors/duplicate-key`, `safetensors/overflow` or `safetensors/header-length`.
 */
export function encodeHeader(
  specs: Iterable<TensorSpec>,
  options: { metadata?: Readonly<Record<string, string>>; where: string },
): { bytes: Uint8Array; header: SafetensorsHeader } {
  const { metadata = {}, where } = options;
  const sorted = [...specs].sort(
    (a, b) => dataOrder.indexOf(a.dtype) - dataOrder.indexOf(b.dtype) || compareNames(a.name, b.name),
  );
  const names = new Set<string>();
  const entries: TensorEntry[] = [];
  const fields: string[] = [];
  if (Object.keys(metadata).length > 0) fields.push(`"__metadata__":${JSON.stringify(metadata)}`);
  let begin = 0;
  for (const { name, dtype, shape } of sorted) {
    checkName(name, names, where);
    const bytes = shape.every(isCount) ? checkedBytes(shape, byteSize(dtype)) : undefined;
    const end = bytes === undefined ? undefined : checkedAdd(begin, bytes);
    if (end === undefined)
      return fail("safetensors/overflow", "a tensor's size is not a count of bytes", {
        where: `${where}, tensor ${JSON.stringify(name)}`,
        expected: "whole numbers from 0 on, and in all below 2^53 bytes",
        got: formatType(dtype, shape),
        fix: "divide the tensors over several files, or correct the shape",
      });
    const format = formatNames[dtype];
    fields.push(
      `${JSON.stringify(name)}:{"dtype":"${format}","shape":[${shape.join(",")}],"data_offsets":[${begin},${end}]}`,
    );
    entries.push({ name, dtype, shape: [...shape], begin, end });
    begin = end;
  }
  const json = Buffer.from(`{${fields.join(",")}}`);
  const headerBytes = Math.ceil(json.length / 8) * 8; // padded with spaces, so that the data start aligned
  if (headerBytes > formatMaxHeaderBytes)
    fail("safetensors/header-length", "too many tensors for one file", {
      where,
      expected: `a header of at most ${formatBytes(formatMaxHeaderBytes)}`,
      got: formatBytes(headerBytes),
      fix: "divide the tensors over several files",
    });
  const bytes = Buffer.alloc(8 + headerBytes, " ");
  bytes.writeBigUInt64LE(BigInt(headerBytes), 0);
  json.copy(bytes, 8);
  const dataStart = bytes.length;
  const header = { entries, metadata: new Map(Object.entries(metadata)), dataStart, fileBytes: dataStart + begin };
  return { bytes, header };
}

function checkName(name: string, seen: Set<string>, where: string): void {
  if (name === "__metadata__" || name === "" || Buffer.from(name).toString() !== name)
    fail("safetensors/name", "this cannot be a tensor's name", {
      where,
      expected: 'well-formed text that is not empty and not "__metadata__"',
      got: JSON.stringify(name),
      fix: "rename the tensor",
    });
  if (seen.has(name))
    fail("safetensors/duplicate-key", "two tensors have one name", {
      where,
      expected: "a name of its own for each",
      got: `${JSON.stringify(name)} twice`,
      fix: "rename one of them",
    });
  seen.add(name);
}

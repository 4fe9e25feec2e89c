// Text as a stream of bounded pieces, from files or memory, with one policy for what is not valid text. Not a tokenizer.
// A source can be read more than once: the first pass (`scanText`) counts and hashes, later ones tokenize.
import { createHash } from "node:crypto";
import { type AthanorError, fail, formatBytes } from "../base/index.ts";
import { type ByteLimits, listFiles, readBytes } from "./files.ts";
import { Utf8Stream } from "./utf8.ts";

/** Where text comes from: a file, `.gz`, folder or glob (or several); one string; or documents in memory. */
export type TextInput =
  | { readonly path: string | readonly string[] }
  | { readonly text: string }
  | { readonly texts: Iterable<string> | AsyncIterable<string> };

export interface TextOptions extends ByteLimits {
  /** What to do with a file (or string) that is not valid text: refuse it (default), leave it out, or put U+FFFD. */
  readonly invalid?: "error" | "skip" | "replace";
  /** Put between two documents when the first does not end with it. Default one newline. */
  readonly separator?: string;
  /** Most memory that an iterable's documents may take, in bytes. Default 1 GiB. */
  readonly maxMemoryBytes?: number;
}

/** What a pass over a source saw. */
export interface TextReport {
  /** Documents (files or strings) used, and those left out by `invalid: "skip"` with the reason. */
  readonly documents: number;
  readonly skipped: readonly { readonly name: string; readonly reason: string }[];
  /** Faults that became U+FFFD. */
  readonly replaced: number;
  /** Unicode code points of the text. */
  readonly characters: number;
  /** Bytes of the text as UTF-8. */
  readonly bytes: number;
  /** SHA-256 of the text as UTF-8: the same for the same text, wherever it lay and however it was compressed. */
  readonly sha256: string;
}

/** Text that can be read again and again. */
export interface TextSource {
  /** For messages: the path, or what kind of memory. */
  readonly name: string;
  /** Pieces of at most about 1 MiB that never cut a code point. Errors while reading name file and byte. */
  pieces(tally?: TextTally): AsyncGenerator<string>;
}

/** Counts that a pass fills in. */
export interface TextTally {
  documents: number;
  skipped: { name: string; reason: string }[];
  replaced: number;
}

interface Document {
  readonly name: string;
  read(onFault: FaultHandler): AsyncGenerator<string> | Generator<string>;
}

type FaultHandler = (what: string, offset: number) => void;

const pieceLength = 2 ** 20;

/**
 * Opens text for reading. Async iterables are drained into memory here, so that the text can be read twice.
 * Errors: `data/no-file`, `data/not-a-file`, `data/too-large`.
 */
export async function openText(input: TextInput, options: TextOptions = {}): Promise<TextSource> {
  if ("path" in input) {
    const files = await listFiles(input.path);
    const name = typeof input.path === "string" ? input.path : input.path.join(", ");
    return makeSource(
      name,
      files.map((file) => fileDocument(file, options)),
      options,
    );
  }
  if ("text" in input) return makeSource("text in memory", [stringDocument("text in memory", input.text)], options);
  const documents: Document[] = [];
  const { maxMemoryBytes = 2 ** 30 } = options;
  let bytes = 0;
  for await (const text of input.texts) {
    const name = `text ${documents.length + 1}`;
    if (typeof text !== "string")
      fail("data/type", "a document is not a string", { where: name, expected: "a string", got: typeof text });
    bytes += 2 * text.length;
    if (bytes > maxMemoryBytes) {
      fail("data/too-large", "the documents do not fit the memory given to them", {
        where: name,
        expected: `at most ${formatBytes(maxMemoryBytes)}`,
        fix: "write the text to a file and name it in data.path: files are read in pieces",
      });
    }
    documents.push(stringDocument(name, text));
  }
  return makeSource(`${documents.length} texts in memory`, documents, options);
}

/**
 * Reads a source once and tells what is in it. Errors: `data/empty`, `data/utf8`, `data/binary` and those of reading.
 * `onPiece` sees every piece on the way.
 */
export async function scanText(
  source: TextSource,
  onPiece?: (piece: string) => void | Promise<void>,
): Promise<TextReport> {
  const hash = createHash("sha256");
  const tally: TextTally = { documents: 0, skipped: [], replaced: 0 };
  let [characters, bytes] = [0, 0];
  for await (const piece of source.pieces(tally)) {
    hash.update(piece, "utf8");
    characters += countCharacters(piece);
    bytes += Buffer.byteLength(piece, "utf8");
    await onPiece?.(piece);
  }
  if (characters === 0) {
    const reasons = tally.skipped.slice(0, 3).map(({ name, reason }) => `${name} left out: ${reason}`);
    fail("data/empty", "there is no text", {
      where: source.name,
      expected: "at least one character",
      got: ["0 characters", ...reasons].join("\n"),
      fix: "check the path, and what data.invalid leaves out",
    });
  }
  return { ...tally, characters, bytes, sha256: hash.digest("hex") };
}

/** The whole text as one string, for small data. Errors as `scanText`, and `data/too-large` above `maxMemoryBytes`. */
export async function readText(
  input: TextInput,
  options: TextOptions = {},
): Promise<{ text: string; report: TextReport }> {
  const { maxMemoryBytes = 2 ** 28 } = options;
  const source = await openText(input, options);
  const pieces: string[] = [];
  let length = 0;
  const report = await scanText(source, (piece) => {
    length += piece.length;
    if (2 * length > maxMemoryBytes) {
      fail("data/too-large", "the text does not fit the memory given to it", {
        where: source.name,
        expected: `at most ${formatBytes(maxMemoryBytes)}`,
      });
    }
    pieces.push(piece);
  });
  return { text: pieces.join(""), report };
}

/** Unicode code points of a well-formed string. */
export function countCharacters(text: string): number {
  let pairs = 0;
  for (let i = 0; i < text.length; i++) if ((text.charCodeAt(i) & 0xfc00) === 0xdc00) pairs++;
  return text.length - pairs;
}

function makeSource(name: string, documents: readonly Document[], options: TextOptions): TextSource {
  const { invalid = "error", separator = "\n" } = options;
  async function* pieces(tally: TextTally = { documents: 0, skipped: [], replaced: 0 }): AsyncGenerator<string> {
    let end = separator; // what was written last, as long as the separator
    for (const document of documents) {
      const reason = invalid === "skip" ? await findFault(document) : undefined;
      if (reason !== undefined) {
        tally.skipped.push({ name: document.name, reason });
        continue;
      }
      tally.documents++;
      const onFault: FaultHandler = (what, offset) => {
        if (invalid === "error" || what.startsWith(binary)) refuse(document.name, what, offset);
        tally.replaced++;
      };
      let begun = false;
      for await (const piece of document.read(onFault)) {
        if (piece === "") continue;
        if (!begun && end !== separator) yield separator;
        begun = true;
        end = separator === "" ? "" : (end + piece.slice(-separator.length)).slice(-separator.length);
        yield piece;
      }
    }
  }
  return { name, pieces };
}

const binary = "binary data";

/** Why a document would be refused, or `undefined`: reads it to its end. */
async function findFault(document: Document): Promise<string | undefined> {
  try {
    for await (const _ of document.read((what, offset) => refuse(document.name, what, offset)));
    return undefined;
  } catch (error) {
    const { code, what, got } = error as AthanorError;
    if (code !== "data/utf8" && code !== "data/binary" && code !== "data/gzip") throw error;
    return got === undefined ? what : `${what}: ${got}`;
  }
}

function refuse(name: string, what: string, offset: number): never {
  if (what.startsWith(binary)) {
    fail("data/binary", "this is not a text file", {
      where: `${name}, byte ${offset}`,
      expected: "text as UTF-8",
      got: what,
      fix: "take the file out of the data, convert it to UTF-8 text, or set data.invalid to skip",
    });
  }
  fail("data/utf8", "the text is not valid UTF-8", {
    where: `${name}, byte ${offset}`,
    expected: "UTF-8",
    got: what,
    fix: "convert the file (`iconv -t UTF-8`), or set data.invalid to replace or skip",
  });
}

function fileDocument(path: string, limits: ByteLimits): Document {
  async function* read(onFault: FaultHandler): AsyncGenerator<string> {
    const decoder = new Utf8Stream((fault) => onFault(fault.reason, fault.offset));
    let position = 0;
    for await (const chunk of readBytes(path, limits)) {
      if (position === 0) {
        const kind = binaryKind(chunk);
        if (kind !== undefined) onFault(`${binary} (${kind})`, 0);
      }
      const nul = chunk.indexOf(0);
      // faults before the NUL byte are told first: decode up to it, then refuse
      if (nul >= 0) {
        decoder.push(chunk.subarray(0, nul));
        onFault(`${binary} (a NUL byte)`, position + nul);
      }
      position += chunk.length;
      yield decoder.push(chunk);
    }
    yield decoder.end();
  }
  return { name: path, read };
}

/** What the first bytes betray, where the name of the format helps more than the position of a bad byte. */
function binaryKind(bytes: Uint8Array): string | undefined {
  const starts = (...signature: number[]) => signature.every((byte, i) => bytes[i] === byte);
  if (starts(0xff, 0xfe) || starts(0xfe, 0xff)) return "UTF-16 text";
  if (starts(0x50, 0x4b, 3, 4)) return "a zip archive";
  if (starts(0x25, 0x50, 0x44, 0x46, 0x2d)) return "a PDF";
  if (starts(0x50, 0x41, 0x52, 0x31)) return "Parquet";
  if (starts(0x28, 0xb5, 0x2f, 0xfd)) return "zstd";
  return undefined;
}

function stringDocument(name: string, text: string): Document {
  function* read(onFault: FaultHandler): Generator<string> {
    for (let start = 0; start < text.length; ) {
      let end = Math.min(text.length, start + pieceLength);
      if (end < text.length && isHighSurrogate(text.charCodeAt(end - 1)) && end - 1 > start) end--;
      const piece = text.slice(start, end);
      const nul = piece.indexOf("\0");
      if (nul >= 0) onFault(`${binary} (a NUL character)`, start + nul);
      yield repairSurrogates(piece, (at) => onFault("surrogate", start + at));
      start = end;
    }
  }
  return { name, read };
}

function repairSurrogates(text: string, onLone: (at: number) => void): string {
  return text.replace(/\p{Surrogate}/gu, (_, at: number) => {
    onLone(at);
    return "\ufffd";
  });
}

function isHighSurrogate(unit: number): boolean {
  return (unit & 0xfc00) === 0xd800;
}

// UTF-8 from a stream of bytes: where it is invalid and why, and bounded decoding. Not a reader of files.
import { isUtf8 } from "node:buffer";

/** The first fault of a byte sequence: `length` bytes at `offset` that no valid text contains. */
export interface Utf8Fault {
  readonly offset: number;
  readonly length: number;
  readonly reason: "overlong" | "surrogate" | "truncated" | "out of range" | "invalid byte";
}

/**
 * Finds the first invalid sequence of `bytes`, or `undefined`. An incomplete sequence at the very end counts as
 * `truncated`. The fault's length is that of the maximal subpart (Unicode 16, table 3-8), so that replacing each
 * fault by one U+FFFD agrees with `TextDecoder`.
 */
export function findUtf8Fault(bytes: Uint8Array, from = 0): Utf8Fault | undefined {
  for (let at = from; at < bytes.length; ) {
    const lead = bytes[at];
    if (lead < 0x80) {
      at++;
      continue;
    }
    const size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc2) return { offset: at, length: 1, reason: lead < 0xc0 ? "invalid byte" : "overlong" };
    if (lead > 0xf4) return { offset: at, length: 1, reason: "out of range" };
    if (at + 1 >= bytes.length) return { offset: at, length: 1, reason: "truncated" };
    const second = bytes[at + 1];
    if ((second & 0xc0) !== 0x80) return { offset: at, length: 1, reason: "truncated" };
    if (lead === 0xe0 && second < 0xa0) return { offset: at, length: 1, reason: "overlong" };
    if (lead === 0xed && second > 0x9f) return { offset: at, length: 1, reason: "surrogate" };
    if (lead === 0xf0 && second < 0x90) return { offset: at, length: 1, reason: "overlong" };
    if (lead === 0xf4 && second > 0x8f) return { offset: at, length: 1, reason: "out of range" };
    for (let i = 2; i < size; i++) {
      if (at + i >= bytes.length || (bytes[at + i] & 0xc0) !== 0x80)
        return { offset: at, length: i, reason: "truncated" };
    }
    at += size;
  }
  return undefined;
}

/** Bytes at the end of `bytes` that begin a sequence whose rest is yet to come (0 to 3). */
export function incompleteTail(bytes: Uint8Array): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back++) {
    const byte = bytes[bytes.length - back];
    if ((byte & 0xc0) === 0x80) continue;
    const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return size > back ? back : 0;
  }
  return 0;
}

/**
 * Decodes a stream of bytes piece by piece. A leading byte-order mark is dropped. On invalid input `onFault` is
 * called with the absolute offset; when it returns, the fault becomes one U+FFFD.
 */
export class Utf8Stream {
  /** Bytes that came before what `push` will be given next, without the pending ones. */
  private position = 0;
  private pending: Uint8Array = new Uint8Array(0);
  private readonly onFault: (fault: Utf8Fault) => void;

  constructor(onFault: (fault: Utf8Fault) => void) {
    this.onFault = onFault;
  }

  /** The text that `chunk` completes. */
  push(chunk: Uint8Array): string {
    const bytes = this.pending.length === 0 ? chunk : Buffer.concat([this.pending, chunk]);
    const tail = incompleteTail(bytes);
    this.pending = bytes.slice(bytes.length - tail);
    return this.decode(bytes.subarray(0, bytes.length - tail));
  }

  /** The text of an unfinished last sequence: empty, or U+FFFD if `onFault` lets it pass. */
  end(): string {
    const text = this.decode(this.pending);
    this.pending = new Uint8Array(0);
    return text;
  }

  private decode(bytes: Uint8Array): string {
    const start = this.position;
    this.position += bytes.length;
    if (!isUtf8(bytes)) this.reportFaults(bytes, start);
    const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("utf8");
    return start === 0 && text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  }

  private reportFaults(bytes: Uint8Array, start: number): void {
    for (let fault = findUtf8Fault(bytes); fault !== undefined; ) {
      this.onFault({ ...fault, offset: start + fault.offset });
      fault = findUtf8Fault(bytes, fault.offset + fault.length);
    }
  }
}

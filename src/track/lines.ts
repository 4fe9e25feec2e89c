// Lines of a file with their places in it. Splits at the byte 0x0A alone: `node:readline` also splits at U+2028, which
// JSON text may hold.
import { open } from "node:fs/promises";

export interface Line {
  /** `undefined` when the line is longer than any that is written: it is not held in memory. */
  readonly text: string | undefined;
  /** Byte offsets; `end` is after the newline. */
  readonly start: number;
  readonly end: number;
  /** False for a last line without its newline: a torn write, or one that is still going on. */
  readonly terminated: boolean;
}

const chunkBytes = 256 * 1024;
export const maxLineBytes = 16 * 1024 * 1024;

/** Reads a file line by line with bounded memory. Gives nothing for an empty file; throws the system's error. */
export async function* readLines(path: string): AsyncGenerator<Line> {
  const handle = await open(path, "r");
  try {
    const chunk = Buffer.allocUnsafe(chunkBytes);
    let held: Buffer[] = [];
    let heldBytes = 0;
    let start = 0;
    let at = 0;
    const line = (end: number, terminated: boolean): Line => {
      const text = heldBytes > maxLineBytes ? undefined : Buffer.concat(held).toString("utf8");
      const result = { text, start, end, terminated };
      held = [];
      heldBytes = 0;
      start = end;
      return result;
    };
    const hold = (part: Buffer) => {
      heldBytes += part.length;
      if (heldBytes > maxLineBytes) held = [];
      else held.push(Buffer.from(part));
    };
    for (;;) {
      const { bytesRead } = await handle.read(chunk, 0, chunkBytes, at);
      if (bytesRead === 0) break;
      let from = 0;
      for (;;) {
        const newline = chunk.subarray(0, bytesRead).indexOf(0x0a, from);
        if (newline < 0) break;
        hold(chunk.subarray(from, newline));
        yield line(at + newline + 1, true);
        from = newline + 1;
      }
      hold(chunk.subarray(from, bytesRead));
      at += bytesRead;
    }
    if (at > start) yield line(at, false);
  } finally {
    await handle.close();
  }
}

// IDX files, plain or gzip, as MNIST and its kin come: bytes in one array of any rank. A header is believed only as far as the file bears
// it out, and nothing is allocated on its word.
// @see https://yann.lecun.org/exdb/mnist/index.html "The IDX file format"
import { createHash } from "node:crypto";
import { fail, formatBytes } from "../base/index.ts";
import { listFiles, readBytes } from "./files.ts";

export interface IdxArray {
  readonly shape: readonly number[];
  /** Row-major. */
  readonly data: Uint8Array;
  /** Of the decompressed file. */
  readonly sha256: string;
}

export interface IdxOptions {
  /** Greatest size of the decompressed file. Default 4 GiB. */
  readonly maxMemoryBytes?: number;
}

const unsignedByte = 0x08;
const maxRank = 4;

/** Reads a file of unsigned bytes. Errors with `data/idx`, naming what is wrong, and those of finding and reading a file. */
export async function readIdx(path: string, { maxMemoryBytes = 2 ** 32 }: IdxOptions = {}): Promise<IdxArray> {
  const wrong = (what: string, expected: string, got: string): never =>
    fail("data/idx", what, {
      where: path,
      expected,
      got,
      fix: "fetch the file again; images and labels of MNIST end in -idx3-ubyte and -idx1-ubyte, or .gz after it",
    });
  const pieces: Buffer[] = [];
  const hash = createHash("sha256");
  let shape: number[] | undefined;
  let [length, bytes] = [0, 0];
  let head = Buffer.alloc(0);
  const files = await listFiles(path);
  if (files.length > 1) wrong("an IDX array is one file", "one file", `${files.length}`);
  for await (const piece of readBytes(path, { maxFileBytes: maxMemoryBytes })) {
    hash.update(piece);
    bytes += piece.length;
    let body = piece;
    if (shape === undefined) {
      head = Buffer.concat([head, piece]);
      if (head.length < 4) continue;
      const [first, second, type, rank] = [...head.subarray(0, 4)] as [number, number, number, number];
      if (first !== 0 || second !== 0)
        wrong("this is no IDX file", "two bytes of zero, a type, a rank", head.toString("hex", 0, 4));
      if (type !== unsignedByte)
        wrong(
          "the numbers of an IDX file are not unsigned bytes",
          "type 0x08",
          `type 0x${type.toString(16).padStart(2, "0")}`,
        );
      if (rank < 1 || rank > maxRank) wrong("the rank of an IDX file is out of range", `1 to ${maxRank}`, String(rank));
      if (head.length < 4 + 4 * rank) continue;
      shape = Array.from({ length: rank }, (_, axis) => head.readUInt32BE(4 + 4 * axis));
      length = shape.reduce((product, size) => product * size, 1);
      if (!(length <= maxMemoryBytes))
        wrong(
          "an IDX file says to be larger than it may be",
          `at most ${formatBytes(maxMemoryBytes)}`,
          shape.join(" × "),
        );
      body = head.subarray(4 + 4 * rank);
    }
    pieces.push(body);
    if (bytes - 4 - 4 * shape.length > length) break;
  }
  if (shape === undefined) return wrong("an IDX file ends within its header", "a whole header", `${bytes} bytes`);
  const found = bytes - 4 - 4 * shape.length;
  if (found !== length)
    wrong(
      "an IDX file is not as long as its header says",
      `${length} bytes after the header, ${shape.join(" × ")}`,
      found > length ? "more" : String(found),
    );
  return { shape, data: Buffer.concat(pieces, length), sha256: hash.digest("hex") };
}

// Files as users have them, and as they should not be: each faulty file must be refused by name and byte.
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { heldBytes } from "../../test/support/collect-garbage.ts";
import { openText, readText, scanText, type TextOptions } from "./text-source.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "athanor-text-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const put = (name: string, content: string | Uint8Array): string => {
  const path = join(folder, name);
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, content);
  return path;
};
const bytes = (...parts: (string | number[])[]) =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? Buffer.from(part) : Buffer.from(part))));
const sha256 = (text: string) => createHash("sha256").update(text).digest("hex");

describe("where text comes from", () => {
  it("a file, its gzip, a string and an iterable of the same text have the same hash and counts", async () => {
    const text = "First Citizen:\r\nBefore we proceed 任何进一步 🔥\n";
    const plain = await readText({ path: put("one.txt", text) });
    const zipped = await readText({ path: put("one.txt.gz", gzipSync(text)) });
    const unnamed = await readText({ path: put("gzip-without-name", gzipSync(text)) });
    const memory = await readText({ text });
    async function* stream() {
      yield text;
    }
    const streamed = await readText({ texts: stream() });
    for (const result of [plain, zipped, unnamed, memory, streamed]) {
      expect(result.text).toBe(text);
      expect(result.report).toMatchObject({
        sha256: sha256(text),
        characters: [...text].length,
        bytes: Buffer.byteLength(text),
      });
    }
  });

  it("a folder is read in the order of its paths, with hidden files left out and documents kept apart", async () => {
    put("tree/b.txt", "second");
    put("tree/a/z.txt", "first\n");
    put("tree/c.txt.gz", gzipSync("third"));
    put("tree/.hidden", "no");
    symlinkSync(join(folder, "tree"), join(folder, "tree/loop"));
    const { text, report } = await readText({ path: join(folder, "tree") });
    expect(text).toBe("first\nsecond\nthird");
    expect(report.documents).toBe(3);
    expect((await readText({ path: join(folder, "tree/**/*.txt") })).text).toBe("first\nsecond");
    expect((await readText({ path: join(folder, "tree/{b,c}.*") })).text).toBe("second\nthird");
    expect((await readText({ path: [join(folder, "tree/b.txt"), join(folder, "tree/*.txt")] })).text).toBe("second");
  });

  it("a source is read again with the same result", async () => {
    async function* stream() {
      yield "one";
      yield "two";
    }
    const source = await openText({ texts: stream() });
    expect((await scanText(source)).sha256).toBe(sha256("one\ntwo"));
    expect((await scanText(source)).sha256).toBe(sha256("one\ntwo"));
  });

  it("pieces of long strings never cut a character", async () => {
    const text = `a${"😀".repeat(600_000)}`;
    const source = await openText({ text });
    let joined = "";
    for await (const piece of source.pieces()) {
      expect(piece.length).toBeLessThanOrEqual(2 ** 20);
      expect(/\p{Surrogate}/u.test(piece)).toBe(false);
      joined += piece;
    }
    expect(joined).toBe(text);
  });

  it("any documents join to the same text in memory as in files", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.string({ unit: "grapheme", minLength: 1 }), { minLength: 1, maxLength: 5 }),
        async (raw) => {
          const texts = raw.map((text) => text.replaceAll("\0", " ").replace(/^\ufeff/, "x"));
          const paths = texts.map((text, i) => put(`join/${i}`, text));
          const [memory, files] = [await readText({ texts }), await readText({ path: paths })];
          expect(files).toEqual(memory);
        },
      ),
      { numRuns: 40 },
    );
  });
});

interface Case {
  name: string;
  content: string | Uint8Array;
  code: string;
  at?: string;
  got?: string;
}
const utf8Faults: [string, number[], string][] = [
  ["overlong", [0xc0, 0xaf], "overlong"],
  ["overlong-3", [0xe0, 0x9f, 0xbf], "overlong"],
  ["surrogate", [0xed, 0xa0, 0x80], "surrogate"],
  ["surrogate-low", [0xed, 0xbf, 0xbf], "surrogate"],
  ["truncated", [0xe4, 0xb8], "truncated"],
  ["range", [0xf4, 0x90, 0x80, 0x80], "out of range"],
  ["stray", [0x80], "invalid byte"],
  ["latin1", [0xe9], "truncated"],
];
const positions = [0, 1, 1000, 2 ** 20 - 1, 2 ** 20];
const cases: Case[] = [
  ...utf8Faults.flatMap(([name, fault, got]) =>
    positions.map((at) => ({
      name: `${name}-${at}`,
      content: bytes("x".repeat(at), fault, "yz"),
      code: "data/utf8",
      at: `byte ${at}`,
      got,
    })),
  ),
  ...positions.map((at) => ({
    name: `nul-${at}`,
    content: bytes("n".repeat(at), [0], "more"),
    code: "data/binary",
    at: `byte ${at}`,
    got: "NUL",
  })),
  { name: "utf16le", content: bytes([0xff, 0xfe], [0x41, 0]), code: "data/binary", got: "UTF-16" },
  { name: "utf16be", content: bytes([0xfe, 0xff], [0, 0x41]), code: "data/binary", got: "UTF-16" },
  { name: "zip", content: bytes("PK", [3, 4, 20]), code: "data/binary", got: "zip" },
  { name: "pdf", content: bytes("%PDF-1.7 abc"), code: "data/binary", got: "PDF" },
  { name: "parquet", content: bytes("PAR1abc"), code: "data/binary", got: "Parquet" },
  {
    name: "truncated-at-end",
    content: bytes("abc", [0xf0, 0x9f, 0x98]),
    code: "data/utf8",
    at: "byte 3",
    got: "truncated",
  },
  { name: "empty", content: "", code: "data/empty" },
  { name: "only-bom", content: bytes([0xef, 0xbb, 0xbf]), code: "data/empty" },
  { name: "empty.gz", content: gzipSync(""), code: "data/empty" },
  { name: "not.gz", content: "plain text", code: "data/gzip" },
  { name: "cut.gz", content: gzipSync("some text ".repeat(99)).subarray(0, 30), code: "data/gzip" },
  { name: "flipped.gz", content: flip(gzipSync("some text ".repeat(99)), 20), code: "data/gzip" },
  { name: "bomb.gz", content: gzipSync(Buffer.alloc(32 * 2 ** 20, 0x61)), code: "data/gzip-bomb" },
  { name: "inside.gz", content: gzipSync(bytes("abc", [0xff])), code: "data/utf8", at: "byte 3" },
];

function flip(data: Uint8Array, at: number): Uint8Array {
  data[at] ^= 0x40;
  return data;
}

describe("faulty files", () => {
  it(`has ${cases.length} cases, at least 60 with those of other files`, () => {
    expect(cases.length).toBeGreaterThanOrEqual(55);
  });

  it.each(cases)("$name", async ({ name, content, code, at, got }) => {
    const path = put(`bad/${name}`, content);
    const error = await readText({ path }).catch((thrown) => thrown);
    expect(error).toMatchObject({ code });
    expect(error.where).toContain(path);
    if (at !== undefined) expect(error.where).toContain(at);
    if (got !== undefined) expect(error.got).toContain(got);
  });

  it("missing paths, patterns without a match, empty folders and devices are told apart", async () => {
    const code = async (path: string, options?: TextOptions) =>
      (await openText({ path }, options).catch((error) => error)).code;
    mkdirSync(join(folder, "void"), { recursive: true });
    expect(await code(join(folder, "missing.txt"))).toBe("data/no-file");
    expect(await code(join(folder, "*.nothing"))).toBe("data/no-file");
    expect(await code(join(folder, "void"))).toBe("data/no-file");
    expect(await code("/dev/zero")).toBe("data/not-a-file");
  });

  it("skip leaves faulty files out and counts them; replace repairs text but never binary data", async () => {
    const paths = [
      put("mixed/1.txt", "good"),
      put("mixed/2.txt", bytes("bad", [0xff], "x")),
      put("mixed/3.txt", bytes("nul", [0])),
      put("mixed/4.txt", "end"),
    ];
    const skipped = await readText({ path: paths }, { invalid: "skip" });
    expect(skipped.text).toBe("good\nend");
    expect(skipped.report.skipped).toEqual([
      { name: paths[1], reason: "the text is not valid UTF-8: out of range" },
      { name: paths[2], reason: "this is not a text file: binary data (a NUL byte)" },
    ]);
    const replaced = await readText({ path: [paths[0], paths[1]] }, { invalid: "replace" });
    expect(replaced.text).toBe("good\nbad\ufffdx");
    expect(replaced.report.replaced).toBe(1);
    await expect(readText({ path: paths }, { invalid: "replace" })).rejects.toMatchObject({ code: "data/binary" });
    await expect(readText({ path: paths[1] }, { invalid: "skip" })).rejects.toMatchObject({ code: "data/empty" });
  });

  it("strings in memory are held to the same rules", async () => {
    await expect(readText({ texts: ["ok", "a\ud800b"] })).rejects.toMatchObject({
      code: "data/utf8",
      where: "text 2, byte 1",
    });
    await expect(readText({ text: "a\0b" })).rejects.toMatchObject({ code: "data/binary" });
    await expect(readText({ text: "" })).rejects.toMatchObject({ code: "data/empty" });
    await expect(readText({ texts: [] })).rejects.toMatchObject({ code: "data/empty" });
    expect((await readText({ text: "a\ud800b" }, { invalid: "replace" })).text).toBe("a\ufffdb");
    await expect(openText({ texts: [1 as never] })).rejects.toMatchObject({ code: "data/type" });
    await expect(openText({ texts: ["abc"] }, { maxMemoryBytes: 4 })).rejects.toMatchObject({ code: "data/too-large" });
  });

  it("CRLF is kept, a byte-order mark is not", async () => {
    const { text } = await readText({ path: put("crlf.txt", bytes([0xef, 0xbb, 0xbf], "a\r\nb\r\n")) });
    expect(text).toBe("a\r\nb\r\n");
  });

  it("one long line is read within bounded memory", async () => {
    const path = put("line.gz", gzipSync(Buffer.alloc(192 * 2 ** 20, 0x61), { level: 1 }));
    const source = await openText({ path }, { maxExpansion: 2000 });
    await scanText(await openText({ text: "warm" }));
    const before = heldBytes();
    let [pieces, peak] = [0, 0];
    const report = await scanText(source, () => {
      if (pieces++ % 16 === 0) peak = Math.max(peak, heldBytes());
    });
    expect(report.characters).toBe(192 * 2 ** 20);
    expect(pieces).toBeGreaterThan(100);
    expect(peak - before).toBeLessThan(16 * 2 ** 20);
  });
});

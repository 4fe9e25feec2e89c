// Token files: what is written is read, and every kind of damage is found.
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { FileTokens, MemoryTokens, openTokens, type TokenFileInfo, TokenWriter } from "./token-store.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "athanor-tokens-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const hash = (text: string) => createHash("sha256").update(text).digest("hex");
const infoFor = (vocabSize: number): TokenFileInfo => ({
  vocabSize,
  tokenizerHash: hash("tokenizer"),
  textHash: hash("text"),
});

async function write(name: string, chunks: Int32Array[], vocabSize: number): Promise<string> {
  const path = join(folder, name);
  const writer = new TokenWriter(path, infoFor(vocabSize));
  for (const chunk of chunks) await writer.append(chunk);
  await writer.finish();
  return path;
}
const counting = (length: number, modulus: number) => Int32Array.from({ length }, (_, i) => (i * 7919) % modulus);

describe("token files", () => {
  it.each([1, 256, 65_536, 65_537, 200_000])(
    "a vocabulary of %i is read back, from memory and in ranges",
    async (vocabSize) => {
      const ids = counting(10_000, vocabSize);
      const path = await write(`v${vocabSize}`, [ids.subarray(0, 3000), ids.subarray(3000)], vocabSize);
      expect(readFileSync(path).length).toBe(128 + 10_000 * (vocabSize <= 65_536 ? 2 : 4));
      const memory = await openTokens(path, infoFor(vocabSize));
      const file = await openTokens(path, {}, 0);
      expect(memory).toBeInstanceOf(MemoryTokens);
      expect(file).toBeInstanceOf(FileTokens);
      expect(file.fingerprint).toBe(memory.fingerprint);
      await fc.assert(
        fc.asyncProperty(fc.nat(10_000), fc.nat(300), async (start, wanted) => {
          const length = Math.min(wanted, 10_000 - start);
          const expected = ids.slice(start, start + length);
          expect(await memory.read(start, length)).toEqual(expected);
          expect(await file.read(start, length)).toEqual(expected);
          const out = new Int32Array(length + 2).fill(-7);
          await file.readInto(out, 1, start, length);
          expect([...out]).toEqual([-7, ...expected, -7]);
        }),
        { numRuns: 50 },
      );
      for (const store of [memory, file]) {
        for (const [start, length] of [
          [0, 10_001],
          [-1, 1],
          [10_000, 1],
          [0.5, 1],
          [0, Number.NaN],
        ])
          await expect(store.read(start, length)).rejects.toMatchObject({ code: "data/range" });
        await store.close();
      }
    },
  );

  it("nothing appears at the path before the file is whole", async () => {
    const path = join(folder, "unfinished");
    const writer = new TokenWriter(path, infoFor(10));
    await writer.append(Int32Array.of(1, 2, 3));
    expect(existsSync(path)).toBe(false);
    await writer.abort();
    expect(readdirSync(folder).filter((name) => name.startsWith("unfinished"))).toEqual([]);
  });

  it("an empty store is a file too", async () => {
    const store = await openTokens(await write("empty", [], 10));
    expect(store.length).toBe(0);
  });

  it("any flipped byte, any truncation, any growth is found", async () => {
    const path = await write("damage", [counting(500, 300)], 300);
    const whole = readFileSync(path);
    for (let at = 0; at < whole.length; at += at < 128 ? 1 : 37) {
      const bytes = Buffer.from(whole);
      bytes[at] ^= 1 << (at % 8);
      writeFileSync(path, bytes);
      // the tokenizer's and the text's hash are known to the caller alone
      const own = at >= 32 && at < 96;
      const error = await openTokens(path, own ? infoFor(300) : {}).catch((thrown) => thrown);
      expect(error.code, `byte ${at}`).toBe(own ? "data/stale-tokens" : "data/token-file");
    }
    for (const length of [0, 7, 127, 128, 1127]) {
      writeFileSync(path, whole);
      truncateSync(path, length);
      await expect(openTokens(path)).rejects.toMatchObject({ code: "data/token-file" });
    }
    writeFileSync(path, Buffer.concat([whole, Buffer.from([0])]));
    await expect(openTokens(path)).rejects.toMatchObject({ code: "data/token-file" });
    await expect(openTokens(join(folder, "missing"))).rejects.toMatchObject({ code: "data/token-file" });
  });

  it("a header cannot ask for more than the file holds", async () => {
    const path = await write("huge", [counting(10, 10)], 10);
    const bytes = readFileSync(path);
    for (const count of [2n ** 63n, 2n ** 64n - 1n, 2n ** 53n, 11n, 9n]) {
      bytes.writeBigUInt64LE(count, 16);
      writeFileSync(path, bytes);
      await expect(openTokens(path)).rejects.toMatchObject({ code: "data/token-file" });
    }
  });

  it("an id beyond the vocabulary is found even when the hash is right", async () => {
    const path = await write("beyond", [Int32Array.of(1, 2, 12)], 10);
    await expect(openTokens(path)).rejects.toThrow("id 12 at 2, of a vocabulary of 10");
  });
});

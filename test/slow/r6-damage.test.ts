// R6: a checkpoint cut at every 4 KiB boundary and one byte beside it, and with one random bit flipped, many times over. Each
// damage is noticed with a code and the file's name; a resume falls back to the one before and says so.
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { AthanorError, RandomStream } from "../../src/base/index.ts";
import {
  latestGood,
  loadCheckpoint,
  loadLatest,
  readManifest,
  saveCheckpoint,
  verifyCheckpoint,
} from "../../src/checkpoint/index.ts";
import { amount } from "../amount.ts";
import { difference, stateAt } from "../fault/state.ts";

const rows = 800; // four tensors of 51 kB
const random = new RandomStream(6, "damage");
let run: string;
let path: string;
let names: string[];
beforeAll(async () => {
  run = await mkdtemp(join(tmpdir(), "athanor-r6-"));
  await saveCheckpoint(run, stateAt(1, rows));
  ({ path } = await saveCheckpoint(run, stateAt(2, rows), { shardBytes: 110_000 }));
  names = ["manifest.json", ...(await readManifest(path)).files.map(({ name }) => name)];
});
afterAll(async () => await rm(run, { recursive: true }));

/** Damages one file, expects it to be noticed everywhere, and mends it. */
async function expectNoticed(
  name: string,
  change: (bytes: Buffer) => Uint8Array,
  about: string,
): Promise<AthanorError> {
  const file = join(path, name);
  const whole = await readFile(file);
  await writeFile(file, change(Buffer.from(whole)));
  try {
    const error = await loadCheckpoint(path).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof AthanorError)) throw new Error(`not noticed: ${about}`, { cause: error });
    expect(error.code, about).toMatch(/^checkpoint\/(hash|truncated|manifest|foreign)$/);
    expect(error.where, about).toContain(name);
    return error;
  } finally {
    await writeFile(file, whole);
  }
}

test("the whole file is covered: names, hashes and sizes", async () => {
  let bytes = 0;
  for (const name of names) bytes += (await stat(join(path, name))).size;
  expect(bytes).toBeGreaterThan(4 * 51_200);
  expect(names.length).toBe(5); // manifest, two shards, state, recipe
  await verifyCheckpoint(path);
});

test("cut at every 4 KiB boundary and one byte beside it", async () => {
  let cuts = 0;
  for (const name of names) {
    const { size } = await stat(join(path, name));
    for (let boundary = 0; boundary <= size + 4096; boundary += 4096) {
      for (const cut of [boundary - 1, boundary, boundary + 1]) {
        if (cut < 0 || cut >= size) continue;
        const error = await expectNoticed(name, (bytes) => bytes.subarray(0, cut), `${name} cut to ${cut}`);
        if (name.endsWith(".safetensors"))
          expect([error.code, error.where]).toEqual(["checkpoint/truncated", expect.stringContaining("tensor")]);
        cuts++;
      }
    }
  }
  console.info(`R6: ${cuts} cuts`);
});

test("one random bit, anywhere", async () => {
  const flips = amount(2000, 50);
  const places = new Map<string, number>();
  for (let i = 0; i < flips; i++) {
    // half of the flips by bytes, half by files, so that the small files are met too
    const sizes = await Promise.all(names.map(async (name) => (await stat(join(path, name))).size));
    let at = random.below(
      sizes.reduce((sum, size) => sum + size),
      i,
      0,
    );
    let file = 0;
    while (i % 2 === 0 && at >= sizes[file]!) at -= sizes[file++]!;
    if (i % 2 === 1) {
      file = random.below(names.length, i, 1);
      at = random.below(sizes[file]!, i, 2);
    }
    const name = names[file]!;
    const bit = 1 << random.below(8, i, 3);
    await expectNoticed(
      name,
      (bytes) => {
        bytes[at]! ^= bit;
        return bytes;
      },
      `bit ${bit} of byte ${at} of ${name}`,
    );
    places.set(name, (places.get(name) ?? 0) + 1);
  }
  expect(places.size).toBe(names.length);
  console.info(`R6: ${flips} flips, ${[...places].map(([name, n]) => `${name} ${n}`).join(", ")}`);
});

test("a damaged newest: the one before is found and loaded, and what was passed over is told", async () => {
  for (let i = 0; i < amount(100, 10); i++) {
    const name = names[i % names.length]!;
    const file = join(path, name);
    const whole = await readFile(file);
    const damaged = Buffer.from(whole);
    if (i % 3 === 0) await writeFile(file, whole.subarray(0, random.below(whole.length, i, 4)));
    else if (i % 3 === 1) await rm(file);
    else {
      damaged[random.below(whole.length, i, 5)]! ^= 1;
      await writeFile(file, damaged);
    }
    const found = await loadLatest(run);
    expect([found?.checkpoint.step, found?.skipped.length, found?.skipped[0]?.path]).toEqual([1, 1, path]);
    expect(found?.skipped[0]?.error.where).toContain(name);
    expect(difference(found!.checkpoint, rows)).toBeUndefined();
    expect((await latestGood(run))?.step).toBe(1);
    await writeFile(file, whole);
  }
  expect((await latestGood(run))?.step).toBe(2);
});

// The short form of the fault tests of a save, a lock and the log: real processes, killed or given errors by strace.
// The full amounts are in test/slow/r2-*, r3-*, r6-*, r17-*.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { AthanorError, RandomStream } from "../../src/base/index.ts";
import { defaultMaxHeaderBytes, loadCheckpoint, lockRun, saveCheckpoint } from "../../src/checkpoint/index.ts";
import { buildSaver } from "../fault/build.ts";
import { expectSound } from "../fault/check.ts";
import { stateAt } from "../fault/state.ts";
import { changing, listCalls, listPoints, type Point, runBroken, whyNoStrace } from "../fault/strace.ts";

let scratch: string;
let saver: string;
let run: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "athanor-faults-"));
  saver = buildSaver(join(scratch, "built"));
});
afterAll(async () => await rm(scratch, { recursive: true }));
beforeEach(async () => {
  run = await mkdtemp(join(scratch, "run-"));
});

const noStrace = whyNoStrace();
const rows = 32;
const save = (...steps: number[]) => ["save", run, String(rows), "5000", "2", ...steps.map(String)];

describe.skipIf(noStrace !== undefined)(
  `a save under strace${noStrace === undefined ? "" : ` (skipped: ${noStrace})`}`,
  () => {
    let points: Point[];
    beforeAll(async () => {
      await mkdir(join(scratch, "dry"));
      points = listPoints(saver, ["save", join(scratch, "dry"), String(rows), "5000", "2", "1", "2", "3"], 3, changing);
    });
    const last = (call: string) => points.findLast((point) => point.call === call)!;
    const first = (call: string) => points.find((point) => point.call === call)!;

    test("killed while writing, before the rename, after it, and while the oldest is deleted", async () => {
      // Node 24 makes some calls through io_uring, where strace cannot break them: 24 are left
      const fewest = Number(process.versions.node.split(".")[0]) >= 24 ? 20 : 40;
      expect(points.length).toBeGreaterThan(fewest);
      for (const point of [last("pwrite64"), first("rename"), last("fsync"), last("unlink")]) {
        run = await mkdtemp(join(scratch, "run-"));
        const { signal, told, injected } = runBroken(saver, save(1, 2, 3), point, "signal=KILL");
        expect([signal, told.map(({ step }) => step)], injected).toEqual(["SIGKILL", [1, 2]]);
        await expectSound(run, [2, 3], { atLeast: 2, rows, about: `killed at ${injected}` });
      }
    });

    // kill -9 loses no page of the cache, so only the order of the calls shows what a power cut would find
    test("every file is fsynced after its last write, then the folder, then the rename, then the parent; only then is one deleted", async () => {
      const calls = listCalls(saver, save(1, 2, 3), 3, ["pwrite64", "fsync", "rename", "unlink"]);
      const renameAt = calls.findIndex(
        ({ call, paths }) => call === "rename" && paths[1] === join(run, "checkpoints", "step-3"),
      );
      const staging = calls[renameAt]!.paths[0]!;
      const at = (call: string, path: string) =>
        calls.findLastIndex((one) => one.call === call && one.paths[0] === path);
      const names = await readdir(join(run, "checkpoints", "step-3"));
      expect(names.sort()).toEqual([
        "manifest.json",
        "recipe.yaml",
        "state.json",
        "tensors-00001-of-00002.safetensors",
        "tensors-00002-of-00002.safetensors",
      ]);
      for (const name of names) {
        expect(at("pwrite64", join(staging, name)), name).toBeGreaterThanOrEqual(0);
        expect(at("fsync", join(staging, name)), name).toBeGreaterThan(at("pwrite64", join(staging, name)));
        if (name !== "manifest.json")
          expect(at("pwrite64", join(staging, "manifest.json")), name).toBeGreaterThan(
            at("fsync", join(staging, name)),
          );
      }
      expect(at("fsync", staging)).toBeGreaterThan(at("fsync", join(staging, "manifest.json")));
      expect(renameAt).toBeGreaterThan(at("fsync", staging));
      expect(at("fsync", join(run, "checkpoints"))).toBeGreaterThan(renameAt);
      expect(calls.findIndex(({ call }) => call === "unlink")).toBeGreaterThan(at("fsync", join(run, "checkpoints")));
    });

    test("a full disk, a failing fsync and a failing rename are typed, and the next save works", async () => {
      for (const [point, change, code] of [
        [first("pwrite64"), "error=ENOSPC", "checkpoint/no-space"],
        [first("fsync"), "error=EIO", "checkpoint/io"],
        [first("rename"), "error=EROFS", "checkpoint/read-only"],
        [first("pwrite64"), "retval=7", "checkpoint/hash"], // a write that says it wrote, and did not
      ] as const) {
        run = await mkdtemp(join(scratch, "run-"));
        const { told, injected } = runBroken(saver, save(1, 2, 3, 3), point, change);
        expect(
          told.map((one) => one.code ?? one.saved),
          injected,
        ).toEqual([true, true, code, true]);
        expect(told[2]!.latest).toBe(2);
        await expectSound(run, [3], { atLeast: 2, rows, about: `${injected}` });
      }
    });

    test("a log whose writes fail goes on, tells it once, and has every line in the end", async () => {
      const file = join(run, "metrics.ndjson");
      const { told } = runBroken(saver, ["log", file, "1", "20"], { call: "pwrite64", index: 3 }, "error=ENOSPC");
      expect(told).toEqual([
        { logged: true, problems: [expect.objectContaining({ code: "track/write" })], dropped: 0 },
      ]);
      const lines = (await readFile(file, "utf8")).trimEnd().split("\n");
      expect(lines.map((line) => JSON.parse(line).step)).toEqual(Array.from({ length: 20 }, (_, i) => i + 1));
    });
  },
);

/** Starts a process that takes the lock and stays. Gives its first line and the process. */
async function startLocker() {
  const child = spawn(process.execPath, [saver, "lock", run], { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = await once(child.stdout, "data");
  return { child, told: JSON.parse(String(line)) };
}

test("a second process is refused while the first lives, and takes over after kill -9", async () => {
  const first = await startLocker();
  expect(first.told).toEqual({ locked: true });
  const second = await startLocker();
  expect(second.told).toMatchObject({
    locked: false,
    code: "run/locked",
    got: expect.stringContaining(`process ${first.child.pid} `),
  });
  await expect(lockRun(run)).rejects.toMatchObject({ code: "run/locked" });
  first.child.kill("SIGKILL");
  await once(first.child, "exit");
  const third = await startLocker();
  expect(third.told).toEqual({ locked: true });
  third.child.stdin.write("done\n");
  await once(third.child, "exit");
  await (await lockRun(run)).release();
});

test("100 flipped bits and every cut near a 4 KiB boundary are noticed", async () => {
  const { path } = await saveCheckpoint(run, stateAt(1, 200), { shardBytes: 30_000 });
  const random = new RandomStream(6, "flip");
  const { manifest } = await loadCheckpoint(path);
  const names = ["manifest.json", ...manifest.files.map(({ name }) => name)];
  const noticed = async (name: string, bytes: Uint8Array, original: Buffer) => {
    await writeFile(join(path, name), bytes);
    const error = await loadCheckpoint(path).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    await writeFile(join(path, name), original);
    if (!(error instanceof AthanorError)) throw new Error(`not noticed in ${name}`, { cause: error });
    expect(error.where).toContain(name);
  };
  for (const name of names) {
    const original = await readFile(join(path, name));
    for (let at = 0; at <= original.length; at += 4096)
      for (const cut of [at - 1, at, at + 1])
        if (cut >= 0 && cut < original.length) await noticed(name, original.subarray(0, cut), original);
  }
  for (let i = 0; i < 100; i++) {
    const name = names[random.below(names.length, i, 0)]!;
    const original = await readFile(join(path, name));
    const flipped = Buffer.from(original);
    flipped[random.below(original.length, i, 1)]! ^= 1 << random.below(8, i, 2);
    await noticed(name, flipped, original);
  }
  await loadCheckpoint(path);
});

test("a header as full as the default budget lets it be takes at most the file and 64 MiB", async () => {
  const fields: string[] = [];
  for (let i = 0; fields.length * 57 < defaultMaxHeaderBytes - 100; i++)
    fields.push(`"${i.toString(36).padStart(4, "0")}":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}`);
  const header = Buffer.from(`{${fields.join(",")}}`);
  const prefix = Buffer.alloc(8);
  prefix.writeBigUInt64LE(BigInt(header.length));
  const path = join(run, "full.safetensors");
  await writeFile(path, Buffer.concat([prefix, header]));
  // the whole of V8's heap is held to it, and the process dies where it is more; the file's bytes lie beside it
  const heap = ["--max-old-space-size=62", "--max-semi-space-size=1"];
  const child = spawn(process.execPath, [...heap, saver, "open", path], { stdio: ["ignore", "pipe", "inherit"] });
  const [line] = await once(child.stdout, "data");
  expect(JSON.parse(String(line))).toEqual({ tensors: fields.length });
});

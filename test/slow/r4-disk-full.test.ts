// R4: the disk is really full, on file systems of 8, 16 and 32 MB: a save fails with a typed error and leaves nothing, the
// log goes on and misses nothing, the record of the run stays whole, a cache of tokens holds nothing half-written; and all work again once there is space.
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, open, readdir, rm, statfs, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AthanorError } from "../../src/base/index.ts";
import { latestGood, loadCheckpoint, lockRun, saveCheckpoint } from "../../src/checkpoint/index.ts";
import { prepareText } from "../../src/data/index.ts";
import {
  createRun,
  describeEnvironment,
  MetricsLog,
  metricsName,
  readEvents,
  readRun,
  updateRun,
} from "../../src/track/index.ts";
import { difference, stateAt } from "../fault/state.ts";
import { makeText } from "../support/cli.ts";

function whyNoMount(): string | undefined {
  if (process.platform !== "linux" || process.getuid?.() !== 0) return "mounting needs Linux and root";
  try {
    execFileSync("mount", ["--version"], { stdio: "pipe" });
    execFileSync("mkfs.ext4", ["-V"], { stdio: "pipe" });
    return undefined;
  } catch (error) {
    return String(error);
  }
}

const noMount = whyNoMount();
const megabyte = 1024 * 1024;
let disk: string;

/** Leaves about `bytes` free. Gives the file that takes the rest. */
async function fill(bytes: number): Promise<string> {
  const path = join(disk, "ballast");
  const { bavail, bsize } = await statfs(disk);
  const handle = await open(path, "w");
  const block = Buffer.alloc(64 * 1024, 1);
  try {
    for (let left = bavail * bsize - bytes; left > 0; left -= block.length)
      await handle.write(block, 0, Math.min(left, block.length));
  } catch (error) {
    if (!(error instanceof Error && "code" in error && error.code === "ENOSPC")) throw error;
  } finally {
    await handle.close();
  }
  return path;
}

async function errorOf(work: Promise<unknown>): Promise<AthanorError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof AthanorError) return error;
    throw error;
  }
  throw new Error("nothing failed");
}

const disks = [8, 16, 32].flatMap((size) => [["tmpfs", size] as const, ["ext4", size] as const]);

describe.skipIf(noMount !== undefined).each(disks)(
  `R4 %s of %i MB${noMount === undefined ? "" : ` (skipped: ${noMount})`}`,
  (kind, size) => {
    let scratch: string;
    const rows = 1024 * size; // a checkpoint of about a quarter of the disk: three do not fit beside the rest
    beforeAll(async () => {
      scratch = await mkdtemp(join(tmpdir(), "athanor-r4-"));
      disk = join(scratch, "disk");
      await mkdir(disk);
      if (kind === "tmpfs") execFileSync("mount", ["-t", "tmpfs", "-o", `size=${size}m`, "tmpfs", disk]);
      else {
        const image = join(scratch, "image");
        await writeFile(image, "");
        await truncate(image, size * megabyte);
        execFileSync("mkfs.ext4", ["-q", "-m", "0", image]);
        execFileSync("mount", ["-o", "loop", image, disk]);
      }
    });
    afterAll(async () => {
      execFileSync("umount", [disk]);
      await rm(scratch, { recursive: true });
    });

    test("a save: typed error, nothing left, the old ones whole, the next save works", async () => {
      const run = join(disk, "run");
      await mkdir(run);
      for (const step of [1, 2]) await saveCheckpoint(run, stateAt(step, rows), { keep: 2 });
      for (const free of [rows * 64 * 4 - 100_000, rows * 64, 20_000, 0]) {
        const ballast = await fill(free);
        const before = await readdir(join(run, "checkpoints"));
        const error = await errorOf(saveCheckpoint(run, stateAt(3, rows), { keep: 2 }));
        expect([error.code, error.got]).toEqual(["checkpoint/no-space", expect.stringContaining("ENOSPC")]);
        expect(await readdir(join(run, "checkpoints"))).toEqual(before);
        expect((await latestGood(run))?.step).toBe(2);
        expect(difference(await loadCheckpoint(join(run, "checkpoints", "step-2")), rows)).toBeUndefined();
        await rm(ballast);
      }
      await rm(join(run, "checkpoints", "step-1"), { recursive: true });
      const saved = await saveCheckpoint(run, stateAt(3, rows), { keep: 2 });
      expect(saved.problems).toEqual([]);
      expect(difference(await loadCheckpoint(saved.path), rows)).toBeUndefined();
      expect((await readdir(join(run, "checkpoints"))).sort()).toEqual(["latest", "step-2", "step-3"]);
      await rm(run, { recursive: true });
    });

    test("the log: told once, nothing thrown, every line there in the end, what waits is bounded", async () => {
      const problems: string[] = [];
      const ballast = await fill(20_000);
      const log = await MetricsLog.open(join(disk, metricsName), {
        onProblem: ({ code }) => problems.push(code),
        maxHeldBytes: 200_000,
      });
      const append = (from: number, to: number) => {
        for (let step = from; step <= to; step++)
          log.append({ type: "step", step, loss: 1, lr: 1, gradNorm: 1, tokens: step, tokensPerSecond: 1 });
      };
      for (let i = 0; i < 10; i++) {
        append(i * 100 + 1, i * 100 + 100); // about 11 kB each
        await log.flush({ durable: true });
      }
      expect([problems, log.dropped]).toEqual([["track/write"], 0]);
      await rm(ballast);
      await log.flush({ durable: true });
      const steps = (await readEvents(disk, "step")).map(({ step }) => step);
      expect(steps).toEqual(Array.from({ length: 1000 }, (_, i) => i + 1));
      const again = await fill(0);
      append(1001, 5000);
      await log.flush();
      append(5001, 9000);
      expect(log.dropped).toBeGreaterThan(0);
      await log.close();
      await rm(again);
      await rm(join(disk, metricsName));
      expect(problems.length).toBe(2); // the first failed write and, at the end, the lines that are lost
    });

    test("the record and the lock: refused with a typed error, the old record whole", async () => {
      const run = {
        recipe: { note: "x".repeat(20_000) },
        recipeHash: "",
        dataHash: "",
        environment: await describeEnvironment({ athanor: "0", isa: "", threads: 1 }),
      };
      const { folder } = await createRun({ root: join(disk, "runs"), label: "a" }, run);
      const ballast = await fill(0);
      expect((await errorOf(updateRun(folder, { step: 5, origin: "y".repeat(60_000) }))).code).toBe("run/disk");
      expect(
        (await errorOf(createRun({ root: join(disk, "runs"), label: "b" }, { ...run, origin: "y".repeat(200_000) })))
          .code,
      ).toBe("run/disk");
      expect((await readRun(folder)).record.step).toBe(0);
      expect(await readdir(join(disk, "runs"))).toEqual([folder.split("/").at(-1)]);
      await lockRun(folder).then(
        (lock) => lock.release(), // ext4 keeps a few blocks back
        (error: AthanorError) => expect(error.code).toBe("checkpoint/no-space"),
      );
      await rm(ballast);
      await updateRun(folder, { step: 5 });
      expect((await readRun(folder)).record.step).toBe(5);
      expect((await readdir(folder)).sort()).toEqual(["run.json"]);
      await rm(join(disk, "runs"), { recursive: true });
    });

    test("cached tokens: a typed error, no part of a file left, and made whole once there is room", async () => {
      const text = makeText(400_000);
      const prepared = async (cacheFolder?: string) => {
        const cache = cacheFolder === undefined ? {} : { cacheFolder };
        const { train, validation, report } = await prepareText({ text }, { tokenizer: { bpe: 300 }, ...cache });
        const ids = [await train.read(0, train.length), await validation.read(0, validation.length)];
        await Promise.all([train.close(), validation.close()]);
        return { ids, cached: report.cached };
      };
      const { ids } = await prepared();
      const bytes = 2 * ids[0]!.length;
      const cache = join(disk, "cache");
      await mkdir(cache); // a folder that cannot be made has other errors on other file systems
      for (const free of [0, 8_000, 40_000, bytes / 2, bytes + 16_000]) {
        const ballast = await fill(free);
        const error = await errorOf(prepared(cache));
        expect([error.code, error.got]).toEqual(["data/cache", expect.stringContaining("ENOSPC")]);
        expect(Object.values(error.toJSON())).not.toContain(undefined);
        const left = await readdir(cache);
        expect(left.filter((name) => name.includes(".tmp-"))).toEqual([]);
        await rm(ballast);
      }
      expect(await prepared(cache)).toEqual({ ids, cached: false });
      expect(await prepared(cache)).toEqual({ ids, cached: true });
      await rm(cache, { recursive: true });
    });
  },
);

// The run folder's lock inside one process, and against owners that are made up. Real second processes: test/pure/run-lock.test.ts.
import { mkdtemp, readdir, readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { AthanorError } from "../base/index.ts";
import { type LockOwner, lockRun, readLock, saveCheckpoint } from "./index.ts";
import { currentProcess, liveness } from "./process-identity.ts";

let run: string;
beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), "athanor-lock-"));
});
afterEach(async () => await rm(run, { recursive: true }));

async function refusal(work: Promise<unknown>): Promise<AthanorError> {
  try {
    await work;
  } catch (error) {
    if (error instanceof AthanorError) return error;
    throw error;
  }
  throw new Error("it was not refused");
}

const owner = (change: Partial<LockOwner>): LockOwner => ({
  ...currentProcess(),
  nonce: "0123456789abcdef",
  since: "2026-01-01T00:00:00.000Z",
  ...change,
});
const leave = (change: Partial<LockOwner>, name = "run.lock") =>
  writeFile(join(run, name), JSON.stringify(owner(change)));

test("a second taker is refused with the owner's name, and may have it after the release", async () => {
  const lock = await lockRun(run);
  const error = await refusal(lockRun(run));
  expect(error.code).toBe("run/locked");
  expect(error.got).toContain(`process ${process.pid} on `);
  expect(error.fix).toContain(`kill ${process.pid}`);
  expect((await readLock(run))?.liveness).toBe("alive");
  await lock.check();
  await lock.release();
  await lock.release();
  expect(lock.held).toBe(false);
  expect(await readdir(run)).toEqual([]);
  expect(await readLock(run)).toBeUndefined();
  await (await lockRun(run)).release();
});

test("of many takers at once exactly one gets a free lock, and exactly one a dead owner's", async () => {
  for (const before of ["free", "dead", "dead claim"]) {
    if (before !== "free") await leave({ pid: 999_999_999 });
    if (before === "dead claim")
      await leave({ pid: 999_999_998, nonce: "f".repeat(16) }, ".run.lock.claim-0123456789abcdef");
    const results = await Promise.allSettled(Array.from({ length: 12 }, () => lockRun(run)));
    const won = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    expect(won.length, before).toBe(1);
    for (const result of results)
      if (result.status === "rejected") expect((result.reason as AthanorError).code).toBe("run/locked");
    await won[0]!.check();
    expect(await readdir(run)).toEqual(["run.lock"]);
    await won[0]!.release();
  }
});

test("the process id of a dead owner may be in use again: the start time tells", async () => {
  expect(liveness(owner({}))).toBe("alive");
  expect(liveness(owner({ started: "1" }))).toBe("dead");
  expect(liveness(owner({ pid: 999_999_999 }))).toBe("dead");
});

test("after a reboot of this machine the owner is dead; of another machine or container one cannot know", () => {
  expect(liveness(owner({ boot: "other boot" }))).toBe("dead");
  expect(liveness(owner({ boot: "other boot", host: "elsewhere/1" }))).toBe("unknown");
  expect(liveness(owner({ pidSpace: "pid:[1]" }))).toBe("unknown");
});

test("an owner who cannot be seen is watched: a sign of life refuses, silence is taken over", async () => {
  await leave({ pidSpace: "pid:[1]", pid: 1 });
  const beat = setInterval(() => void utimes(join(run, "run.lock"), new Date(), new Date()), 50);
  const error = await refusal(lockRun(run, { watchMs: 2000 }));
  clearInterval(beat);
  expect([error.code, error.fix]).toEqual(["run/locked", expect.stringContaining("container")]);
  const lock = await lockRun(run, { watchMs: 300 });
  await lock.check();
  await lock.release();
});

test("a lock that another one took over meanwhile is not taken from it", async () => {
  const path = join(run, "run.lock");
  await leave({ pidSpace: "pid:[1]", pid: 1 });
  await utimes(path, 1000, 1000);
  const attempt = refusal(lockRun(run, { watchMs: 3000 }));
  await sleep(500);
  await leave({ nonce: "ab".repeat(8) }, "new"); // this process, with another lock, and no change that the watch can see
  await utimes(join(run, "new"), 1000, 1000);
  await rename(join(run, "new"), path);
  expect((await attempt).code).toBe("run/locked");
  expect((await readLock(run))?.owner.nonce).toBe("ab".repeat(8));
  expect(await readdir(run)).toEqual(["run.lock"]);
});

test("a lock that names no owner is not guessed at", async () => {
  for (const text of ["{}", "null", '{"pid":1}', "\0x"]) {
    await writeFile(join(run, "run.lock"), text);
    const error = await refusal(lockRun(run));
    expect([error.code, error.fix]).toEqual(["run/locked", "delete this file if no run is using the folder"]);
    expect(await readFile(join(run, "run.lock"), "utf8")).toBe(text);
  }
});

test("an empty lock, as a power cut leaves it, is watched like one whose owner cannot be seen, and so is an empty claim", async () => {
  const path = join(run, "run.lock");
  for (const text of ["", "\0".repeat(200)]) {
    await writeFile(path, text);
    const beat = setInterval(() => void utimes(path, new Date(), new Date()), 50);
    expect((await refusal(lockRun(run, { watchMs: 2000 }))).got).toBe("an empty lock that changes");
    clearInterval(beat);
    const nonce = (await stat(path)).ino.toString(16).padStart(16, "0");
    await writeFile(join(run, `.run.lock.claim-${nonce}`), "");
    const results = await Promise.allSettled([1, 2, 3].map(() => lockRun(run, { watchMs: 300 })));
    const won = results.flatMap((result) => (result.status === "fulfilled" ? [result.value] : []));
    expect(won.length).toBe(1);
    await won[0]!.check();
    expect(await readdir(run)).toEqual(["run.lock"]);
    await won[0]!.release();
  }
});

test("a lock that was lost is noticed before a save, and its release leaves the other's alone", async () => {
  const lock = await lockRun(run);
  const content = { step: 1, tensors: [], state: {}, provenance: { codeVersion: "", isa: "", recipeHash: "" } };
  await saveCheckpoint(run, content, { lock });
  await rm(lock.path);
  const other = await lockRun(run);
  expect((await refusal(saveCheckpoint(run, { ...content, step: 2 }, { lock }))).code).toBe("run/lock-lost");
  await lock.release();
  await other.check();
  await other.release();
  expect((await refusal(other.check())).code).toBe("run/lock-lost");
});

test("a missing folder is the disk's error", async () => {
  expect((await refusal(lockRun(join(run, "absent")))).code).toBe("checkpoint/missing");
});

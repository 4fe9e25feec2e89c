// R17: two runs on one folder. One is refused while the other lives, stopped or not; the lock of a killed one is taken over,
// by one only.
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { lockRun, readLock, saveCheckpoint } from "../../src/checkpoint/index.ts";
import { amount } from "../amount.ts";
import { buildSaver } from "../fault/build.ts";
import { expectSound } from "../fault/check.ts";
import { stateAt } from "../fault/state.ts";

let scratch: string;
let saver: string;
let run: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "athanor-r17-"));
  saver = buildSaver(join(scratch, "built"));
});
afterAll(async () => await rm(scratch, { recursive: true }));
beforeEach(async () => {
  run = await mkdtemp(join(scratch, "run-"));
});

interface Locker {
  readonly child: ChildProcessByStdio<Writable, Readable, null>;
  readonly told: { readonly locked: boolean; readonly code?: string; readonly got?: string };
}

async function startLocker(): Promise<Locker> {
  const child = spawn(process.execPath, [saver, "lock", run], { stdio: ["pipe", "pipe", "inherit"] });
  const [line] = await once(child.stdout, "data");
  return { child, told: JSON.parse(String(line)) };
}

async function kill({ child }: Locker): Promise<void> {
  child.kill("SIGKILL");
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

const amountOfRounds = () => amount(10, 2);

describe("R17", () => {
  test("refused while the owner lives, taken over after kill -9", async () => {
    for (let round = 0; round < amountOfRounds(); round++) {
      const owner = await startLocker();
      expect(owner.told.locked, `round ${round}`).toBe(true);
      const second = await startLocker();
      expect(second.told).toMatchObject({
        locked: false,
        code: "run/locked",
        got: expect.stringContaining(`process ${owner.child.pid} `),
      });
      await kill(owner);
      expect((await readLock(run))?.liveness).toBe("dead");
      const heir = await lockRun(run);
      await heir.check();
      await heir.release();
      expect(await readdir(run)).toEqual([]);
    }
  });

  test("of six that come at once after a kill, or to a free folder, one gets it", async () => {
    for (let round = 0; round < amountOfRounds(); round++) {
      if (round % 2 === 0) await kill(await startLocker());
      const lockers = await Promise.all(Array.from({ length: 6 }, startLocker));
      const winners = lockers.filter(({ told }) => told.locked);
      expect(winners.length, `round ${round}`).toBe(1);
      for (const { told } of lockers) if (!told.locked) expect(told.code).toBe("run/locked");
      for (const locker of lockers) await kill(locker);
      expect(await readdir(run)).toEqual(["run.lock"]);
      await (await lockRun(run)).release();
    }
  });

  test("a stopped owner is not a dead one", async () => {
    const owner = await startLocker();
    owner.child.kill("SIGSTOP");
    await expect(lockRun(run)).rejects.toMatchObject({ code: "run/locked" });
    owner.child.kill("SIGCONT");
    owner.child.stdin.write("done\n");
    await once(owner.child, "exit");
    await (await lockRun(run)).release();
  });

  test("an owner that was replaced saves no more", async () => {
    const lock = await lockRun(run);
    await saveCheckpoint(run, stateAt(1), { lock });
    await rm(lock.path); // someone mends by hand what was not broken
    const other = await startLocker();
    expect(other.told.locked).toBe(true);
    await expect(saveCheckpoint(run, stateAt(2), { lock })).rejects.toMatchObject({ code: "run/lock-lost" });
    await kill(other);
    await lock.release();
    await (await lockRun(run)).release();
    await expectSound(run, [1], { atLeast: 1, rows: 64, about: "replaced" });
  });

  test("a claim that a killed process left does not block, nor does its candidate", async () => {
    const owner = await startLocker();
    await kill(owner);
    const dead = (await readLock(run))!.owner;
    const claimant = { ...dead, nonce: "ab".repeat(8) };
    await writeFile(join(run, `.run.lock.claim-${dead.nonce}`), JSON.stringify(claimant));
    await writeFile(join(run, `.run.lock.${"cd".repeat(8)}`), JSON.stringify({ ...dead, nonce: "cd".repeat(8) }));
    const lock = await lockRun(run);
    expect(await readdir(run)).toEqual(["run.lock"]);
    await lock.release();
  });
});

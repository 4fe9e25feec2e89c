// R2: the process is killed at every system call of a save that also deletes an old checkpoint. Whoever comes next finds
// the previous state or the new one, whole, and can save at once.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { amount } from "../amount.ts";
import { buildSaver } from "../fault/build.ts";
import { expectSound } from "../fault/check.ts";
import { changing, listPoints, reading, runBroken, thin, whyNoStrace } from "../fault/strace.ts";

const noStrace = whyNoStrace();
const rows = 64;
let scratch: string;
let saver: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "athanor-r2-"));
  saver = buildSaver(join(scratch, "built"));
});
afterAll(async () => await rm(scratch, { recursive: true }));

describe.skipIf(noStrace !== undefined)(`R2${noStrace === undefined ? "" : ` (skipped: ${noStrace})`}`, () => {
  test("killed at every call of a sharded save", async () => {
    const args = (run: string) => ["save", run, String(rows), "9000", "2", "1", "2", "3"];
    const dry = join(scratch, "dry");
    await mkdir(dry);
    const points = listPoints(saver, args(dry), 3, [...changing, ...reading]);
    expect(points.length).toBeGreaterThan(100);
    for (const point of thin(points, amount(points.length, 10))) {
      const run = await mkdtemp(join(scratch, "run-"));
      const { signal, told, injected } = runBroken(saver, args(run), point, "signal=KILL");
      const about = `${point.call} ${point.index}: ${injected}`;
      expect([signal, told.slice(0, 2).map(({ saved }) => saved)], about).toEqual(["SIGKILL", [true, true]]);
      await expectSound(run, [2, 3], { atLeast: 2, rows, about });
      await rm(run, { recursive: true });
    }
    console.info(`R2: ${Math.min(points.length, amount(points.length, 10))} of ${points.length} points`);
  });

  test("killed at every call of the first save of a run: nothing, or the whole of it", async () => {
    const args = (run: string) => ["save", run, String(rows), "1000000", "2", "1"];
    const dry = join(scratch, "dry-first");
    await mkdir(dry);
    const points = listPoints(saver, args(dry), 1, changing);
    expect(points.length).toBeGreaterThan(20);
    for (const point of thin(points, amount(points.length, 5))) {
      const run = await mkdtemp(join(scratch, "run-"));
      const { signal, injected } = runBroken(saver, args(run), point, "signal=KILL");
      expect(signal, `${injected}`).toBe("SIGKILL");
      await expectSound(run, [undefined, 1], { atLeast: 0, rows, about: `${injected}` });
      await rm(run, { recursive: true });
    }
  });
});

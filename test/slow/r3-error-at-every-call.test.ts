// R3: an error at every system call of a save, once and from there on. The saver stays alive, its error is typed, what stood
// before stands, and the next save works as soon as the disk does.
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { amount } from "../amount.ts";
import { buildSaver } from "../fault/build.ts";
import { expectSound } from "../fault/check.ts";
import { listPoints, type Outcome, type Point, runBroken, thin, whyNoStrace } from "../fault/strace.ts";

const noStrace = whyNoStrace();
const rows = 64;
let scratch: string;
let saver: string;
let points: Point[];
// step 3 twice: a retry when the first failed, else a state that is there already; the first is broken
const args = (run: string) => ["save", run, String(rows), "9000", "2", "1", "2", "3", "3", "4"];

beforeAll(async () => {
  if (noStrace !== undefined) return;
  scratch = await mkdtemp(join(tmpdir(), "athanor-r3-"));
  saver = buildSaver(join(scratch, "built"));
  await mkdir(join(scratch, "dry"));
  points = listPoints(saver, args(join(scratch, "dry")).slice(0, -2), 3, [
    ...new Set(transient.flatMap(([calls]) => calls)),
  ]);
});
afterAll(async () => {
  if (scratch !== undefined) await rm(scratch, { recursive: true });
});

const transient: readonly (readonly [calls: readonly string[], changes: readonly string[]])[] = [
  [["pwrite64"], ["error=ENOSPC", "error=EIO", "error=EDQUOT", "retval=1", "retval=0"]],
  [["fsync"], ["error=EIO", "error=ENOSPC", "error=EDQUOT"]],
  [
    ["mkdir", "rename"],
    ["error=ENOSPC", "error=EIO", "error=EDQUOT", "error=EROFS"],
  ],
  [["openat"], ["error=EIO", "error=EMFILE"]],
  [["close"], ["error=EIO", "error=EDQUOT"]],
  [
    ["unlink", "rmdir"],
    ["error=EIO", "error=EROFS"],
  ],
  [["pread64", "statx", "getdents64"], ["error=EIO"]],
];
const persistent: readonly (readonly [calls: readonly string[], changes: readonly string[]])[] = [
  [
    ["pwrite64", "fsync", "mkdir", "rename"],
    ["error=ENOSPC", "error=EIO", "error=EDQUOT"],
  ],
  [["unlink", "rmdir"], ["error=EIO"]],
];

function expectTyped({ signal, told, injected, stderr }: Outcome, about: string): void {
  expect([signal, stderr], about).toEqual([null, ""]);
  expect(injected, about).toBeDefined();
  expect(told.length, about).toBe(5);
  for (const one of told) {
    if (!one.saved) expect(one.code, about).toMatch(/^(checkpoint|safetensors)\//);
    if (!one.saved) expect([2, 3], about).toContain(one.latest);
    for (const problem of one.problems ?? []) expect(problem.code, about).toMatch(/^checkpoint\//);
  }
}

describe.skipIf(noStrace !== undefined)(`R3${noStrace === undefined ? "" : ` (skipped: ${noStrace})`}`, () => {
  test.each(transient)("once, at every %s", async (calls, changes) => {
    let count = 0;
    for (const change of changes) {
      const mine = points.filter((point) => calls.includes(point.call));
      for (const point of thin(mine, amount(mine.length, 1))) {
        const run = await mkdtemp(join(scratch, "run-"));
        const outcome = runBroken(saver, args(run), point, change);
        const about = `${change}, ${outcome.injected}`;
        expectTyped(outcome, about);
        const failed = outcome.told.flatMap(({ saved }, i) => (saved ? [] : [i]));
        expect([[], [2]], about).toContainEqual(failed); // at most one, and neither before nor after
        await expectSound(run, [4], { atLeast: 2, rows, about });
        await rm(run, { recursive: true });
        count++;
      }
    }
    console.info(`R3 once: ${count} runs at ${calls}`);
  });

  test.each(persistent)("from there on, at every %s", async (calls, changes) => {
    for (const change of changes) {
      const mine = points.filter((point) => calls.includes(point.call));
      for (const point of thin(mine, amount(mine.length, 1))) {
        const run = await mkdtemp(join(scratch, "run-"));
        const outcome = runBroken(saver, args(run), point, change, { onward: true });
        const about = `${change} onward, ${outcome.injected}`;
        expectTyped(outcome, about);
        await expectSound(run, [2, 3, 4], { atLeast: 2, rows, about });
        await rm(run, { recursive: true });
      }
    }
  });
});

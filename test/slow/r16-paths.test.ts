// R16: run folders that cannot be used, and odd ones that can. Each refusal is a typed error that leaves nothing half-made.
import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AthanorError } from "../../src/base/index.ts";
import { latestGood, lockRun, saveCheckpoint } from "../../src/checkpoint/index.ts";
import { createRun, describeEnvironment, MetricsLog, metricsName, readRun } from "../../src/track/index.ts";
import { buildSaver } from "../fault/build.ts";
import { expectSound } from "../fault/check.ts";
import { stateAt } from "../fault/state.ts";
import { listPoints, runBroken, whyNoStrace } from "../fault/strace.ts";

let scratch: string;
beforeAll(async () => {
  scratch = await mkdtemp(join(tmpdir(), "athanor-r16-"));
});
afterAll(async () => await rm(scratch, { recursive: true }));

async function codeOf(work: () => Promise<unknown>): Promise<string> {
  try {
    await work();
  } catch (error) {
    if (error instanceof AthanorError) return error.code;
    throw error;
  }
  return "ok";
}

/** What each of the four that write into a run folder says of a folder. */
async function codesAt(folder: string): Promise<string[]> {
  const environment = await describeEnvironment({ athanor: "0", isa: "", threads: 1 });
  const run = { recipe: {}, recipeHash: "", dataHash: "", environment };
  return [
    await codeOf(async () => (await lockRun(folder)).release()),
    await codeOf(() => saveCheckpoint(folder, stateAt(1))),
    await codeOf(async () => (await MetricsLog.open(join(folder, metricsName))).close()),
    await codeOf(() => createRun({ root: folder, label: "a" }, run)),
  ];
}

const asRoot = process.platform === "linux" && process.getuid?.() === 0;

describe("refused", () => {
  test("a missing folder: only the maker of runs may make it", async () => {
    const folder = join(scratch, "absent");
    expect(await codesAt(folder)).toEqual(["checkpoint/missing", "checkpoint/missing", "track/open", "ok"]);
  });

  test.each([
    ["a file", async (path: string) => await writeFile(path, "mine")],
    ["a circle of links", async (path: string) => await symlink(path, path)],
    ["a name of 300 characters", async () => undefined, "x".repeat(300)],
    ["a path of 4,096 characters", async () => undefined, Array.from({ length: 41 }, () => "y".repeat(99)).join("/")],
    ["a path with NUL", async () => undefined, "a\0b"],
  ])("%s", async (_, make, name = "place") => {
    const path = join(scratch, name);
    await make(path);
    const codes = await codesAt(path);
    expect(codes).toEqual(["checkpoint/path", "checkpoint/path", "track/open", "run/disk"]);
    const left = await readdir(scratch);
    await rm(path, { force: true }).catch(() => undefined);
    expect(left.filter((one) => one !== "absent" && one !== name)).toEqual([]);
  });

  test.skipIf(asRoot)("a folder without write permission (root writes anyway: skipped for root)", async () => {
    const folder = join(scratch, "closed");
    await mkdir(folder);
    await chmod(folder, 0o555);
    expect(await codesAt(folder)).toEqual(["checkpoint/denied", "checkpoint/denied", "track/open", "run/disk"]);
    expect(await readdir(folder)).toEqual([]);
    await chmod(folder, 0o755);
    await rm(folder, { recursive: true });
  });

  test.skipIf(!asRoot)("a read-only file system, and one without inodes (mounting needs root)", async () => {
    for (const [options, code] of [
      ["ro", "checkpoint/read-only"],
      ["nr_inodes=2", "checkpoint/no-space"],
    ] as const) {
      const disk = join(scratch, "disk");
      await mkdir(disk);
      execFileSync("mount", ["-t", "tmpfs", "-o", options, "tmpfs", disk]);
      try {
        const folder = options === "ro" ? disk : join(disk, "only");
        if (options !== "ro") await mkdir(folder); // the disk's root and this folder: no inode is left
        expect(await codesAt(folder), options).toEqual([code, code, "track/open", "run/disk"]);
        expect(await readdir(folder)).toEqual([]);
      } finally {
        execFileSync("umount", [disk]);
        await rm(disk, { recursive: true });
      }
    }
  });

  test("a file where the checkpoints should be", async () => {
    const run = await mkdtemp(join(scratch, "run-"));
    await writeFile(join(run, "checkpoints"), "mine");
    expect(await codeOf(() => saveCheckpoint(run, stateAt(1)))).toBe("checkpoint/path");
    expect(await codeOf(() => latestGood(run))).toBe("checkpoint/path");
    expect(await readdir(run)).toEqual(["checkpoints"]);
    await rm(run, { recursive: true });
  });
});

describe("odd, but fine", () => {
  test.each(["with space", "火と土 é", "-dash", "a'b\"c$d`e", "new\nline", "x".repeat(200)])(
    "a folder called %j",
    async (name) => {
      const folder = join(scratch, name);
      await mkdir(folder);
      expect(await codesAt(folder)).toEqual(["ok", "ok", "ok", "ok"]);
      await expectSound(folder, [1], { atLeast: 1, rows: 64, about: name });
      await rm(folder, { recursive: true });
    },
  );

  test("a relative path, a trailing slash, a link, and checkpoints on another disk by a link", async () => {
    const folder = await mkdtemp(join(scratch, "run-"));
    await symlink(folder, join(scratch, "link"));
    await mkdir(join(scratch, "elsewhere"));
    await symlink(join(scratch, "elsewhere"), join(folder, "checkpoints"));
    await saveCheckpoint(`${relative(process.cwd(), folder)}/`, stateAt(1));
    await saveCheckpoint(join(scratch, "link"), stateAt(2));
    expect((await latestGood(folder))?.step).toBe(2);
    expect((await readdir(join(scratch, "elsewhere"))).sort()).toEqual(["latest", "step-1", "step-2"]);
    await expectSound(join(scratch, "link"), [2], { atLeast: 2, rows: 64, about: "link" });
  });

  test("a run made in a place that is not there yet", async () => {
    const environment = await describeEnvironment({ athanor: "0", isa: "", threads: 1 });
    const run = { recipe: {}, recipeHash: "", dataHash: "", environment };
    const { folder } = await createRun({ folder: join(scratch, "a", "b", "c") }, run);
    expect((await readRun(folder)).record.name).toBe("c");
  });
});

const noStrace = whyNoStrace();
test.skipIf(noStrace !== undefined)(
  `a rename that fails as on a network disk${noStrace === undefined ? "" : ` (skipped: ${noStrace})`}`,
  async () => {
    const saver = buildSaver(join(scratch, "built"));
    const args = (run: string) => ["save", run, "64", "100000", "2", "1", "2", "2"];
    const dry = await mkdtemp(join(scratch, "dry-"));
    const [rename] = listPoints(saver, args(dry), 2, ["rename"]);
    for (const error of ["ESTALE", "EXDEV", "EBUSY", "EACCES", "EDQUOT"]) {
      const run = await mkdtemp(join(scratch, "run-"));
      // the first try of step 2 meets the error; the second is a save like any other
      const { told, injected } = runBroken(saver, args(run), rename!, `error=${error}`);
      expect(
        told.map(({ saved }) => saved),
        `${injected}`,
      ).toEqual([true, false, true]);
      expect([told[1]?.code, told[1]?.latest]).toEqual([expect.stringMatching(/^checkpoint\//), 1]);
      await expectSound(run, [2], { atLeast: 2, rows: 64, about: error });
    }
  },
);

// The run folder: names, the record, the list of runs, the environment.
import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import {
  createRun,
  describeEnvironment,
  findCommit,
  listRuns,
  type NewRun,
  readRun,
  restartRun,
  runName,
  updateRun,
} from "./index.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "athanor-run-"));
});
afterEach(async () => await rm(root, { recursive: true }));

async function newRun(): Promise<NewRun> {
  return {
    recipe: { model: { gpt: { layers: 4 } }, seed: 1 },
    recipeHash: "ab",
    dataHash: "cd",
    environment: await describeEnvironment({ athanor: "0.1.0", isa: "avx2", threads: 2 }),
  };
}

describe("names", () => {
  test("sort by day and, within a day and label, by second", () => {
    const names: string[] = [];
    for (const time of ["2025-12-31T23:59:59Z", "2026-11-22T00:00:00Z", "2026-11-22T00:00:01Z", "2026-11-22T23:59:59Z"])
      for (const draw of [0, 0.5, 0.999]) names.push(runName("GPT", new Date(time), draw));
    expect(names.toSorted()).toEqual(names);
    expect(new Set(names).size).toBe(names.length);
    for (const name of names) expect(name).toMatch(/^\d{4}-\d\d-\d\d-gpt-[0-9a-z]{4}$/);
    expect(runName("a", new Date(-1000), 0.5)).toMatch(/^1969-12-31-a-[0-9a-z]{4}$/);
  });

  test("make one folder name of any label", () => {
    const label = (text: string) => runName(text, new Date(0), 0).slice("1970-01-01-".length, -"-0000".length);
    expect([label("GPT-2 small/α"), label("../.."), label(""), label("-x-")]).toEqual([
      "gpt-2-small",
      "run",
      "run",
      "x",
    ]);
    expect(label("long ".repeat(30)).length).toBeLessThanOrEqual(40);
  });

  test("a hundred runs in one second are a hundred folders", async () => {
    const run = await newRun();
    const now = new Date("2026-11-22T12:00:00Z");
    const made = await Promise.all(Array.from({ length: 100 }, () => createRun({ root, label: "gpt" }, run, now)));
    expect(new Set(made.map(({ folder }) => folder)).size).toBe(100);
    expect((await listRuns(root)).runs.length).toBe(100);
  });
});

describe("the record", () => {
  test("holds what was given, and changes whole", async () => {
    const run = await newRun();
    const { folder, record } = await createRun({ root: join(root, "deep", "runs"), label: "gpt" }, run);
    expect((await readRun(folder)).record).toEqual(record);
    expect(record).toMatchObject({ ...run, status: "running", step: 0, starts: [{ step: 0 }] });
    await updateRun(folder, { status: "finished", step: 300, result: { loss: 1.5, hash: "ef" } });
    expect((await readRun(folder)).record).toEqual({
      ...record,
      status: "finished",
      step: 300,
      result: { loss: 1.5, hash: "ef" },
    });
    expect(await readdir(folder)).toEqual(["run.json"]);
    await updateRun(folder, { result: { loss: Number.NaN, evalLoss: Number.POSITIVE_INFINITY, hash: "ef" } });
    expect((await readRun(folder)).record.result).toEqual({
      loss: Number.NaN,
      evalLoss: Number.POSITIVE_INFINITY,
      hash: "ef",
    });
  });

  test("a run that is started again is running, and keeps its past starts", async () => {
    const { folder } = await createRun({ root, label: "gpt" }, await newRun(), new Date(0));
    await updateRun(folder, { status: "failed", step: 70, error: { code: "run/nan", message: "NaN" } });
    await restartRun(folder, 60, new Date(1000));
    const { record } = await readRun(folder);
    expect(record).not.toHaveProperty("error");
    expect([record.status, record.step, record.starts]).toEqual([
      "running",
      60,
      [
        { at: "1970-01-01T00:00:00.000Z", step: 0 },
        { at: "1970-01-01T00:00:01.000Z", step: 60 },
      ],
    ]);
  });

  test("a given folder must be free, but for the run's lock", async () => {
    const run = await newRun();
    const folder = join(root, "with space 火");
    await mkdir(folder);
    await writeFile(join(folder, "run.lock"), "");
    await createRun({ folder }, run);
    await expect(createRun({ folder }, run)).rejects.toMatchObject({
      code: "run/exists",
      fix: expect.stringContaining("--resume"),
    });
    await writeFile(join(root, "mine.txt"), "precious");
    await expect(createRun({ folder: root }, run)).rejects.toMatchObject({ code: "run/exists" });
    expect(await readFile(join(root, "mine.txt"), "utf8")).toBe("precious");
  });

  test("places that cannot be are refused and leave nothing", async () => {
    const run = await newRun();
    await writeFile(join(root, "file"), "");
    await symlink("loop", join(root, "loop"));
    for (const folder of [
      join(root, "file", "x"),
      join(root, "file"),
      join(root, "loop", "x"),
      join(root, "x".repeat(300)),
      `${root}/\0`,
    ])
      await expect(createRun({ folder }, run), folder).rejects.toMatchObject({ code: "run/disk" });
    expect((await readdir(root)).sort()).toEqual(["file", "loop"]);
  });

  test.runIf(process.platform === "linux")("a folder that /proc does not take is an error, not a wait", async () => {
    const run = await newRun();
    for (const folder of ["/proc/nope", "/proc/nope/x"])
      await expect(createRun({ folder }, run)).rejects.toMatchObject({ code: "run/disk", where: folder });
  });

  test("what is no record is said to be none", async () => {
    await expect(readRun(root)).rejects.toMatchObject({ code: "run/missing" });
    const { folder } = await createRun({ root, label: "a" }, await newRun());
    const text = await readFile(join(folder, "run.json"), "utf8");
    for (const [damaged, code] of [
      ["", "run/foreign"],
      [text.slice(0, -20), "run/foreign"],
      ["{}", "run/foreign"],
      ["[]", "run/foreign"],
      [text.replace('"running"', '"dancing"'), "run/foreign"],
      [text.replace('"version": 1', '"version": 2'), "run/version"],
    ] as const) {
      await writeFile(join(folder, "run.json"), damaged);
      await expect(readRun(folder)).rejects.toMatchObject({ code });
    }
    const { runs, unreadable } = await listRuns(root);
    expect([runs.length, unreadable.map((one) => one.error.code)]).toEqual([0, ["run/version"]]);
  });

  test("the list is in order of creation and passes over other folders", async () => {
    const run = await newRun();
    await mkdir(join(root, "other"));
    for (const [label, day] of [
      ["b", 2],
      ["a", 3],
      ["c", 1],
    ] as const)
      await createRun({ root, label }, run, new Date(Date.UTC(2026, 0, day)));
    expect((await listRuns(root)).runs.map(({ record }) => record.name.slice(0, 12))).toEqual([
      "2026-01-01-c",
      "2026-01-02-b",
      "2026-01-03-a",
    ]);
    expect(await listRuns(join(root, "absent"))).toEqual({ runs: [], unreadable: [] });
  });
});

describe("the environment", () => {
  test("tells the machine", async () => {
    const environment = await describeEnvironment({ athanor: "0.1.0", isa: "avx2", threads: 2 });
    expect(environment).toMatchObject({ athanor: "0.1.0", isa: "avx2", threads: 2, node: process.versions.node });
    expect(environment.cores).toBeGreaterThan(0);
    expect(environment).not.toHaveProperty("gitCommit");
  });

  test("finds the commit as git does: loose, packed, detached, in a linked work tree, from a folder below", async () => {
    const git = (...args: string[]) =>
      execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", "-C", join(root, "repo"), ...args], {
        encoding: "utf8",
      }).trim();
    await mkdir(join(root, "repo", "below", "it"), { recursive: true });
    git("init", "-q", "-b", "main/line");
    expect(await findCommit(join(root, "repo"))).toBeUndefined(); // no commit yet
    git("commit", "-q", "--allow-empty", "-m", "one");
    const head = git("rev-parse", "HEAD");
    expect(await findCommit(join(root, "repo", "below", "it"))).toBe(head);
    git("worktree", "add", "-q", join(root, "linked"), "-b", "other");
    expect(await findCommit(join(root, "linked"))).toBe(head);
    git("pack-refs", "--all");
    expect(await findCommit(join(root, "repo"))).toBe(head);
    expect(await findCommit(join(root, "linked"))).toBe(head);
    git("checkout", "-q", "--detach");
    expect(await findCommit(join(root, "repo"))).toBe(head);
    expect(await findCommit(root)).toBeUndefined();
  });
});

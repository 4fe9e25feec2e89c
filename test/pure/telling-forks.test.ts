// A test process that dies is told of with its signal or code and its file; one that ends as it should is not.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, expect, it } from "vitest";

const folder = mkdtempSync(join(tmpdir(), "athanor-telling-forks-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it("names how it ended and where", () => {
  const pool = JSON.stringify(resolve("test/support/telling-forks.ts"));
  const config = `import { tellingForks } from ${pool};
    export default { test: { globals: true, pool: tellingForks, maxWorkers: 1, include: ["*.check.js"] } };`;
  writeFileSync(join(folder, "vitest.config.mjs"), config);
  writeFileSync(join(folder, "killed.check.js"), `test("dies", () => process.kill(process.pid, "SIGSEGV"));`);
  writeFileSync(join(folder, "left.check.js"), `test("leaves", () => process.reallyExit(7));`);
  writeFileSync(join(folder, "well.check.js"), `test("passes", () => {});`);
  const vitest = resolve("node_modules/vitest/vitest.mjs");
  const { status, stderr } = spawnSync(process.execPath, [vitest, "run", "--root", folder], { encoding: "utf8" });
  expect(status).toBe(1);
  const told = stderr.split("\n").filter((line) => line.startsWith("A test process ended"));
  expect(told.sort()).toEqual([
    `A test process ended by SIGSEGV while it ran ${join(folder, "killed.check.js")}`,
    `A test process ended with code 7 while it ran ${join(folder, "left.check.js")}`,
  ]);
});

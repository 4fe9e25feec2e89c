// The command before anything is installed or built: what a newcomer sees who types `npx athanor` first.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { root } from "../documents.ts";
import { scratchFolder } from "../support/cli.ts";

let folder: ReturnType<typeof scratchFolder>;
beforeEach(() => {
  folder = scratchFolder();
  for (const name of ["package.json", "bin", "scripts"])
    cpSync(join(root, name), join(folder.path, name), { recursive: true });
  mkdirSync(join(folder.path, "src"));
});
afterEach(() => folder.remove());

const options = () => ({ cwd: folder.path, encoding: "utf8" as const });
const launch = (...args: string[]) => spawnSync(process.execPath, ["bin/athanor.mjs", ...args], options());

function writeMain(text: string): void {
  mkdirSync(join(folder.path, "dist/cli"), { recursive: true });
  writeFileSync(join(folder.path, "dist/cli/main.js"), text);
}

test("npx athanor in a fresh checkout says what to run, also the second time", () => {
  const env = { ...process.env, npm_config_cache: join(folder.path, "cache"), npm_config_offline: "true" };
  for (const _ of [1, 2]) {
    const { status, stderr } = spawnSync("npx", ["athanor", "runs"], { ...options(), env });
    expect(stderr).toMatch(
      /^\[install\/missing\] .*\n {2}at .*\n {2}expected .*\n {2}got .*main\.js.*\n {2}fix {7}npm ci\n/,
    );
    expect(status).toBe(2);
  }
});

test("built but without its dependencies: the same, and a record with --json", () => {
  writeMain('import "commander";');
  const { status, stdout, stderr } = launch("runs", "--json");
  expect(status).toBe(2);
  expect(stderr).toMatch(/got .*commander[\s\S]*fix {7}npm ci/);
  expect(JSON.parse(stdout)).toMatchObject({ event: "error", type: "error", code: "install/missing", fix: "npm ci" });
});

test("any other fault is shown as it is", () => {
  writeMain('throw new TypeError("ours");');
  const { status, stderr } = launch("runs");
  expect(status).toBe(1);
  expect(stderr).toMatch(/TypeError: ours\n +at /);
});

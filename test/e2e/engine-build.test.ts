// scripts/build-native.mjs on a folder that does not compile: what it says before and after. The real build is not tried here.
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { root } from "../documents.ts";
import { scratchFolder } from "../support/cli.ts";

const hasTools = ["c++", "make", "python3"].every((tool) => spawnSync(tool, ["--version"]).status === 0);

test("it says that it compiles and how long, then why not", ({ skip }) => {
  skip(!hasTools, "g++, make or python3 is not installed");
  const { path, remove } = scratchFolder();
  try {
    cpSync(join(root, "scripts"), join(path, "scripts"), { recursive: true });
    symlinkSync(join(root, "node_modules"), join(path, "node_modules"));
    mkdirSync(join(path, "native/kernels"), { recursive: true });
    writeFileSync(join(path, "native/binding.gyp"), "{");
    const args = ["scripts/build-native.mjs", "--strict", "--force"];
    const { status, stderr } = spawnSync(process.execPath, args, { cwd: path, encoding: "utf8" });
    expect(stderr).toMatch(
      /^native engine: compiling, about a minute\n[\s\S]*native engine: not built: the compiler failed/,
    );
    expect(status).toBe(1);
  } finally {
    remove();
  }
});

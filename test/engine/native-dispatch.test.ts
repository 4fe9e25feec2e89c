// An old processor must never meet an instruction it lacks. What could bring one: an inline function compiled for AVX-512
// that the linker keeps for everybody, and a static initialiser of a kernel file, which runs before any dispatch.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { describe, expect, it } from "vitest";

const objects = (isa: string): string[] => {
  const folder = `native/build/Release/obj.target/kernels_${isa}/kernels`;
  return existsSync(folder)
    ? readdirSync(folder)
        .filter((name) => name.endsWith(".o"))
        .map((name) => `${folder}/${name}`)
    : [];
};
const hasBinutils = spawnSync("nm", ["--version"]).status === 0 && spawnSync("objdump", ["--version"]).status === 0;
const output = (command: string, args: string[]): string[] =>
  execFileSync(command, args, { encoding: "utf8", maxBuffer: 2 ** 28 }).split("\n");

describe.each(["avx2", "avx512", "avx512bf16"])("object files for %s", (isa) => {
  const files = objects(isa);
  const reason = "needs nm, objdump and the object files of the build";

  it("share no function with other instruction sets", ({ skip }) => {
    skip(!hasBinutils || files.length === 0, reason);
    for (const file of files) {
      // W, V, u: symbols of which the linker keeps one copy for the whole library
      const shared = output("nm", ["-C", "--defined-only", file]).filter((line) => / [WVu] /.test(line));
      expect(
        shared.filter((line) => !line.includes(`athanor::${isa}::`)),
        file,
      ).toEqual([]);
    }
  });

  it("run nothing but registration when they are loaded", ({ skip }) => {
    skip(!hasBinutils || files.length === 0, reason);
    for (const file of files) {
      const lines = output("objdump", ["-d", "--no-show-raw-insn", file]);
      const start = lines.findIndex((line) => line.includes("<_GLOBAL__sub_I_"));
      expect(start, `${file} registers no kernel`).toBeGreaterThan(0);
      const end = lines.indexOf("", start);
      const wide = lines.slice(start, end < 0 ? undefined : end).filter((line) => /%[xyz]mm|%k[0-7]/.test(line));
      expect(wide, file).toEqual([]);
    }
  });
});

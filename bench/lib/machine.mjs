// What the figures were measured on: processor, memory, system, versions. Reads, measures nothing.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";

/** Extensions that decide how fast matrices multiply, as /proc/cpuinfo spells them. */
const extensions = ["avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16"];

/** `athanor` is the package's version. */
export function describeMachine(athanor) {
  const info = textOf("/proc/cpuinfo");
  const flags = new Set((/^(?:flags|Features)\s*:\s*(.*)$/m.exec(info)?.[1] ?? "").split(" "));
  return {
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    family: /^cpu family\s*:\s*(\d+)$/m.exec(info)?.[1] ?? "",
    cores: cpus().length,
    instructions: extensions.filter((name) => flags.has(name)),
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    os: /^PRETTY_NAME="(.*)"$/m.exec(textOf("/etc/os-release"))?.[1] ?? type(),
    kernel: release(),
    node: process.versions.node,
    athanor,
    commit: commit(),
  };
}

function textOf(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // not Linux
  }
}

function commit() {
  try {
    return execFileSync("git", ["describe", "--always", "--dirty"], {
      encoding: "utf8",
      cwd: import.meta.dirname,
    }).trim();
  } catch {
    return "unknown"; // not a checkout
  }
}

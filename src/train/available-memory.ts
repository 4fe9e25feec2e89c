// What a process can still take of memory: the least of what the system, its control groups and its limits leave. Nothing is taken.
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { posix } from "node:path";

export interface MemoryBound {
  readonly bytes: number;
  /** What sets the bound, for people. */
  readonly by: string;
}

/** A file's text, or undefined where there is none. */
export type ReadText = (path: string) => string | undefined;

/** The tightest bound that holds now. `read` stands in for the file system in tests. */
export function availableMemory(read: ReadText = readText, totalBytes = totalmem()): MemoryBound {
  const bounds = [systemBound(read), ...groupBounds(read), addressBound(read)].filter((bound) => bound !== undefined);
  return bounds.reduce((least, bound) => (bound.bytes < least.bytes ? bound : least), {
    bytes: totalBytes,
    by: "this machine",
  });
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined; // another system, another version of its control groups, or no right to look
  }
}

/** The number that `pattern` captures; undefined for words such as "max" and "unlimited". */
function numberIn(text: string | undefined, pattern: RegExp): number | undefined {
  const found = text === undefined ? null : pattern.exec(text);
  return found === null ? undefined : Number(found[1]);
}

function systemBound(read: ReadText): MemoryBound | undefined {
  const kilobytes = numberIn(read("/proc/meminfo"), /^MemAvailable:\s+(\d+) kB$/m);
  return kilobytes === undefined ? undefined : { bytes: kilobytes * 1024, by: "what other processes leave" };
}

/** RLIMIT_AS counts addresses, used or not: what V8 and thread stacks reserve counts too. */
function addressBound(read: ReadText): MemoryBound | undefined {
  const limit = numberIn(read("/proc/self/limits"), /^Max address space\s+(\d+)/m);
  const kilobytes = numberIn(read("/proc/self/status"), /^VmSize:\s+(\d+) kB$/m);
  if (limit === undefined || kilobytes === undefined) return undefined;
  return { bytes: Math.max(0, limit - kilobytes * 1024), by: "the limit on address space (ulimit -v)" };
}

/** Of a control group and all above it, in both versions; cached files are given back when memory is short. */
function groupBounds(read: ReadText): MemoryBound[] {
  const bounds: MemoryBound[] = [];
  for (const line of (read("/proc/self/cgroup") ?? "").split("\n")) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    const unified = controllers === "";
    if (!unified && !controllers.split(",").includes("memory")) continue;
    const [mount, limitName, usedName, cached] = unified
      ? (["/sys/fs/cgroup", "memory.max", "memory.current", /^inactive_file (\d+)$/m] as const)
      : ([
          "/sys/fs/cgroup/memory",
          "memory.limit_in_bytes",
          "memory.usage_in_bytes",
          /^total_inactive_file (\d+)$/m,
        ] as const);
    for (let group = posix.normalize(path); ; group = posix.dirname(group)) {
      const text = (name: string) => read(posix.join(mount, group, name));
      const limit = numberIn(text(limitName), /^(\d+)$/m);
      const used = numberIn(text(usedName), /^(\d+)$/m);
      if (limit !== undefined && used !== undefined) {
        const free = limit - used + (numberIn(text("memory.stat"), cached) ?? 0);
        bounds.push({ bytes: Math.min(limit, Math.max(0, free)), by: "the limit of a control group (of a container)" });
      }
      if (group === "/") break;
    }
  }
  return bounds;
}

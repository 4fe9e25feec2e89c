// Memory that a benchmark would take: refused before it is taken.
import { fail, formatBytes } from "../base/index.ts";
import { availableMemory } from "../train/index.ts";

/** Errors with `plan/memory` where this process cannot have so many bytes more. */
export function requireRoom(bytes: number): void {
  const available = availableMemory();
  if (bytes <= available.bytes) return;
  fail("plan/memory", "what is to be timed does not fit into memory", {
    where: "this machine",
    expected: `at most ${formatBytes(available.bytes)}: ${available.by}`,
    got: formatBytes(bytes),
    fix: "ask for smaller sizes",
  });
}

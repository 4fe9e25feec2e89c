// One pool of threads per process (ADR 0006): however often an engine is asked for, its threads are there once.
import { readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { loadNativeEngine } from "../../src/engine/index.ts";

const countThreads = () => readdirSync("/proc/self/task").length;

test("an engine is shared by all who ask for these threads and this path", () => {
  const engine = loadNativeEngine().engine!;
  const { threads, isa } = engine;
  expect(loadNativeEngine({ threads, isa }).engine).toBe(engine);
  const before = countThreads();
  for (let time = 0; time < 5; time++) expect(loadNativeEngine().engine).toBe(engine);
  for (const options of [{ threads }, { isa }]) expect(loadNativeEngine(options).engine).toBe(engine);
  for (const options of [{ threads }, { isa }]) expect(loadNativeEngine(options).engine).toBe(engine);
  const other = loadNativeEngine({ threads: threads + 1 }).engine!;
  expect([other.threads, loadNativeEngine({ threads: threads + 1 }).engine === other]).toEqual([threads + 1, true]);
  // that one, and at most two that were made to see what `threads` or `isa` alone come to, until they are collected
  expect(countThreads()).toBeLessThanOrEqual(before + (threads + 2) + 2 * (threads + 1));
});

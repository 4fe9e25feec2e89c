// Tracing, differentiation and compilation of deep models take time that grows with depth, not with its square.
import { expect, test } from "vitest";
import { compile, referenceTarget, type Target } from "../../src/compiler/index.ts";
import { noTimings } from "../amount.ts";
import { trainingStep } from "../support/deep-model.ts";
import { stridedTarget } from "../support/strided-interpreter.ts";

/** Processor milliseconds of `body`: other processes do not count. */
function costOf<T>(body: () => T): { result: T; ms: number } {
  const before = process.cpuUsage();
  const result = body();
  const { user, system } = process.cpuUsage(before);
  return { result, ms: (user + system) / 1000 };
}

const build = (layers: number, target: Target) => costOf(() => compile(trainingStep({ layers }), target));

test.skipIf(noTimings !== undefined).each([stridedTarget, referenceTarget])(
  "four times the layers take about four times as long ($name)",
  (target) => {
    build(24, target); // the first call pays for compiling this code itself
    const rounds = [1, 2, 3].map(() => ({ shallow: build(24, target).ms, deep: build(96, target).ms }));
    const least = (times: number[]) => Math.min(...times);
    expect(least(rounds.map(({ deep }) => deep)) / least(rounds.map(({ shallow }) => shallow))).toBeLessThan(6);
  },
);

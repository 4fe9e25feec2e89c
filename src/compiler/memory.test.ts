// The memory plan: random lifetimes never overlap, and small cases are packed as tightly as they can be.
import fc from "fast-check";
import { expect, test } from "vitest";
import { aligned, alignment, type Lifetime, planMemory } from "./memory.ts";

const lifetimes = fc.array(
  fc.record({
    bytes: fc.oneof(
      fc.constant(0),
      fc.nat(5000),
      fc.nat(5).map((power) => 4 ** power * 16),
    ),
    first: fc.nat(30),
    length: fc.oneof(fc.nat(6), fc.constant(Number.POSITIVE_INFINITY)),
  }),
  { maxLength: 40 },
);

const toLifetimes = (drawn: { bytes: number; first: number; length: number }[]): Lifetime[] =>
  drawn.map(({ bytes, first, length }) => ({ bytes, first, last: first + length }));

/** The most bytes alive at one instruction: no plan can be smaller. */
function peak(lives: readonly Lifetime[]): number {
  return Math.max(
    0,
    ...lives.map(({ first }) =>
      lives
        .filter((life) => life.first <= first && first <= life.last)
        .reduce((sum, { bytes }) => sum + aligned(bytes), 0),
    ),
  );
}

test("buffers alive together share no byte, all are aligned and inside", () => {
  fc.assert(
    fc.property(lifetimes, (drawn) => {
      const lives = toLifetimes(drawn);
      const { offsets, totalBytes } = planMemory(lives);
      lives.forEach((a, i) => {
        expect(offsets[i]! % alignment).toBe(0);
        expect(offsets[i]! + a.bytes).toBeLessThanOrEqual(totalBytes);
        lives.forEach((b, j) => {
          const together = i < j && a.bytes > 0 && b.bytes > 0 && a.first <= b.last && b.first <= a.last;
          if (!together) return;
          const apart = offsets[i]! + a.bytes <= offsets[j]! || offsets[j]! + b.bytes <= offsets[i]!;
          expect(apart, `${i} and ${j}`).toBe(true);
        });
      });
    }),
    { numRuns: 500, seed: 1 },
  );
});

test("the block is at least the peak, and rarely far above it", () => {
  const ratios: number[] = [];
  fc.assert(
    fc.property(lifetimes, (drawn) => {
      const lives = toLifetimes(drawn);
      const { totalBytes } = planMemory(lives);
      expect(totalBytes).toBeGreaterThanOrEqual(peak(lives));
      if (totalBytes > 0) ratios.push(totalBytes / peak(lives));
    }),
    { numRuns: 500, seed: 2 },
  );
  expect(ratios.reduce((a, b) => a + b, 0) / ratios.length).toBeLessThan(1.05);
  expect(Math.max(...ratios)).toBeLessThan(1.5);
});

test("a chain takes two buffers, whatever its length", () => {
  const chain = Array.from({ length: 50 }, (_, at) => ({ bytes: 1024, first: at, last: at + 1 }));
  expect(planMemory(chain).totalBytes).toBe(2048);
});

test("the smallest gap that holds a buffer is taken", () => {
  const { offsets } = planMemory([
    { bytes: 1024, first: 0, last: 9 },
    { bytes: 960, first: 0, last: 3 },
    { bytes: 512, first: 0, last: 9 },
    { bytes: 448, first: 0, last: 3 },
    { bytes: 384, first: 0, last: 9 },
    { bytes: 320, first: 5, last: 9 },
  ]);
  expect(offsets[5]).toBe(offsets[3]);
});

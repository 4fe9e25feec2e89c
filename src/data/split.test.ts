// Splits: every row once, shares kept, classes in proportion.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { splitRows } from "./split.ts";

describe("splitRows", () => {
  it("gives every row to one part, in ascending order, with the shares asked for", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 20, max: 500 }),
        fc.nat(),
        fc.double({ min: 0.1, max: 0.4, noNaN: true }),
        fc.double({ min: 0.1, max: 0.4, noNaN: true }),
        (length, seed, validation, test) => {
          const split = splitRows(length, { seed, validation, test });
          const all = [...split.train, ...split.validation, ...split.test];
          expect(all.sort((a, b) => a - b)).toEqual(Array.from({ length }, (_, i) => i));
          expect(Math.abs(split.validation.length - validation * length)).toBeLessThanOrEqual(1);
          expect(Math.abs(split.test.length - test * length)).toBeLessThanOrEqual(1);
          expect(split.train).toEqual([...split.train].sort((a, b) => a - b));
        },
      ),
    );
  });

  it("keeps the share of every class, however rare, and never empties training of one", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(0, 0, 0, 0, 0, 1, 1, 2), { minLength: 40, maxLength: 400 }), (classes) => {
        const split = splitRows(classes.length, { validation: 0.25, seed: 3 }, classes);
        for (const id of new Set(classes)) {
          const total = classes.filter((c) => c === id).length;
          const held = split.validation.filter((row) => classes[row] === id).length;
          expect(Math.abs(held - total / 4)).toBeLessThan(1.01);
          expect(split.train.some((row) => classes[row] === id)).toBe(true);
        }
      }),
    );
  });

  it("follows from the seed alone", () => {
    expect(splitRows(100, { seed: 5 })).toEqual(splitRows(100, { seed: 5 }));
    expect(splitRows(100, { seed: 5 }).validation).not.toEqual(splitRows(100, { seed: 6 }).validation);
  });

  it("handles many rows of one class", () => {
    expect(splitRows(200_000, { seed: 1 }).validation.length).toBe(40_000);
  });

  it("refuses shares that leave nothing, and parts that would be empty", () => {
    for (const options of [
      { validation: 1 },
      { validation: -0.1 },
      { validation: Number.NaN },
      { validation: 0.6, test: 0.5 },
    ]) {
      expect(() => splitRows(10, options)).toThrow("[data/split]");
    }
    expect(() => splitRows(3, { validation: 0.1 })).toThrow("a part of the split would be empty");
    expect(splitRows(3, { validation: 0 }).train).toEqual([0, 1, 2]);
  });
});

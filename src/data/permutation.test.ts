// That keyed permutations are permutations, and random ones.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { Permutation } from "./permutation.ts";

const all = (length: number, epoch = 0, seed = 1) => {
  const permutation = new Permutation(length, { seed, name: "test", epoch });
  return Array.from({ length }, (_, i) => permutation.at(i));
};

describe("Permutation", () => {
  it("holds every item once, whatever the length", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3000 }), fc.nat(), fc.nat(100), (length, seed, epoch) => {
        expect(new Set(all(length, epoch, seed)).size).toBe(length);
      }),
      { numRuns: 200 },
    );
  });

  it("is the same for the same key and another for another epoch or seed", () => {
    expect(all(100, 3)).toEqual(all(100, 3));
    expect(all(100, 3)).not.toEqual(all(100, 4));
    expect(all(100, 3, 1)).not.toEqual(all(100, 3, 2));
    expect(all(100, 3, 2 ** 40)).not.toEqual(all(100, 3, 2 ** 41));
  });

  it.each([2, 3, 4])("makes all orders of %i items equally often", (length) => {
    const counts = new Map<string, number>();
    const draws = 6000;
    for (let epoch = 0; epoch < draws; epoch++) {
      const order = all(length, epoch).join();
      counts.set(order, (counts.get(order) ?? 0) + 1);
    }
    const orders = [1, 2, 6, 24][length - 1];
    expect(counts.size).toBe(orders);
    const expected = draws / orders;
    const chiSquare = [...counts.values()].reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    expect(chiSquare).toBeLessThan([0, 15, 25, 56][length - 1]); // p about 1e-4
  });

  it("puts every item at every place equally often, and neighbours apart", () => {
    const [length, epochs] = [50, 4000];
    const counts = new Float64Array(length * length);
    let neighbours = 0;
    for (let epoch = 0; epoch < epochs; epoch++) {
      const order = all(length, epoch);
      order.forEach((item, place) => {
        counts[item * length + place]++;
        if (place > 0 && order[place - 1] + 1 === item) neighbours++;
      });
    }
    const expected = epochs / length;
    const chiSquare = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
    const freedom = (length - 1) ** 2;
    expect(Math.abs(chiSquare - freedom) / Math.sqrt(2 * freedom)).toBeLessThan(4);
    // 49 of the 50 * 49 ordered pairs are neighbours, at 49 places: 0.98 an epoch
    expect(neighbours / epochs).toBeGreaterThan(0.93);
    expect(neighbours / epochs).toBeLessThan(1.03);
  });

  it("gives a range of places as it gives them one by one", () => {
    for (const length of [1, 2, 3, 1000, 2 ** 30 - 1, 2 ** 30, 2 ** 30 + 1, 2 ** 32]) {
      const permutation = new Permutation(length, { seed: 3, name: "range", epoch: 5 });
      const count = Math.min(length, 300);
      for (const start of [0, Math.floor((length - count) / 2), length - count]) {
        const oneByOne = Array.from({ length: count }, (_, i) => permutation.at(start + i));
        expect(permutation.range(start, count)).toEqual(oneByOne);
      }
    }
  });

  it("reaches any place of a long epoch at once", () => {
    const start = process.cpuUsage();
    const permutation = new Permutation(2 ** 32, { seed: 1, name: "rows", epoch: 12345 });
    const items = Array.from({ length: 1000 }, (_, i) => permutation.at(4e9 + i));
    expect(process.cpuUsage(start).user / 1000).toBeLessThan(5000); // to walk there takes minutes
    expect(items.every((item) => Number.isInteger(item) && item >= 0 && item < 2 ** 32)).toBe(true);
    expect(new Set(items).size).toBe(1000);
  });

  it("refuses impossible lengths", () => {
    for (const length of [0, -1, 1.5, Number.NaN, 2 ** 33]) {
      expect(() => new Permutation(length, { seed: 1, name: "x" })).toThrow("[data/length]");
    }
  });
});

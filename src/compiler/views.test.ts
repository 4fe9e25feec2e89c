// Stride arithmetic against counting: a view is right when it visits the addresses that copying would have read.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { contiguousStrides, sizeOf } from "../base/index.ts";
import { denseView, hasDenseRows, isDense, reshapeView, type StridedView } from "./views.ts";

/** The addresses of a view's elements in row-major order. */
function addresses({ offset, shape, strides }: StridedView): number[] {
  const own = contiguousStrides(shape);
  return Array.from({ length: sizeOf(shape) }, (_, at) =>
    shape.reduce((sum, dim, axis) => sum + (Math.floor(at / own[axis]!) % dim) * strides[axis]!, offset),
  );
}

/** Dims whose product is that of others, by moving factors about. */
function reshaped(shape: readonly number[], cuts: readonly number[]): number[] {
  let rest = sizeOf(shape);
  const dims: number[] = [];
  for (const cut of cuts) {
    const dim = rest % cut === 0 ? cut : 1;
    dims.push(dim);
    rest /= dim;
  }
  return [...dims, rest];
}

const viewOfAny = fc
  .record({
    shape: fc.array(fc.constantFrom(1, 2, 3, 4, 6), { maxLength: 4 }),
    order: fc.array(fc.nat(100), { minLength: 4, maxLength: 4 }),
    repeated: fc.array(fc.boolean(), { minLength: 4, maxLength: 4 }),
    gaps: fc.array(fc.constantFrom(0, 0, 0, 1, 2), { minLength: 4, maxLength: 4 }),
  })
  .map(({ shape, order, repeated, gaps }): StridedView => {
    const wide = shape.map((dim, axis) => dim + gaps[axis]!);
    const strides = contiguousStrides(wide).map((stride, axis) => (repeated[axis] && gaps[axis] === 2 ? 0 : stride));
    const axes = shape.map((_, axis) => axis).sort((a, b) => order[a]! - order[b]!);
    return { offset: 5, shape: axes.map((axis) => shape[axis]!), strides: axes.map((axis) => strides[axis]!) };
  });
const cuts = fc.array(fc.constantFrom(1, 2, 3, 4), { maxLength: 4 });

describe("reshapeView", () => {
  test("visits the same addresses in the same order", () => {
    let views = 0;
    fc.assert(
      fc.property(viewOfAny, cuts, (view, factors) => {
        const result = reshapeView(view, reshaped(view.shape, factors));
        if (result === undefined) return;
        views++;
        expect(addresses(result)).toEqual(addresses(view));
      }),
      { numRuns: 2000, seed: 3 },
    );
    expect(views).toBeGreaterThan(800);
  });

  test("gives up only where no strides exist", () => {
    fc.assert(
      fc.property(viewOfAny, cuts, (view, factors) => {
        const shape = reshaped(view.shape, factors);
        if (reshapeView(view, shape) !== undefined) return;
        // the only candidate: each stride is the step from the first element along its axis
        const order = addresses(view);
        const own = contiguousStrides(shape);
        const strides = shape.map((dim, axis) => (dim > 1 ? order[own[axis]!]! - order[0]! : 0));
        expect(addresses({ offset: view.offset, shape, strides })).not.toEqual(order);
      }),
      { numRuns: 2000, seed: 4 },
    );
  });
});

test("isDense says whether addresses are consecutive, hasDenseRows whether they are along the last axis", () => {
  fc.assert(
    fc.property(viewOfAny, (view) => {
      const all = addresses(view);
      expect(isDense(view)).toBe(all.every((address, at) => address === all[0]! + at));
      const width = view.shape.at(-1) ?? 1;
      const rows = Array.from({ length: all.length / width }, (_, row) => all.slice(row * width, (row + 1) * width));
      expect(hasDenseRows(view)).toBe(rows.every((row) => row.every((address, at) => address === row[0]! + at)));
    }),
    { numRuns: 1000, seed: 5 },
  );
  expect(isDense(denseView([3, 4]))).toBe(true);
});

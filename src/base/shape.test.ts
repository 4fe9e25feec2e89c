// Shape arithmetic: broadcasting against NumPy's rule written as its definition, strides, axes.
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { broadcastShapes, contiguousStrides, formatType, normalizeAxis, sameShape, sizeOf } from "./shape.ts";

const shapes = fc.array(fc.integer({ min: 0, max: 4 }), { maxLength: 5 });

test("size is the product of the dimensions: 1 for a scalar, 0 when one is empty", () => {
  expect(sizeOf([])).toBe(1);
  expect(sizeOf([3, 0, 2])).toBe(0);
  expect(sizeOf([2, 3, 4])).toBe(24);
  expect(sizeOf([65536, 65536])).toBe(2 ** 32);
});

test("strides visit row-major memory in order", () => {
  expect(contiguousStrides([])).toEqual([]);
  expect(contiguousStrides([2, 3, 4])).toEqual([12, 4, 1]);
  fc.assert(
    fc.property(shapes, (shape) => {
      const strides = contiguousStrides(shape);
      const index = new Array<number>(shape.length).fill(0);
      for (let i = 0; i < sizeOf(shape); i++) {
        expect(index.reduce((sum, at, axis) => sum + at * strides[axis]!, 0)).toBe(i);
        for (let axis = shape.length - 1; axis >= 0; axis--) {
          index[axis]! += 1;
          if (index[axis]! < shape[axis]!) break;
          index[axis] = 0;
        }
      }
    }),
  );
});

test("shapes are the same when rank and every dimension are", () => {
  expect(sameShape([], [])).toBe(true);
  expect(sameShape([2, 3], [2, 3])).toBe(true);
  expect(sameShape([2, 3], [3, 2])).toBe(false);
  expect(sameShape([2], [2, 1])).toBe(false);
  expect(sameShape([2, 1], [2])).toBe(false);
});

describe("broadcasting", () => {
  test.each([
    [[], [], []],
    [[3], [], [3]],
    [[2, 1], [3], [2, 3]],
    [
      [4, 1, 2],
      [3, 1],
      [4, 3, 2],
    ],
    [[0], [1], [0]],
    [[1], [0], [0]],
    [
      [2, 0],
      [2, 1],
      [2, 0],
    ],
  ])("%j with %j gives %j", (a, b, expected) => {
    expect(broadcastShapes(a, b)).toEqual(expected);
  });

  test.each([
    [[2], [3]],
    [[0], [3]],
    [
      [2, 3],
      [2, 1, 4],
    ],
  ])("%j and %j do not go together", (a, b) => {
    expect(broadcastShapes(a, b)).toBeUndefined();
  });

  test("follows the rule: padded with ones in front, each pair is equal or has a 1", () => {
    fc.assert(
      fc.property(shapes, shapes, (a, b) => {
        const rank = Math.max(a.length, b.length);
        const pad = (s: readonly number[]) => [...new Array<number>(rank - s.length).fill(1), ...s];
        const [x, y] = [pad(a), pad(b)];
        const fits = x.every((dim, i) => dim === y[i] || dim === 1 || y[i] === 1);
        expect(broadcastShapes(a, b)).toEqual(fits ? x.map((dim, i) => (dim === 1 ? y[i] : dim)) : undefined);
        expect(broadcastShapes(b, a)).toEqual(broadcastShapes(a, b));
      }),
    );
  });
});

describe("axes", () => {
  test("count from the front or from the end", () => {
    expect([0, 2, -1, -3].map((axis) => normalizeAxis(axis, 3, "sum"))).toEqual([0, 2, 2, 0]);
    expect(normalizeAxis(-0, 3, "sum")).toBe(0);
  });

  test.each([3, -4, 0.5, Number.NaN])("%d is refused for rank 3", (axis) => {
    expect(() => normalizeAxis(axis, 3, "sum")).toThrow("[shape/axis]");
  });

  test("the message tells the range", () => {
    expect(() => normalizeAxis(3, 3, "h.0.sum")).toThrowErrorMatchingInlineSnapshot(`
      [AthanorError: [shape/axis] h.0.sum: axis out of range
        expected  an integer from -3 to 2
        got       3
        fix       count axes of the tensor's shape; negative ones count from the end]
    `);
    expect(() => normalizeAxis(0, 0, "sum")).toThrow("no axis: the tensor is a scalar");
  });
});

test("a type prints as graphs and errors show it", () => {
  expect(formatType("f32", [4, 3])).toBe("f32[4,3]");
  expect(formatType("i32", [])).toBe("i32[]");
});

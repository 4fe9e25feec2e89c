// Shape arithmetic on plain number arrays. Knows nothing of tensors.
import { fail } from "./error.ts";

export type Shape = readonly number[];

/** Number of elements; 1 for a scalar, 0 when a dimension is empty. */
export function sizeOf(shape: Shape): number {
  let size = 1;
  for (const dim of shape) size *= dim;
  return size;
}

/** Row-major strides, in elements. */
export function contiguousStrides(shape: Shape): number[] {
  const strides = new Array<number>(shape.length);
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    strides[i] = stride;
    stride *= shape[i]!;
  }
  return strides;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

/** The shape both broadcast to by NumPy's rule, or `undefined` when they do not. */
export function broadcastShapes(a: Shape, b: Shape): number[] | undefined {
  const rank = Math.max(a.length, b.length);
  const result = new Array<number>(rank);
  for (let i = 0; i < rank; i++) {
    const x = a[a.length - rank + i] ?? 1;
    const y = b[b.length - rank + i] ?? 1;
    if (x !== y && x !== 1 && y !== 1) return undefined;
    result[i] = x === 1 ? y : x;
  }
  return result;
}

/** `axis` counted from the front. Errors with `shape/axis` when it is outside the rank. */
export function normalizeAxis(axis: number, rank: number, name: string): number {
  const normal = axis < 0 ? axis + rank : axis;
  if (!Number.isInteger(axis) || normal < 0 || normal >= rank) {
    fail("shape/axis", `${name}: axis out of range`, {
      expected: rank === 0 ? "no axis: the tensor is a scalar" : `an integer from ${-rank} to ${rank - 1}`,
      got: String(axis),
      fix: "count axes of the tensor's shape; negative ones count from the end",
    });
  }
  return normal + 0; // -0 becomes 0
}

/** `f32[4,3]`, as graphs and errors print it. */
export function formatType(dtype: string, shape: Shape): string {
  return `${dtype}[${shape.join(",")}]`;
}

// Stride arithmetic of views: what reshape, permute, broadcast, slice and split mean for a strided tensor.
import { contiguousStrides, type Shape, sizeOf } from "../base/index.ts";
import type { Node } from "../core/index.ts";

/** A strided window on a buffer. Offset and strides count elements. */
export interface StridedView {
  readonly offset: number;
  readonly shape: Shape;
  readonly strides: readonly number[];
}

export function denseView(shape: Shape): StridedView {
  return { offset: 0, shape, strides: contiguousStrides(shape) };
}

/** Row-major without gaps. Dimensions of size 1 may have any stride. */
export function isDense({ shape, strides }: StridedView): boolean {
  if (sizeOf(shape) <= 1) return true;
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

/** The last axis has stride 1 (or a single element). */
export function hasDenseRows({ shape, strides }: StridedView): boolean {
  return shape.length === 0 || shape.at(-1)! <= 1 || strides.at(-1) === 1;
}

const aliases: readonly string[] = ["stopGradient", "reshape", "permute", "broadcast", "slice", "split"];

/** True for nodes whose results are views of their input. */
export const isAlias = ({ op }: Node): boolean => aliases.includes(op.name);

/** The view that output `index` of a view node has on its input's buffer; `undefined` when only a copy can make it. */
export function viewThrough(
  node: Node,
  input: StridedView,
  outputShape: Shape,
  index: number,
): StridedView | undefined {
  const { attrs } = node;
  switch (node.op.name) {
    case "stopGradient":
      return input;
    case "reshape":
      return reshapeView(input, outputShape);
    case "permute": {
      const order = attrs.order as readonly number[];
      return { offset: input.offset, shape: outputShape, strides: order.map((axis) => input.strides[axis]!) };
    }
    case "broadcast": {
      const lead = outputShape.length - input.shape.length;
      const strides = outputShape.map((dim, axis) => {
        const from = axis - lead;
        return from < 0 || (input.shape[from] === 1 && dim !== 1) ? 0 : input.strides[from]!;
      });
      return { offset: input.offset, shape: outputShape, strides };
    }
    case "slice":
      return {
        offset: input.offset + (attrs.start as number) * input.strides[attrs.axis as number]!,
        shape: outputShape,
        strides: input.strides,
      };
    case "split": {
      const axis = attrs.axis as number;
      return {
        offset: input.offset + index * outputShape[axis]! * input.strides[axis]!,
        shape: outputShape,
        strides: input.strides,
      };
    }
    default:
      return undefined;
  }
}

/** A reshape keeps a strided tensor a view when each run of merged or split dimensions is evenly spaced. */
export function reshapeView(input: StridedView, shape: Shape): StridedView | undefined {
  if (sizeOf(shape) === 0 || isDense(input)) return { offset: input.offset, shape, strides: contiguousStrides(shape) };
  const dims = input.shape.flatMap((dim, axis) => (dim === 1 ? [] : [{ dim, stride: input.strides[axis]! }]));
  const strides = new Array<number>(shape.length).fill(1);
  let from = dims.length - 1;
  let to = shape.length - 1;
  while (to >= 0) {
    if (shape[to] === 1) {
      to--;
      continue;
    }
    // Take old dimensions until they hold a whole number of new ones.
    let oldSize = dims[from]!.dim;
    const stride = dims[from]!.stride;
    let newSize = shape[to]!;
    const firstNew = to;
    to--;
    while (oldSize !== newSize) {
      if (oldSize < newSize) {
        from--;
        if (dims[from]!.stride !== dims[from + 1]!.stride * dims[from + 1]!.dim) return undefined;
        oldSize *= dims[from]!.dim;
      } else {
        newSize *= shape[to]!;
        to--;
      }
    }
    from--;
    let next = stride;
    for (let axis = firstNew; axis > to; axis--) {
      strides[axis] = next;
      next *= shape[axis]!;
    }
  }
  return { offset: input.offset, shape, strides };
}

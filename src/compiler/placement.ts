// Where values lie: buffers with their readers and writers, and strided windows on them. Decides nothing.
import { byteSize, type DType, type Shape, sizeOf } from "../base/index.ts";
import type { Attrs } from "../core/index.ts";
import type { PlanSpace } from "./plan.ts";
import { isDense, type StridedView } from "./views.ts";

/** A piece of memory: a variable, a feed, a constant, or a stretch of the arena with a lifetime. */
export interface Buffer {
  readonly space: PlanSpace;
  readonly index: number;
  /** Bytes from the start of the space's block. Of an arena buffer: set by the memory plan. */
  offset: number;
  readonly bytes: number;
  /** Constants of one repeated element: its number. */
  readonly value: number | undefined;
  readonly readers: Draft[];
  readonly writers: Draft[];
  /** Read after the last instruction: outputs and the guard. */
  pinned: boolean;
  /** Of a window that moves with every turn of a loop: the buffer that it lies in, and bytes to its first place and from turn to turn. */
  readonly moving: { readonly of: Buffer; readonly start: number; readonly step: number } | undefined;
  /** The loop whose turns each make it anew. */
  loop: Loop | undefined;
  /** When the buffer turned out to be another one (in place, or a variable). */
  sameAs: Buffer | undefined;
  /** First and last instruction that touch the memory. */
  first: number;
  last: number;
}

/** Instructions from `first` up to before `end`, which run so many times. */
export interface Loop {
  readonly first: number;
  end: number;
  readonly turns: number;
}

/** A value: a window on a buffer. */
export interface Placement extends StridedView {
  readonly buffer: Buffer;
  readonly dtype: DType;
}

/** An instruction whose operands are not yet addresses. */
export interface Draft {
  /** Its position in the program. */
  readonly at: number;
  readonly kernel: string;
  readonly inputs: readonly Placement[];
  readonly outputs: Placement[];
  readonly params: readonly number[];
  readonly attrs: Attrs;
  readonly node: number;
  readonly commit: boolean;
  readonly loop: Loop | undefined;
  /** Outputs that may be written over an input's memory: [output, input]. */
  readonly inPlace: readonly (readonly [number, number])[];
}

export function block(space: PlanSpace, bytes: number, place: Partial<Buffer> = {}): Buffer {
  return {
    space,
    bytes,
    index: place.index ?? 0,
    offset: place.offset ?? 0,
    value: place.value,
    readers: [],
    writers: [],
    pinned: false,
    moving: place.moving,
    loop: undefined,
    sameAs: undefined,
    first: Number.POSITIVE_INFINITY,
    last: -1,
  };
}

/** The buffer that a buffer ended up being. */
export function root(buffer: Buffer): Buffer {
  let found = buffer;
  while (found.sameAs !== undefined) found = found.sameAs;
  // Chains of in-place updates grow with depth: shorten them for the next asker.
  for (let at = buffer; at !== found; ) {
    const next = at.sameAs!;
    at.sameAs = found;
    at = next;
  }
  return found;
}

export function byteCount(dtype: DType, shape: Shape): number {
  return sizeOf(shape) * byteSize(dtype);
}

/** True when the placement is all of its buffer, in row-major order. */
export function isWhole(placement: Placement): boolean {
  const { buffer, dtype, shape, offset } = placement;
  return offset === 0 && buffer.moving === undefined && isDense(placement) && buffer.bytes === byteCount(dtype, shape);
}

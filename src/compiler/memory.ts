// The memory plan: places buffers with known lifetimes in one block. Knows nothing of ops.

export interface Lifetime {
  readonly bytes: number;
  /** First and last instruction that touch the buffer. */
  readonly first: number;
  readonly last: number;
}

export const alignment = 64;

export const aligned = (bytes: number): number => Math.ceil(bytes / alignment) * alignment;

/**
 * Offsets such that buffers alive at the same time do not overlap, and the size of the block.
 * Greedy by size: large buffers first, each into the smallest gap that holds it (Pisarchyk & Lee 2020).
 */
export function planMemory(lifetimes: readonly Lifetime[]): { offsets: number[]; totalBytes: number } {
  const offsets = new Array<number>(lifetimes.length).fill(0);
  const order = lifetimes.map((_, at) => at).filter((at) => lifetimes[at]!.bytes > 0);
  order.sort((a, b) => lifetimes[b]!.bytes - lifetimes[a]!.bytes || a - b);
  const placed = new Placed(order.length);
  let totalBytes = 0;
  for (const at of order) {
    const { bytes, first, last } = lifetimes[at]!;
    const size = aligned(bytes);
    const offset = placed.findRoom(size, first, last);
    placed.insert(offset, size, first, last);
    offsets[at] = offset;
    totalBytes = Math.max(totalBytes, offset + size);
  }
  return { offsets, totalBytes };
}

/** Buffers that have a place, by offset. Plain number arrays: a deep model has tens of thousands, and each is compared with all. */
class Placed {
  private count = 0;
  private readonly starts: Float64Array;
  private readonly ends: Float64Array;
  private readonly firsts: Float64Array;
  private readonly lasts: Float64Array;

  constructor(capacity: number) {
    [this.starts, this.ends, this.firsts, this.lasts] = [0, 1, 2, 3].map(() => new Float64Array(capacity)) as [
      Float64Array,
      Float64Array,
      Float64Array,
      Float64Array,
    ];
  }

  /** The offset of the smallest gap that holds `size` bytes between buffers alive in [first, last]; else behind them. */
  findRoom(size: number, first: number, last: number): number {
    const { starts, ends, firsts, lasts, count } = this;
    let best = -1;
    let bestGap = Number.POSITIVE_INFINITY;
    let end = 0;
    for (let i = 0; i < count; i++) {
      if (lasts[i]! < first || firsts[i]! > last) continue;
      const gap = starts[i]! - end;
      if (gap >= size && gap < bestGap) {
        best = end;
        bestGap = gap;
      }
      if (ends[i]! > end) end = ends[i]!;
    }
    return best >= 0 ? best : end;
  }

  insert(start: number, size: number, first: number, last: number): void {
    let at = this.count;
    while (at > 0 && this.starts[at - 1]! > start) at--;
    for (const column of [this.starts, this.ends, this.firsts, this.lasts]) column.copyWithin(at + 1, at, this.count);
    this.starts[at] = start;
    this.ends[at] = start + size;
    this.firsts[at] = first;
    this.lasts[at] = last;
    this.count++;
  }
}

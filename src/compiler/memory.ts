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
  const order = lifetimes.map((_, at) => at).sort((a, b) => lifetimes[b]!.bytes - lifetimes[a]!.bytes || a - b);
  const placed: number[] = []; // sorted by offset
  let totalBytes = 0;
  for (const at of order) {
    const { bytes, first, last } = lifetimes[at]!;
    if (bytes === 0) continue;
    let best = -1;
    let bestGap = Number.POSITIVE_INFINITY;
    let end = 0;
    for (const other of placed) {
      const life = lifetimes[other]!;
      if (life.last < first || life.first > last) continue;
      const gap = offsets[other]! - end;
      if (gap >= bytes && gap < bestGap) {
        best = end;
        bestGap = gap;
      }
      end = Math.max(end, offsets[other]! + aligned(life.bytes));
    }
    const offset = best >= 0 ? best : end;
    offsets[at] = offset;
    totalBytes = Math.max(totalBytes, offset + aligned(bytes));
    let position = placed.length;
    while (position > 0 && offsets[placed[position - 1]!]! > offset) position--;
    placed.splice(position, 0, at);
  }
  return { offsets, totalBytes };
}

// Applies merges to one word: lowest rank first, leftmost among equals. Short words by scanning, long ones by a heap, so
// that a word of a megabyte takes n log n. Knows no text.
import type { PairTable } from "./pair-table.ts";

/** Merges by pair: the rank, and by rank the id that the pair becomes. */
export interface MergeTable {
  readonly ranks: PairTable;
  readonly results: Int32Array;
}

const scanLimit = 48;

/** Merges the first `length` ids of `ids` in place; returns how many remain. */
export function mergeWord(ids: Int32Array, length: number, table: MergeTable): number {
  return length <= scanLimit ? mergeByScan(ids, length, table) : mergeByHeap(ids, length, table);
}

const scanRanks = new Int32Array(scanLimit);
const never = 0x7fffffff;

function mergeByScan(ids: Int32Array, length: number, { ranks, results }: MergeTable): number {
  const rankOf = (left: number, right: number) => {
    const rank = ranks.get(left, right);
    return rank < 0 ? never : rank;
  };
  for (let i = 0; i + 1 < length; i++) scanRanks[i] = rankOf(ids[i], ids[i + 1]);
  for (;;) {
    let [best, at] = [never, -1];
    for (let i = 0; i + 1 < length; i++) {
      if (scanRanks[i] < best) {
        best = scanRanks[i];
        at = i;
      }
    }
    if (at < 0) return length;
    ids[at] = results[best];
    length--;
    for (let i = at + 1; i < length; i++) {
      ids[i] = ids[i + 1];
      scanRanks[i] = scanRanks[i + 1];
    }
    if (at > 0) scanRanks[at - 1] = rankOf(ids[at - 1], ids[at]);
    if (at + 1 < length) scanRanks[at] = rankOf(ids[at], ids[at + 1]);
  }
}

const positionBits = 2 ** 29; // a string has at most 2^29 UTF-16 units; rank * 2^29 + position stays below 2^53

function mergeByHeap(ids: Int32Array, length: number, { ranks, results }: MergeTable): number {
  const next = new Int32Array(length);
  const previous = new Int32Array(length);
  const heap = new MinHeap(3 * length);
  for (let i = 0; i < length; i++) {
    next[i] = i + 1;
    previous[i] = i - 1;
    const rank = i + 1 < length ? ranks.get(ids[i], ids[i + 1]) : -1;
    if (rank >= 0) heap.place(rank * positionBits + i);
  }
  heap.order();
  for (let key = heap.pop(); key >= 0; key = heap.pop()) {
    const at = key % positionBits;
    const rank = (key - at) / positionBits;
    const right = next[at];
    // an entry is stale when either side has merged since
    if (ids[at] < 0 || right >= length || ranks.get(ids[at], ids[right]) !== rank) continue;
    ids[at] = results[rank];
    ids[right] = -1;
    next[at] = next[right];
    if (next[at] < length) previous[next[at]] = at;
    const before = previous[at];
    const rankBefore = before >= 0 ? ranks.get(ids[before], ids[at]) : -1;
    if (rankBefore >= 0) heap.push(rankBefore * positionBits + before);
    const rankAfter = next[at] < length ? ranks.get(ids[at], ids[next[at]]) : -1;
    if (rankAfter >= 0) heap.push(rankAfter * positionBits + at);
  }
  let write = 0;
  for (let i = 0; i < length; i = next[i]) ids[write++] = ids[i];
  return write;
}

/** A binary heap of numbers in one array of fixed capacity. */
class MinHeap {
  private readonly keys: Float64Array;
  private size = 0;

  constructor(capacity: number) {
    this.keys = new Float64Array(capacity);
  }

  /** Adds without ordering: `order()` must follow. */
  place(key: number): void {
    this.keys[this.size++] = key;
  }

  order(): void {
    for (let i = (this.size >> 1) - 1; i >= 0; i--) this.sink(i, this.keys[i]);
  }

  push(key: number): void {
    const { keys } = this;
    let at = this.size++;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (keys[parent] <= key) break;
      keys[at] = keys[parent];
      at = parent;
    }
    keys[at] = key;
  }

  /** The smallest key, or -1. */
  pop(): number {
    if (this.size === 0) return -1;
    const top = this.keys[0];
    const last = this.keys[--this.size];
    if (this.size > 0) this.sink(0, last);
    return top;
  }

  private sink(at: number, key: number): void {
    const { keys, size } = this;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= size) break;
      if (child + 1 < size && keys[child + 1] < keys[child]) child++;
      if (keys[child] >= key) break;
      keys[at] = keys[child];
      at = child;
    }
    keys[at] = key;
  }
}

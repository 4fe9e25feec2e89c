// A map from pairs of small integers to integers: open addressing over typed arrays, several times faster than a `Map`
// with number keys. Entries are never removed.

/** Values are integers from 0; a pair that is not there reads as -1. Left and right are integers below 2^31. */
export class PairTable {
  private mask: number;
  private size = 0;
  private lefts: Int32Array;
  private rights: Int32Array;
  private values: Int32Array; // 0 is free, else value + 1

  constructor(expected = 1024) {
    const capacity = 2 ** Math.ceil(Math.log2(Math.max(16, 2 * expected)));
    this.mask = capacity - 1;
    this.lefts = new Int32Array(capacity);
    this.rights = new Int32Array(capacity);
    this.values = new Int32Array(capacity);
  }

  get(left: number, right: number): number {
    return this.values[this.slot(left, right)] - 1;
  }

  set(left: number, right: number, value: number): void {
    let slot = this.slot(left, right);
    if (this.values[slot] === 0) {
      if (2 * ++this.size > this.mask) {
        this.grow();
        slot = this.slot(left, right);
      }
      this.lefts[slot] = left;
      this.rights[slot] = right;
    }
    this.values[slot] = value + 1;
  }

  private slot(left: number, right: number): number {
    const { mask, lefts, rights, values } = this;
    let hash = Math.imul(left, 0x9e3779b1) ^ Math.imul(right, 0x85ebca6b);
    hash ^= hash >>> 15;
    let slot = hash & mask;
    while (values[slot] !== 0 && (lefts[slot] !== left || rights[slot] !== right)) slot = (slot + 1) & mask;
    return slot;
  }

  private grow(): void {
    const { lefts, rights, values } = this;
    const capacity = 2 * (this.mask + 1);
    this.mask = capacity - 1;
    this.lefts = new Int32Array(capacity);
    this.rights = new Int32Array(capacity);
    this.values = new Int32Array(capacity);
    for (let i = 0; i < values.length; i++) {
      if (values[i] === 0) continue;
      const slot = this.slot(lefts[i], rights[i]);
      this.lefts[slot] = lefts[i];
      this.rights[slot] = rights[i];
      this.values[slot] = values[i];
    }
  }
}

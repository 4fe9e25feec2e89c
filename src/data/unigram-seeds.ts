// The pieces that unigram training begins with: every character, and every substring that occurs with different continuations
// (the inner nodes of a suffix tree). Found by sorting suffixes with a three-way quicksort (Bentley & Sedgewick 1997), which
// meets the nodes on its way; no suffix is looked at beyond the longest piece.

/** Where a piece stands in the text, how long it is, and how often it occurs. */
interface Repeat {
  readonly start: number;
  readonly length: number;
  readonly count: number;
}

export const maxPieceLength = 16;

/**
 * Substrings of 2 to `maxPieceLength` characters of `text` (code points, words ended by 0) that occur before two different
 * characters, the end of a word being one. Distinct words count once, whatever their frequency, as in the `tokenizers` library.
 */
export function repeatedSubstrings(text: Int32Array): Repeat[] {
  const suffixes = new Int32Array(text.length);
  let size = 0;
  text.forEach((char, start) => {
    if (char !== 0) suffixes[size++] = start;
  });
  const repeats: Repeat[] = [];
  const charAt = (index: number, depth: number) => text[suffixes[index] + depth];

  /** Suffixes [from, to) share their first `depth` characters, none of which is 0. */
  const visit = (from: number, to: number, depth: number): void => {
    if (to - from < 2) return;
    const first = charAt(from, depth);
    let branches = false;
    for (let i = from + 1; i < to && !branches; i++) branches = charAt(i, depth) !== first;
    if (branches && depth > 1) repeats.push({ start: suffixes[from], length: depth, count: to - from });
    if (depth < maxPieceLength) sort(from, to, depth);
  };

  const sort = (from: number, to: number, depth: number): void => {
    if (to - from < 2) return;
    const pivot = median(charAt(from, depth), charAt((from + to) >> 1, depth), charAt(to - 1, depth));
    let [low, at, high] = [from, from, to];
    while (at < high) {
      const suffix = suffixes[at];
      const char = text[suffix + depth];
      if (char < pivot) {
        suffixes[at++] = suffixes[low];
        suffixes[low++] = suffix;
      } else if (char > pivot) {
        suffixes[at] = suffixes[--high];
        suffixes[high] = suffix;
      } else at++;
    }
    sort(from, low, depth);
    if (pivot !== 0) visit(low, high, depth + 1);
    sort(high, to, depth);
  };

  visit(0, size, 0);
  return repeats;
}

function median(a: number, b: number, c: number): number {
  return Math.max(Math.min(a, b), Math.min(Math.max(a, b), c));
}

// A few lengths that rows are padded to: those with the fewest padded tokens. Pure arithmetic on numbers.

/** Tokens of a row by the feed that they stand in. */
export type Lengths = { readonly [feed: string]: number };

/** Tokens that are read: targets stand behind those that they are guessed from, and take no room of their own. */
export const widthOf = (lengths: Lengths): number =>
  Object.entries(lengths).reduce((sum, [feed, length]) => sum + (feed === "targets" ? 0 : length), 0);

/** Whether a row finds room in these lengths. */
export const fits = (row: Lengths, lengths: Lengths): boolean =>
  Object.entries(row).every(([feed, length]) => length <= lengths[feed]!);

/** At most `most` lengths, rising in every feed, such that rows which each take the first that they fit have the fewest tokens. */
export function choosePaddedLengths(rows: readonly Lengths[], most: number): Lengths[] {
  // rows by their width; what holds all up to a width grows with it
  const counts = new Map<number, number>();
  const longest = new Map<number, Lengths>();
  for (const row of rows) {
    const width = widthOf(row);
    counts.set(width, (counts.get(width) ?? 0) + 1);
    longest.set(width, union(longest.get(width) ?? row, row));
  }
  const widths = [...counts.keys()].sort((a, b) => a - b);
  const holding: Lengths[] = [];
  for (const width of widths) holding.push(union(holding.at(-1) ?? longest.get(width)!, longest.get(width)!));
  const upTo = [0];
  for (const width of widths) upTo.push(upTo.at(-1)! + counts.get(width)!);
  // cost[k][j]: fewest tokens of the first j widths in k + 1 lengths; from[k][j]: where the last of them begins. What rows take grows with their
  // number and with the width that holds them, so that it never begins earlier for more widths (the quadrangle inequality: Yao 1980): the one
  // in the middle halves where the others are looked for, and a length takes n log n steps.
  const numWidths = widths.length;
  const room = holding.map(widthOf);
  const [cost, from]: [Float64Array[], Int32Array[]] = [[], []];
  const fill = (k: number, low: number, high: number, first: number, last: number): void => {
    if (low > high) return;
    const j = (low + high) >> 1;
    for (let i = first; i <= Math.min(last, j - 1); i++) {
      const tokens = (k === 0 ? 0 : cost[k - 1]![i]!) + (upTo[j]! - upTo[i]!) * room[j - 1]!;
      if (tokens < cost[k]![j]!) [cost[k]![j], from[k]![j]] = [tokens, i];
    }
    fill(k, low, j - 1, first, from[k]![j]!);
    fill(k, j + 1, high, from[k]![j]!, last);
  };
  for (let k = 0; k < Math.min(most, numWidths); k++) {
    cost.push(new Float64Array(numWidths + 1).fill(Number.POSITIVE_INFINITY));
    from.push(new Int32Array(numWidths + 1));
    fill(k, k + 1, numWidths, k, k === 0 ? 0 : numWidths);
  }
  const chosen: Lengths[] = [];
  for (let [k, j] = [cost.length - 1, numWidths]; j > 0; j = from[k--]![j]!) chosen.unshift(holding[j - 1]!);
  return chosen;
}

/** What holds both. */
const union = (a: Lengths, b: Lengths): Lengths =>
  Object.fromEntries(Object.entries(a).map(([feed, length]) => [feed, Math.max(length, b[feed]!)]));

// What scores of texts share: the interface, and counts of n-grams. No score itself.
import { fail } from "../base/index.ts";

/** A score of written texts against what people wrote, over all pairs seen so far, from 0 to 100. */
export interface TextMetric {
  readonly name: string;
  /** Texts counted so far. */
  readonly count: number;
  /** Adds a text and its references, one or several. Errors with `metric/references` where there is none. */
  add(text: string, references: string | readonly string[]): void;
  /** The score. Errors with `metric/empty` before the first text. */
  value(): number;
}

export function referencesOf(metric: string, given: string | readonly string[]): readonly [string, ...string[]] {
  const [first, ...others] = typeof given === "string" ? [given] : given;
  if (first !== undefined) return [first, ...others];
  return fail("metric/references", `${metric} compares a text with references, and there is none`, {
    where: metric,
    expected: "a text, or a list of at least one",
    got: "an empty list",
    fix: "leave the row out, or give its reference",
  });
}

/** The words between white space, which is Unicode's, as the published scripts in Python have it: JavaScript's also has U+FEFF and lacks U+0085. */
export const splitAtSpaces = (text: string): string[] => text.split(/\p{White_Space}+/u).filter((word) => word !== "");

/** How often each run of `n` items occurs, keyed by the items with U+0000 between them. */
export function countNgrams(items: readonly string[], n: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let at = 0; at + n <= items.length; at++) {
    const key = n === 1 ? items[at]! : items.slice(at, at + n).join("\0");
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  return counts;
}

/** How many n-grams two texts have in common, each as often as in the one that has it less often. */
export function overlap(a: ReadonlyMap<string, number>, b: ReadonlyMap<string, number>): number {
  let common = 0;
  for (const [key, count] of a) common += Math.min(count, b.get(key) ?? 0);
  return common;
}

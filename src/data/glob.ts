// Glob patterns over paths: `*`, `?`, `[a-z]`, `**`, `{a,b}`. Pure string matching in O(pattern * path); reads no folder.
import { fail } from "../base/index.ts";

/** Whether `path` holds any character that makes it a pattern. */
export function isGlob(path: string): boolean {
  return /[*?[{]/.test(path);
}

/**
 * Splits a pattern into the folder to walk (no special characters) and the pattern's segments below it.
 * `corpus/**` + `/*.txt` gives the base `corpus` and the segments `**` and `*.txt`.
 */
export function splitGlob(pattern: string): { base: string; segments: string[] } {
  const parts = pattern.split("/");
  const first = parts.findIndex(isGlob);
  const cut = first < 0 ? parts.length - 1 : first;
  const base = parts.slice(0, cut).join("/");
  return { base: base === "" ? (pattern.startsWith("/") ? "/" : ".") : base, segments: parts.slice(cut) };
}

/** Expands `{a,b}` into separate patterns; at most 1,000 of them. Errors with `data/glob`. */
export function expandBraces(pattern: string): string[] {
  let patterns = [pattern];
  for (;;) {
    const next: string[] = [];
    let changed = false;
    for (const candidate of patterns) {
      const match = /\{([^{}]*)\}/.exec(candidate);
      if (!match) {
        next.push(candidate);
        continue;
      }
      changed = true;
      const [before, after] = [candidate.slice(0, match.index), candidate.slice(match.index + match[0].length)];
      for (const choice of match[1].split(",")) next.push(before + choice + after);
      if (next.length > 1000) {
        fail("data/glob", "the pattern's braces expand to too many patterns", {
          expected: "at most 1000",
          got: pattern.slice(0, 200),
        });
      }
    }
    patterns = next;
    if (!changed) return patterns;
  }
}

/** Whether the path's segments match the pattern's segments; `**` stands for any number of them, even none. */
export function matchSegments(pattern: readonly string[], path: readonly string[]): boolean {
  // reachable[i]: the pattern's first i segments can match what has been read of the path
  let reachable = closure([true, ...new Array<boolean>(pattern.length).fill(false)], pattern);
  for (const segment of path) {
    const next = new Array<boolean>(pattern.length + 1).fill(false);
    for (let i = 0; i < pattern.length; i++) {
      if (!reachable[i]) continue;
      if (pattern[i] === "**") next[i] = true;
      else if (matchSegment(pattern[i], segment)) next[i + 1] = true;
    }
    reachable = closure(next, pattern);
  }
  return reachable[pattern.length];
}

function closure(reachable: boolean[], pattern: readonly string[]): boolean[] {
  for (let i = 0; i < pattern.length; i++) if (reachable[i] && pattern[i] === "**") reachable[i + 1] = true;
  return reachable;
}

/** One path segment against one pattern segment; only the last `*` is ever retried, so the time is bounded. */
export function matchSegment(pattern: string, name: string): boolean {
  if (name.startsWith(".") && !pattern.startsWith(".")) return false;
  let [p, n, star, mark] = [0, 0, -1, 0];
  while (n < name.length) {
    const step = p < pattern.length ? matchOne(pattern, p, name[n]) : 0;
    if (pattern[p] === "*") {
      star = p++;
      mark = n;
    } else if (step > 0) {
      p += step;
      n++;
    } else if (star >= 0) {
      p = star + 1;
      n = ++mark;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}

/** Characters of the pattern at `at` that match `char`: 0 when they do not. */
function matchOne(pattern: string, at: number, char: string): number {
  if (pattern[at] === "?") return 1;
  const close = pattern[at] === "[" ? pattern.indexOf("]", at + 2) : -1;
  if (close < 0) return pattern[at] === char ? 1 : 0;
  const negated = pattern[at + 1] === "!" || pattern[at + 1] === "^";
  let inside = false;
  for (let i = at + (negated ? 2 : 1); i < close; i++) {
    if (pattern[i + 1] === "-" && i + 2 < close) {
      inside ||= pattern[i] <= char && char <= pattern[i + 2];
      i += 2;
    } else inside ||= pattern[i] === char;
  }
  return inside !== negated ? close - at + 1 : 0;
}

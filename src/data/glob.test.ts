// Glob patterns on paths, also hostile ones. Touches no file.
import { expect, it } from "vitest";
import { expandBraces, matchSegment, matchSegments, splitGlob } from "./glob.ts";

const matches = (pattern: string, path: string) => matchSegments(pattern.split("/"), path.split("/"));

it.each([
  ["*.txt", "a.txt", true],
  ["*.txt", "a.txt.gz", false],
  ["*.txt", ".hidden.txt", false],
  ["a?c", "abc", true],
  ["a?c", "ac", false],
  ["[a-c]x", "bx", true],
  ["[!a-c]x", "bx", false],
  ["[!a-c]x", "dx", true],
  ["**/*.txt", "a.txt", true],
  ["**/*.txt", "x/y/a.txt", true],
  ["x/**/z", "x/z", true],
  ["x/**/z", "x/a/b/z", true],
  ["x/*/z", "x/a/b/z", false],
  ["**", "a/b", true],
  ["诗*.json", "诗经.json", true],
])("%s on %s is %s", (pattern, path, expected) => {
  expect(matches(pattern, path)).toBe(expected);
});

it("splits the folder from the pattern", () => {
  expect(splitGlob("a/b/*.txt")).toEqual({ base: "a/b", segments: ["*.txt"] });
  expect(splitGlob("*.txt")).toEqual({ base: ".", segments: ["*.txt"] });
  expect(splitGlob("/data/**/x")).toEqual({ base: "/data", segments: ["**", "x"] });
  expect(splitGlob("/*.txt")).toEqual({ base: "/", segments: ["*.txt"] });
});

it("expands braces, also nested ones, under a bound", () => {
  expect(expandBraces("{a,b}.{x,y}")).toEqual(["a.x", "a.y", "b.x", "b.y"]);
  expect(expandBraces("a{b,{c,d}}").sort()).toEqual(["ab", "ab", "ac", "ad"].sort());
  expect(() => expandBraces("{a,b}".repeat(20))).toThrow("braces");
});

it("a hostile pattern takes no time", () => {
  const start = process.cpuUsage();
  expect(matchSegment(`${"*a".repeat(200)}b`, "a".repeat(5000))).toBe(false);
  expect(matches(`${"**/".repeat(100)}z`, `${"a/".repeat(500)}a`)).toBe(false);
  expect(process.cpuUsage(start).user / 1000).toBeLessThan(20_000); // by trying all ways it never ends
});

// The tree that lanes are added by: each lane is counted once, in one order that is written down here.
import { describe, expect, test } from "vitest";
import {
  kindsOfSum,
  levelAfter,
  levelsHeld,
  levelsUsed,
  microbatchesPerLane,
  placeOfLevel,
  rowsPerLane,
  sumsOf,
} from "./lanes.ts";

/** Plays the programs' part with text: a place holds what was added, as it was bracketed. */
function bracketed(lanes: number, microbatches = 1): string {
  const places: string[] = [];
  for (const [at, { adds, to }] of sumsOf(lanes, microbatches).entries())
    places[to] = adds.reduce((sum, place) => `(${places[place]}+${sum})`, String(at));
  return levelsHeld(lanes)
    .map((level) => places[placeOfLevel(level, lanes)]!)
    .reduce((lower, higher) => `(${higher}+${lower})`);
}

test.each([
  [1, "0"],
  [2, "(0+1)"],
  [3, "((0+1)+2)"],
  [4, "((0+1)+(2+3))"],
  [5, "(((0+1)+(2+3))+4)"],
  [6, "(((0+1)+(2+3))+(4+5))"],
  [7, "(((0+1)+(2+3))+((4+5)+6))"],
])("%i lanes are added as %s", (lanes, text) => {
  expect(bracketed(lanes)).toBe(text);
});

test.each([
  [1, 2, "(0+1)"],
  [1, 4, "(((0+1)+2)+3)"],
  [2, 2, "((0+1)+(2+3))"],
  [2, 3, "(((0+1)+2)+((3+4)+5))"],
  [3, 2, "(((0+1)+(2+3))+(4+5))"],
])("%i lanes of %i microbatches are added as %s", (lanes, microbatches, text) => {
  expect(bracketed(lanes, microbatches)).toBe(text);
});

test("the kinds of sum of a few numbers of microbatches are all that any number needs", () => {
  for (const lanes of [1, 2, 3, 4, 5, 8]) {
    const texts = (counts: number[]) => kindsOfSum(lanes, counts).map((sum) => JSON.stringify(sum));
    const all = new Set(texts([1, 7, 2]));
    for (let count = 1; count < 12; count++)
      for (const sum of sumsOf(lanes, count)) expect(all).toContain(JSON.stringify(sum));
    expect(new Set(sumsOf(lanes, 7).map((sum) => JSON.stringify(sum)))).toEqual(new Set(texts([7])));
    expect(kindsOfSum(lanes, [1, 2]).at(-1)!.adds.length).toBe(Math.max(1, levelsUsed(lanes)));
  }
  expect(kindsOfSum(1, [1])).toEqual([{ adds: [], to: 0 }]);
});

test("every lane is counted once, and no level is used beyond those that are made", () => {
  for (let lanes = 1; lanes <= 70; lanes++) {
    expect([...bracketed(lanes).matchAll(/\d+/g)].map(Number)).toEqual(Array.from({ length: lanes }, (_, at) => at));
    const used = Math.max(...Array.from({ length: lanes }, (_, lane) => levelAfter(lane)));
    expect(levelsUsed(lanes)).toBe(used + 1);
  }
});

test.each([
  [1, 1],
  [2, 1],
  [3, 2],
  [4, 2],
  [6, 3],
  [8, 3],
])("%i lanes need %i places", (lanes, places) => {
  const levels = Array.from({ length: levelsUsed(lanes) }, (_, level) => placeOfLevel(level, lanes));
  expect(new Set(levels).size).toBe(places);
});

describe("rows of a lane", () => {
  test("divide the batch", () => expect(rowsPerLane(12, 3)).toBe(4));
  test.each([0, -1, 1.5, 5, Number.NaN])("%d lanes of 12 rows are refused", (lanes) => {
    expect(() => rowsPerLane(12, lanes)).toThrow(/config\/lanes[\s\S]*batch\.size \(12\)/);
  });
  test("are whole microbatches", () => {
    expect(microbatchesPerLane(24, 2, 4)).toBe(3);
    for (const microbatch of [0, -4, 1.5, 5, 24, Number.NaN])
      expect(() => microbatchesPerLane(24, 2, microbatch)).toThrow(/config\/microbatch[\s\S]*divisor of 12/);
  });
});

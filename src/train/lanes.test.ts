// The tree that lanes are added by: each lane is counted once, in one order that is written down here.
import { describe, expect, test } from "vitest";
import { levelAfter, levelsHeld, levelsUsed, placeOfLevel, rowsPerLane } from "./lanes.ts";

/** Plays the programs' part with text: the place of level k holds what was added, as it was bracketed. */
function bracketed(lanes: number): string {
  const places: string[] = [];
  const at = (level: number) => placeOfLevel(level, lanes);
  for (let lane = 0; lane < lanes; lane++) {
    let combined = String(lane);
    for (let below = 0; below < levelAfter(lane); below++) combined = `(${places[at(below)]}+${combined})`;
    places[at(levelAfter(lane))] = combined;
  }
  return levelsHeld(lanes)
    .map((level) => places[at(level)]!)
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
});

// Lanes: a batch is summed in a fixed number of pieces and the pieces are combined by one fixed tree, so that the bytes of a
// step do not depend on how many processes, or in which order, the pieces are computed. Pure arithmetic on numbers.
import { fail } from "../base/index.ts";

/**
 * Partial sums kept while lanes are added like binary numbers: after lane i, the levels held are the ones of i + 1.
 * Lane i is combined with levels 0 … k−1, k being the trailing one bits of i, and stored at level k.
 */
export function levelAfter(lane: number): number {
  let level = 0;
  for (let rest = lane; rest % 2 === 1; rest = Math.floor(rest / 2)) level++;
  return level;
}

/** Levels that hold a partial sum after all lanes, lowest first. */
export function levelsHeld(lanes: number): number[] {
  const levels: number[] = [];
  for (let level = 0; 2 ** level <= lanes; level++) if (Math.floor(lanes / 2 ** level) % 2 === 1) levels.push(level);
  return levels;
}

/** Levels that are ever used. */
export function levelsUsed(lanes: number): number {
  return Math.floor(Math.log2(lanes)) + 1;
}

/**
 * Where a level's sum is kept. That of 2^k lanes together comes last and takes in all below it: it lies where level k − 1 lay.
 */
export function placeOfLevel(level: number, lanes: number): number {
  return level > 0 && lanes === 2 ** level ? level - 1 : level;
}

/** Rows of each lane. Errors with `config/lanes` when the batch does not divide. */
export function rowsPerLane(batch: number, lanes: number): number {
  if (!Number.isInteger(lanes) || lanes < 1 || batch % lanes !== 0) {
    fail("config/lanes", "the batch does not divide into equal lanes", {
      where: "batch.lanes",
      expected: `a divisor of batch.size (${batch})`,
      got: String(lanes),
      fix: "choose lanes so that batch.size / lanes is whole; 1 is always possible",
    });
  }
  return batch / lanes;
}

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

/** One run of `accumulate`: places whose sums its own is added to, in this order, and the place that the result is kept at. */
export interface MicrobatchSum {
  readonly adds: readonly number[];
  readonly to: number;
}

/**
 * The sums of a step one after the other, `microbatches` for each lane: those of a lane are added up as they come, beside the
 * lanes before, and the last of them takes its lane into the tree.
 */
export function sumsOf(lanes: number, microbatches: number): MicrobatchSum[] {
  const own = lanes === 1 ? 0 : levelsUsed(lanes); // a single lane has the place to itself
  return Array.from({ length: lanes * microbatches }, (_, at) => {
    const [lane, microbatch] = [Math.floor(at / microbatches), at % microbatches];
    const before = microbatch === 0 ? [] : [own];
    if (microbatch < microbatches - 1) return { adds: before, to: own };
    const level = levelAfter(lane);
    return { adds: [...before, ...Array.from({ length: level }, (_, below) => below)], to: placeOfLevel(level, lanes) };
  });
}

/** The kinds of sum in steps of these numbers of microbatches a lane, the one that adds most last. */
export function kindsOfSum(lanes: number, microbatches: readonly number[]): MicrobatchSum[] {
  const kinds = new Map<string, MicrobatchSum>();
  // from three on there are only more of those in between
  for (const count of new Set(microbatches.map((one) => Math.min(one, 3))))
    for (const sum of sumsOf(lanes, count)) kinds.set(JSON.stringify(sum), sum);
  return [...kinds.values()].sort((a, b) => a.adds.length - b.adds.length);
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

/**
 * Microbatches of each lane of a batch. Errors with `config/lanes`, and with `config/microbatch` when a lane is not made of whole
 * microbatches.
 */
export function microbatchesPerLane(batch: number, lanes: number, microbatch: number): number {
  const rows = rowsPerLane(batch, lanes);
  if (!Number.isInteger(microbatch) || microbatch < 1 || rows % microbatch !== 0) {
    fail("config/microbatch", "the batch does not divide into microbatches of one size", {
      where: "batch.microbatch",
      expected: `a divisor of ${rows}, the rows that each of ${lanes} ${lanes === 1 ? "lane" : "lanes"} has of a batch of ${batch}`,
      got: String(microbatch),
      fix: `choose sizes that are multiples of ${lanes} × microbatch, or another microbatch`,
    });
  }
  return rows / microbatch;
}

// Which rows go to training, validation and test. Seeded, and for classes in proportion (stratified). Moves no data.
import { fail } from "../base/index.ts";
import { Permutation } from "./permutation.ts";

export interface SplitOptions {
  /** Share of the rows, 0 to 1. Default 0.2. */
  readonly validation?: number;
  /** Default 0. */
  readonly test?: number;
  readonly seed?: number;
}

/** Ascending row positions. */
export interface Split {
  readonly train: number[];
  readonly validation: number[];
  readonly test: number[];
}

/**
 * Splits `length` rows; with `classes` (a class id per row) every class keeps its share in each part, as near as whole
 * rows allow, and at least one row in training. Errors with `data/split` on bad shares or an empty part.
 */
export function splitRows(length: number, options: SplitOptions = {}, classes?: ArrayLike<number>): Split {
  const { validation = 0.2, test = 0, seed = 0 } = options;
  for (const [name, share] of Object.entries({ validation, test, "validation + test": validation + test })) {
    if (!(share >= 0 && share < 1)) {
      fail("data/split", "a part's share is out of range", {
        where: name,
        expected: "at least 0 and below 1",
        got: String(share),
      });
    }
  }
  const groups = new Map<number, number[]>();
  const order = new Permutation(length, { seed, name: "split" });
  for (let i = 0; i < length; i++) {
    const row = order.at(i);
    const key = classes === undefined ? 0 : classes[row];
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [row]);
    else group.push(row);
  }
  const split: Split = { train: [], validation: [], test: [] };
  // what rounding took from one class is given to the next, so that the totals are right too
  let [owedValidation, owedTest] = [0, 0];
  for (const key of [...groups.keys()].sort((a, b) => a - b)) {
    const rows = groups.get(key) ?? [];
    const room = rows.length - 1;
    owedValidation += validation * rows.length;
    const numValidation = Math.max(0, Math.min(room, Math.round(owedValidation)));
    owedValidation -= numValidation;
    owedTest += test * rows.length;
    const numTest = Math.max(0, Math.min(room - numValidation, Math.round(owedTest)));
    owedTest -= numTest;
    rows.forEach((row, i) => {
      const part = i < numValidation ? "validation" : i < numValidation + numTest ? "test" : "train";
      split[part].push(row);
    });
  }
  for (const [name, share] of [
    ["validation", validation],
    ["test", test],
  ] as const) {
    if (share > 0 && split[name].length === 0) {
      fail("data/split", "a part of the split would be empty", {
        where: name,
        expected: "at least one row in every part",
        got: `${length} rows, a share of ${share}`,
        fix: `give more rows or a larger share; a recipe names it data.heldOut, a call ${name}`,
      });
    }
  }
  const ascending = (a: number, b: number) => a - b;
  return {
    train: split.train.sort(ascending),
    validation: split.validation.sort(ascending),
    test: split.test.sort(ascending),
  };
}

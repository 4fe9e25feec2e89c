// Batches by tokens: the best lengths by trying all, the budget kept, every row once an epoch, and that a loader goes on where it was.
import { expect, test } from "vitest";
import { RandomStream } from "../base/index.ts";
import {
  type BatchShape,
  choosePaddedLengths,
  type DatasetOfLengths,
  LengthBatches,
  type Lengths,
  Loader,
  TextClassDataset,
  TextPairDataset,
} from "./index.ts";

const draw = new RandomStream(3, "lengths");
const drawn = (count: number, most: number, row = 0) =>
  Array.from({ length: count }, (_, at) => 1 + Math.floor(most * draw.uniform(at, row) ** 3));

/** Rows of so many tokens, each the row's own number; the target says it too. */
function numbered(lengths: readonly number[]): DatasetOfLengths {
  const width = Math.max(...lengths) + 3;
  return {
    ...{ unit: "text", length: lengths.length, fingerprint: lengths.join() },
    lengthsOf: (at) => ({ tokens: lengths[at]! }),
    collate: (positions) => {
      const tokens = new Int32Array(positions.length * width).fill(-1);
      positions.forEach((at, row) => void tokens.fill(at, row * width, row * width + lengths[at]!));
      return {
        tokens: { dtype: "i32", shape: [positions.length, width], data: tokens },
        targets: { dtype: "i32", shape: [positions.length], data: Int32Array.from(positions) },
      };
    },
  };
}

/** Fewest tokens of all rows in so many lengths, by trying every choice. */
function fewest(lengths: readonly number[], most: number): number {
  const [longest, kinds] = [Math.max(...lengths), [...new Set(lengths)]];
  let least = Number.POSITIVE_INFINITY;
  for (let choice = 0; choice < 2 ** kinds.length; choice++) {
    const chosen = kinds.filter((_, at) => (choice >> at) & 1).concat(longest);
    if (new Set(chosen).size > most) continue;
    const taken = lengths.map((one) => Math.min(...chosen.filter((length) => length >= one)));
    least = Math.min(
      least,
      taken.reduce((sum, one) => sum + one, 0),
    );
  }
  return least;
}

test.each([1, 2, 3, 5, 40])("no choice of %i lengths has less padding", (most) => {
  for (let row = 0; row < 5; row++) {
    const lengths = drawn(60, 13, row);
    const chosen = choosePaddedLengths(
      lengths.map((tokens) => ({ tokens })),
      most,
    ).map(({ tokens }) => tokens!);
    expect(chosen.length).toBeLessThanOrEqual(most);
    const taken = lengths.map((one) => chosen.find((length) => length >= one)!);
    expect(taken.reduce((sum, one) => sum + one, 0)).toBe(fewest(lengths, most));
  }
});

test("of hundreds of widths too, by the plain recurrence over all of them", () => {
  const widths = [...new Set(drawn(600, 900, 11))].sort((a, b) => a - b);
  const rows = widths.flatMap((tokens, at) => new Array<number>(1 + ((at * at) % 7)).fill(tokens));
  const upTo = widths.map((width) => rows.filter((one) => one <= width).length);
  // least[j]: fewest tokens of the j smallest widths in as many lengths as there were rounds
  let least = widths.map((width, j) => upTo[j]! * width);
  for (let most = 1; most <= 12; most++) {
    const chosen = choosePaddedLengths(
      rows.map((tokens) => ({ tokens })),
      most,
    ).map(({ tokens }) => tokens!);
    const taken = rows.map((one) => chosen.find((length) => length >= one)!);
    expect(chosen.length).toBe(most);
    expect(taken.reduce((sum, one) => sum + one, 0)).toBe(least.at(-1));
    least = widths.map((width, j) =>
      Math.min(least[j]!, ...widths.slice(0, j).map((_, i) => least[i]! + (upTo[j]! - upTo[i]!) * width)),
    );
  }
  expect(widths.length).toBeGreaterThan(250);
});

test("lengths of two feeds rise together, and hold every row", () => {
  const rows = drawn(200, 20, 7).map((source, at) => ({ source, tokens: drawn(200, 30, 8)[at]!, targets: 1 }));
  const chosen = choosePaddedLengths(rows, 4) as Lengths[];
  for (const key of ["source", "tokens"]) {
    const column = chosen.map((one) => one[key]!);
    expect(column).toEqual([...column].sort((a, b) => a - b));
    expect(column.at(-1)).toBe(Math.max(...rows.map((row) => row[key as "source"])));
  }
});

const lengths = drawn(500, 40, 9);
const options = { tokens: 100, lengths: 4, multipleOf: 2, seed: 5 };
const batches = () => new LengthBatches(numbered(lengths), options);
const loaderOf = (of: LengthBatches) => new Loader(of, { batchSize: 1, order: "shuffled", seed: 5, sampler: of });

async function epochOf(number: number) {
  const of = batches();
  const found: { shape: BatchShape; rows: number; tokens: Int32Array; targets: Int32Array }[] = [];
  for (let at = 0, sample = number * 500; at < of.batchesPerEpoch; at++) {
    const { rows, shape } = of.batchAt(sample);
    const samples = Array.from({ length: rows }, (_, n) => sample + n);
    const { tokens, targets } = await of.collate(of.range(sample, rows), samples);
    expect([tokens!.shape, targets!.shape]).toEqual([[shape.rows, shape.lengths.tokens], [shape.rows]]);
    found.push({ shape, rows, tokens: tokens!.data as Int32Array, targets: targets!.data as Int32Array });
    sample += rows;
  }
  return found;
}

test("every row comes once an epoch, whole, in a batch within the budget", async () => {
  for (const number of [0, 1, 7]) {
    const found = await epochOf(number);
    const seen = found.flatMap(({ rows, targets }) => Array.from(targets.subarray(0, rows)));
    expect(seen.sort((a, b) => a - b)).toEqual(lengths.map((_, at) => at));
    for (const { shape, rows, tokens, targets } of found) {
      const width = shape.lengths.tokens!;
      expect(shape.rows * width).toBeLessThanOrEqual(100);
      expect(shape.rows % 2).toBe(0);
      for (let row = 0; row < rows; row++) {
        const own = lengths[targets[row]!]!;
        const text = [...new Array(own).fill(targets[row]), ...new Array(width - own).fill(-1)];
        expect(Array.from(tokens.subarray(row * width, (row + 1) * width))).toEqual(text);
      }
      expect(Array.from(targets.subarray(rows))).toEqual(new Array(shape.rows - rows).fill(-1));
    }
    expect(found.filter(({ shape, rows }) => rows < shape.rows).length).toBeLessThanOrEqual(1);
  }
});

test("epochs differ in their order and their batches, and have the same shapes as often", async () => {
  const [first, second] = [await epochOf(0), await epochOf(1)];
  const kinds = (found: typeof first) => found.map(({ shape, rows }) => `${rows} of ${shape.rows}`);
  expect(kinds(second)).not.toEqual(kinds(first));
  expect(kinds(second).sort()).toEqual(kinds(first).sort());
  const sets = (found: typeof first) => new Set(found.map(({ targets }) => [...targets].sort((a, b) => a - b).join()));
  expect([...sets(second)].filter((one) => sets(first).has(one)).length).toBeLessThan(first.length / 2);
  const { shapes, batchesPerEpoch } = batches();
  expect(shapes.reduce((sum, shape) => sum + shape.batches, 0)).toBe(batchesPerEpoch);
});

test("padding is counted as it is", async () => {
  const taken = (await epochOf(0)).reduce((sum, { tokens }) => sum + tokens.length, 0);
  const own = lengths.reduce((sum, one) => sum + one, 0);
  const { padding } = batches();
  expect(padding.batched).toBeCloseTo(1 - own / taken, 12);
  expect(padding.whole).toBeCloseTo(1 - own / (500 * Math.max(...lengths)), 12);
  expect(padding.batched).toBeLessThan(padding.whole / 2);
});

test("samples and sums before a batch are those of the batches before it", async () => {
  const of = batches();
  let [samples, sum] = [0, 0];
  for (let at = 0; at < 2 * of.batchesPerEpoch + 3; at++) {
    expect(of.before(at, ({ lengths }) => lengths.tokens!)).toEqual({ samples, sum });
    const { rows, shape } = of.batchAt(samples);
    samples += rows;
    sum += rows * shape.lengths.tokens!;
  }
});

test("a loader goes on in the middle of an epoch, over its end, and refuses a place where no batch begins", async () => {
  const of = batches();
  const [whole, halved] = [loaderOf(of), loaderOf(batches())];
  const step = async (loader: typeof whole, plan: LengthBatches) =>
    (await loader.next(plan.batchAt(loader.state().nextSample).rows)).tokens!.data;
  const half = of.batchesPerEpoch - 2;
  for (let at = 0; at < half; at++) await step(whole, of);
  const restored = batches();
  halved.restore(JSON.parse(JSON.stringify(whole.state())));
  for (let at = 0; at < 5; at++) expect(await step(halved, restored)).toEqual(await step(whole, of));
  expect(() => of.batchAt(of.batchAt(0).rows - 1)).toThrow("the first sample of a batch");
  const other = new LengthBatches(numbered(lengths), { ...options, tokens: 120 });
  expect(() => loaderOf(other).restore(whole.state())).toThrow("another order of data");
});

test("pairs know their lengths with start and end, as far as they are read", async () => {
  const ids = (length: number) => new Int32Array(length).fill(7);
  const layout = { context: 6, targetContext: 4, start: 8, end: 9 };
  const pairs = new TextPairDataset(
    [
      [ids(2), ids(1)],
      [ids(9), ids(9)],
    ],
    layout,
    "x",
  );
  expect([0, 1].map((at) => pairs.lengthsOf(at))).toEqual([
    { source: 3, tokens: 2, targets: 2 },
    { source: 6, tokens: 4, targets: 4 },
  ]);
  const { source, tokens, targets } = await new LengthBatches(pairs, { tokens: 10, lengths: 1, seed: 1 }).collate(
    [0],
    [0],
  );
  expect([source!.shape, tokens!.shape, targets!.shape]).toEqual([
    [1, 6],
    [1, 4],
    [1, 4],
  ]);
});

test("a text without tokens takes a place of the budget", () => {
  const texts = [[], [], [], [], [], [5, 6, 7]].map((ids) => Int32Array.from(ids));
  const data = new TextClassDataset(texts, new Int32Array(6), { width: 4, fingerprint: "x" });
  const { shapes } = new LengthBatches(data, { tokens: 3, lengths: 2, seed: 1 });
  expect(shapes).toEqual([
    { rows: 1, lengths: { tokens: 3 }, batches: 1 },
    { rows: 3, lengths: { tokens: 1 }, batches: 2 },
  ]);
});

test("a budget without room for the longest row, and no rows, are refused", () => {
  const most = Math.max(...lengths);
  expect(() => new LengthBatches(numbered(lengths), { ...options, tokens: 2 * most - 1 })).toThrow(
    `at least ${2 * most}`,
  );
  new LengthBatches(numbered(lengths), { ...options, tokens: 2 * most });
  expect(() => new LengthBatches({ ...numbered([1]), length: 0 }, options)).toThrow("there is no text to draw");
});

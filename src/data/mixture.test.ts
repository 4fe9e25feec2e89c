// Mixtures: shares follow the weights, each source's rows come in its own order, and any sample is found without those before it.
import { expect, test } from "vitest";
import type { Batch, Dataset } from "./batch.ts";
import { Loader } from "./loader.ts";
import { concatenated, Mixture } from "./mixture.ts";

/** Rows that say where they come from: 1000 · source + row, twice. */
const rowsOf = (source: number, length: number): Dataset<Batch> => ({
  unit: "row",
  length,
  fingerprint: `${source}`,
  collate: (positions) => ({
    tokens: {
      dtype: "i32",
      shape: [positions.length, 2],
      data: Int32Array.from(positions.flatMap((at) => [1000 * source + at, 1000 * source + at])),
    },
    kept: { dtype: "bool", shape: [positions.length], data: Uint8Array.from(positions, () => source) },
  }),
});
const mix = (weights: readonly ((sample: number) => number)[], lengths = [5, 300, 7], seed = 3) =>
  new Mixture(
    weights.map((weightAt, at) => ({ dataset: rowsOf(at, lengths[at]!), order: "shuffled" as const, weightAt })),
    seed,
  );
const drawn = async (mixture: Mixture<Batch>, from: number, count: number) => {
  const { tokens } = await mixture.collate(Array.from({ length: count }, (_, at) => from + at));
  return Array.from(tokens!.data as Int32Array).filter((_, at) => at % 2 === 0);
};
const shareOf = (ids: readonly number[], source: number) =>
  ids.filter((id) => Math.floor(id / 1000) === source).length / ids.length;

test("shares are the weights', within five deviations of a fair draw", async () => {
  const ids = await drawn(mix([() => 1, () => 2, () => 5]), 0, 10_000);
  for (const [source, share] of [1 / 8, 2 / 8, 5 / 8].entries())
    expect(Math.abs(shareOf(ids, source) - share)).toBeLessThan(5 * Math.sqrt((share * (1 - share)) / 10_000));
});

test("each source gives every row once before any comes again", async () => {
  const ids = await drawn(mix([() => 1, () => 1, () => 1]), 0, 600);
  for (const [source, length] of [5, 300, 7].entries()) {
    const own = ids.filter((id) => Math.floor(id / 1000) === source);
    for (let at = 0; at + length <= own.length; at += length)
      expect(new Set(own.slice(at, at + length)).size).toBe(length);
  }
});

test("rows that differ each time are told which draw they are", async () => {
  const told: number[] = [];
  const dataset: Dataset<Batch> = {
    ...rowsOf(0, 3),
    collate: (positions, samples) => {
      told.push(...samples!);
      return rowsOf(0, 3).collate(positions);
    },
  };
  await new Mixture([{ dataset, order: "shuffled", weightAt: () => 1 }], 1).collate([7, 8, 9_000]);
  expect(told).toEqual([7, 8, 9_000]);
});

test("weights change with the samples", async () => {
  const half = mix([(sample) => (sample < 500 ? 1 : 0), () => 1e-9, (sample) => (sample < 500 ? 0 : 1)]);
  const ids = await drawn(half, 0, 1000);
  expect([shareOf(ids.slice(0, 500), 0), shareOf(ids.slice(500), 2)]).toEqual([1, 1]);
});

test("any sample is what it is, whether or not those before were drawn", async () => {
  const whole = await drawn(mix([() => 1, () => 2, () => 3]), 0, 10_000);
  for (const from of [9_990, 4_096, 0, 8_191]) {
    const fresh = mix([() => 1, () => 2, () => 3]);
    expect(await drawn(fresh, from, 10)).toEqual(whole.slice(from, from + 10));
    expect(await drawn(fresh, 20, 10)).toEqual(whole.slice(20, 30));
  }
  expect(await drawn(mix([() => 1, () => 2, () => 3], undefined, 4), 0, 50)).not.toEqual(whole.slice(0, 50));
});

test("a loader goes on where it stood, and on no other mixture", async () => {
  const loaderOf = (lengths: number[]) =>
    new Loader(mix([() => 1, () => 1, () => 1], lengths), { batchSize: 8, order: "sequential", seed: 3 });
  const loader = loaderOf([5, 300, 7]);
  for (let at = 0; at < 5; at++) await loader.next();
  const state = JSON.parse(JSON.stringify(loader.state()));
  const again = loaderOf([5, 300, 7]);
  again.restore(state);
  expect((await again.next()).tokens).toEqual((await loader.next()).tokens);
  expect(() => loaderOf([5, 299, 7]).restore(state)).toThrow("data/loader-state");
});

test("rows one after the other, of any source, in the order asked for", async () => {
  const all = concatenated([rowsOf(0, 2), rowsOf(1, 3)]);
  const { tokens, kept } = await all.collate([4, 0, 2, 1]);
  expect(all.length).toBe(5);
  expect([...(tokens!.data as Int32Array)]).toEqual([1002, 1002, 0, 0, 1000, 1000, 1, 1]);
  expect([...(kept!.data as Uint8Array)]).toEqual([1, 0, 1, 0]);
});

test("a source without rows is refused", () => {
  expect(() => mix([() => 1], [0])).toThrow("data/empty");
});

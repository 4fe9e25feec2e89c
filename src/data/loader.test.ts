// The order of data: exact, resumable, the same however the rows of a batch are shared out.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { HostArray } from "../base/index.ts";
import { type Batch, type Dataset, sliceBatch } from "./batch.ts";
import { evaluationBatches, Loader, type LoaderOptions, type LoaderState } from "./loader.ts";
import { makeSampler } from "./sampler.ts";
import { SequentialWindows, TextWindows } from "./text-windows.ts";
import { MemoryTokens } from "./token-store.ts";

/** Rows whose only value is their own position. */
class Numbers implements Dataset<{ value: HostArray; targets: HostArray }> {
  readonly unit = "row";
  readonly length: number;
  readonly fingerprint: string;
  failAt = -1;
  calls = 0;
  constructor(length: number) {
    this.length = length;
    this.fingerprint = `numbers/${length}`;
  }
  collate(positions: readonly number[]) {
    this.calls++;
    if (positions.includes(this.failAt)) throw new Error(`row ${this.failAt} cannot be read`);
    const array = () => ({ dtype: "i32" as const, shape: [positions.length], data: Int32Array.from(positions) });
    return { value: array(), targets: array() };
  }
}

const values = (batch: Batch) => [...(batch.value.data as Int32Array)];
const ids = (batch: Batch) => [...(batch.rows.data as Int32Array)];

async function draw(
  dataset: Dataset<{ value: HostArray; targets: HostArray }>,
  options: LoaderOptions,
  batches: number,
  state?: LoaderState,
) {
  const loader = new Loader(dataset, options);
  if (state) loader.restore(state);
  const drawn: number[][] = [];
  for (let i = 0; i < batches; i++) drawn.push(values(await loader.next()));
  return drawn;
}

describe("order", () => {
  it("each row comes once an epoch, in another order each epoch", async () => {
    const drawn = (await draw(new Numbers(12), { batchSize: 4, order: "shuffled", seed: 1 }, 6)).flat();
    const [first, second] = [drawn.slice(0, 12), drawn.slice(12)];
    expect([...first].sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, i) => i));
    expect([...second].sort((a, b) => a - b)).toEqual(Array.from({ length: 12 }, (_, i) => i));
    expect(first).not.toEqual(second);
  });

  it("the sequence does not depend on batch size, prefetch or shares (elastic order)", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 24, max: 100 }),
        fc.nat(),
        fc.constantFrom("random" as const, "shuffled" as const, "sequential" as const),
        fc.constantFrom(1, 2, 3, 4, 8),
        fc.integer({ min: 1, max: 5 }),
        async (length, seed, order, processes, prefetch) => {
          const one = (await draw(new Numbers(length), { batchSize: 24, order, seed }, 4)).flat();
          const small = (await draw(new Numbers(length), { batchSize: 8, order, seed, prefetch }, 12)).flat();
          const shares = await Promise.all(
            Array.from({ length: processes }, (_, i) => {
              const share = { start: (24 * i) / processes, end: (24 * (i + 1)) / processes };
              return draw(new Numbers(length), { batchSize: 24, order, seed, share }, 4);
            }),
          );
          const joined = [0, 1, 2, 3].flatMap((step) => shares.flatMap((drawn) => drawn[step]));
          expect(small).toEqual(one);
          expect(joined).toEqual(one);
        },
      ),
      { numRuns: 25 },
    );
  });

  it("rows carry their global sample ids", async () => {
    const loader = new Loader(new Numbers(10), { batchSize: 4, order: "random", seed: 3, share: { start: 2, end: 4 } });
    expect(ids(await loader.next())).toEqual([2, 3]);
    expect(ids(await loader.next())).toEqual([6, 7]);
    loader.restore({ ...loader.state(), nextSample: 2 ** 32 + 8 });
    expect(ids(await loader.next())).toEqual([10, 11]);
  });

  it("random draws are uniform, also beyond 2^32 samples", () => {
    const sampler = makeSampler("random", 10, 7);
    for (const offset of [0, 2 ** 32 - 5000, 2 ** 40]) {
      const counts = new Array<number>(10).fill(0);
      for (let i = 0; i < 10_000; i++) counts[sampler.at(offset + i)]++;
      const chiSquare = counts.reduce((sum, count) => sum + (count - 1000) ** 2 / 1000, 0);
      expect(chiSquare).toBeLessThan(34); // 9 degrees of freedom, p about 1e-4
    }
    expect(sampler.at(5)).not.toBe(undefined);
    const again = makeSampler("random", 10, 7);
    expect(Array.from({ length: 50 }, (_, i) => again.at(i))).toEqual(
      Array.from({ length: 50 }, (_, i) => sampler.at(i)),
    );
  });
});

describe("resuming", () => {
  it("continues exactly, from any place, however much was prefetched", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 5, max: 60 }),
        fc.nat(20),
        fc.integer({ min: 1, max: 6 }),
        fc.constantFrom("random" as const, "shuffled" as const, "sequential" as const),
        async (length, stop, prefetch, order) => {
          const options = { batchSize: 5, order, seed: 9, prefetch };
          const whole = await draw(new Numbers(length), options, stop + 5);
          const loader = new Loader(new Numbers(length), options);
          for (let i = 0; i < stop; i++) await loader.next();
          const state = JSON.parse(JSON.stringify(loader.state()));
          expect(await draw(new Numbers(length), options, 5, state)).toEqual(whole.slice(stop));
        },
      ),
      { numRuns: 60 },
    );
  });

  it("a million rows in makes no batch on the way", async () => {
    const dataset = new Numbers(1e6);
    const loader = new Loader(dataset, { batchSize: 10, order: "shuffled", seed: 1, prefetch: 1 });
    loader.restore({ ...loader.state(), nextSample: 999_990 });
    const last = await loader.next();
    expect(dataset.calls).toBeLessThanOrEqual(2);
    expect(new Set(values(last)).size).toBe(10);
    expect(loader.epoch).toBe(1);
  });

  it("refuses the state of other data, order or seed", () => {
    const loader = new Loader(new Numbers(10), { batchSize: 2, order: "shuffled", seed: 1 });
    const state = loader.state();
    const others: unknown[] = [
      { ...state, seed: 2 },
      { ...state, order: "random" },
      { ...state, length: 11 },
      { ...state, fingerprint: "x" },
      { ...state, version: 2 },
      { ...state, nextSample: -1 },
      { ...state, nextSample: 0.5 },
      { ...state, nextSample: "3" },
      null,
      {},
    ];
    for (const other of others) expect(() => loader.restore(other as LoaderState)).toThrow("[data/loader-state]");
    loader.restore(state);
  });
});

describe("Loader", () => {
  it("refuses short data with its row count, or follows the policy", async () => {
    const dataset = new Numbers(3);
    const short = { batchSize: 4, order: "shuffled", seed: 1 } as const;
    expect(() => new Loader(dataset, short)).toThrowErrorMatchingInlineSnapshot(`
      [AthanorError: [data/short-batch] the batch is larger than the data
        expected  at least 4 rows
        got       3
        fix       set batch.size to 3 or less, or data.onShort to truncate or wrap]
    `);
    const truncated = new Loader(dataset, { ...short, onShort: "truncate" });
    expect(truncated.batchSize).toBe(3);
    expect(values(await truncated.next()).sort()).toEqual([0, 1, 2]);
    const wrapped = await draw(dataset, { ...short, onShort: "wrap" }, 3);
    expect(wrapped.flat().sort()).toEqual([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]);
    expect(() => new Loader(new Numbers(0), short)).toThrow("[data/empty]");
    for (const batchSize of [0, -1, 1.5, Number.NaN])
      expect(() => new Loader(dataset, { ...short, batchSize })).toThrow("[data/batch-size]");
    expect(() => new Loader(dataset, { ...short, onShort: "wrap", share: { start: 2, end: 5 } })).toThrow(
      "[data/share]",
    );
  });

  it("makes batches ahead, a bounded number of them", async () => {
    const dataset = new Numbers(1000);
    const loader = new Loader(dataset, { batchSize: 2, order: "sequential", seed: 0, prefetch: 3 });
    await loader.next();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(dataset.calls).toBe(4);
    await loader.next();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(dataset.calls).toBe(5);
    loader.close();
    await expect(loader.next()).rejects.toMatchObject({ code: "data/closed" });
  });

  it("gives batches of the rows asked for, one after the other, whatever was made ahead", async () => {
    for (const prefetch of [1, 2, 3]) {
      const dataset = new Numbers(100);
      const loader = new Loader(dataset, { batchSize: 2, order: "sequential", seed: 0, prefetch });
      const sizes = [2, 4, 4, 1, 6, 3];
      const drawn: number[][] = [];
      for (const [at, rows] of sizes.entries())
        drawn.push(values(await loader.next(rows, sizes.slice(at + 1, at + 3))));
      expect(drawn.map(({ length }) => length)).toEqual(sizes);
      expect(drawn.flat()).toEqual(Array.from({ length: 20 }, (_, row) => row));
      expect(loader.state().nextSample).toBe(20);
    }
  });

  it("makes nothing twice where the rows of the next batches were told", async () => {
    const dataset = new Numbers(100);
    const loader = new Loader(dataset, { batchSize: 2, order: "sequential", seed: 0, prefetch: 2 });
    for (const [rows, ...ahead] of [
      [2, 4, 4],
      [4, 4, 6],
      [4, 6, 6],
    ])
      await loader.next(rows, ahead);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(dataset.calls).toBe(5);
    await loader.next(5); // another than was told
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(dataset.calls).toBe(8);
  });

  it("has the same share of batches of other sizes, or refuses them", async () => {
    const options = { batchSize: 4, order: "sequential", seed: 0, share: { start: 1, end: 3 } } as const;
    expect(values(await new Loader(new Numbers(100), options).next(8))).toEqual([2, 3, 4, 5]);
    await expect(new Loader(new Numbers(100), options).next(6)).rejects.toMatchObject({ code: "data/share" });
  });

  it("throws background failures where they are awaited, and can ask again", async () => {
    const dataset = new Numbers(100);
    dataset.failAt = 5;
    const loader = new Loader(dataset, { batchSize: 2, order: "sequential", seed: 0, prefetch: 4 });
    expect(values(await loader.next())).toEqual([0, 1]);
    await new Promise((resolve) => setTimeout(resolve, 10)); // no unhandled rejection
    await loader.next();
    await expect(loader.next()).rejects.toThrow("row 5 cannot be read");
    expect(loader.state().nextSample).toBe(4);
    dataset.failAt = -1;
    expect(values(await loader.next())).toEqual([4, 5]);
  });

  it("is an endless async iterable", async () => {
    const seen: number[][] = [];
    const loader = new Loader(new Numbers(4), { batchSize: 3, order: "sequential", seed: 0 });
    for await (const batch of loader) {
      seen.push(values(batch));
      if (seen.length === 3) break;
    }
    expect(seen).toEqual([
      [0, 1, 2],
      [3, 0, 1],
      [2, 3, 0],
    ]);
    expect(loader.state().nextSample).toBe(9);
  });
});

describe("windows of text", () => {
  const store = new MemoryTokens(
    Uint16Array.from({ length: 23 }, (_, i) => i),
    100,
  );

  it("training windows hold consecutive ids and their successors", async () => {
    const windows = new TextWindows(store, 5);
    expect(windows.length).toBe(18);
    const { tokens, targets } = await windows.collate([0, 17]);
    expect(tokens.shape).toEqual([2, 5]);
    expect([...tokens.data]).toEqual([0, 1, 2, 3, 4, 17, 18, 19, 20, 21]);
    expect([...targets.data]).toEqual([1, 2, 3, 4, 5, 18, 19, 20, 21, 22]);
    const { tokens: micro } = sliceBatch(await windows.collate([0, 17]), 1, 2);
    expect([...micro.data]).toEqual([17, 18, 19, 20, 21]);
  });

  it("evaluation predicts every id but the first exactly once", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 2, max: 60 }),
        fc.integer({ min: 1, max: 12 }),
        fc.integer({ min: 1, max: 5 }),
        async (length, context, batchSize) => {
          const text = new MemoryTokens(
            Uint16Array.from({ length }, (_, i) => i),
            100,
          );
          const windows = new SequentialWindows(text, context);
          const predicted: number[] = [];
          let rows = 0;
          for await (const { batch, count } of evaluationBatches(windows, batchSize)) {
            expect(batch.tokens.shape).toEqual([batchSize, context]);
            expect(batch.rows.data.length).toBe(batchSize);
            rows += count;
            batch.targets.data.forEach((target, i) => {
              if (Number(target) === -1) return;
              expect(Number(target)).toBe(Number(batch.tokens.data[i]) + 1);
              predicted.push(Number(target));
            });
          }
          expect(predicted).toEqual(Array.from({ length: length - 1 }, (_, i) => i + 1));
          expect([rows, windows.numTargets]).toEqual([windows.length, length - 1]);
        },
      ),
      { numRuns: 100 },
    );
  });

  it("a context longer than the text is refused with both numbers", () => {
    expect(() => new TextWindows(store, 23)).toThrowErrorMatchingInlineSnapshot(`
      [AthanorError: [data/context] the text is too short for the context
        expected  a context of at least 1 and at least 24 tokens
        got       a context of 23 and 23 tokens
        fix       set the context to 22 or less, or give more text]
    `);
    expect(new TextWindows(store, 22).length).toBe(1);
    for (const context of [0, -1, 1.5, Number.NaN])
      expect(() => new TextWindows(store, context)).toThrow("[data/context]");
    expect(() => new SequentialWindows(new MemoryTokens(Uint16Array.of(1), 2), 4)).toThrow("[data/context]");
  });
});

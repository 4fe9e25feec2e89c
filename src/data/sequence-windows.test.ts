// Spans behind sentinels and beginnings that are given: published lengths and an example, equal chances, and that nothing of a text is lost.
import { expect, test } from "vitest";
import {
  CharTokenizer,
  drawSpans,
  hiddenSpans,
  hideSpans,
  Loader,
  MemoryTokens,
  PrefixWindows,
  randomPrefix,
  type SequenceWindowOptions,
  SequenceWindows,
  SequentialWindows,
  sentinelIds,
  spanCounts,
  spanWindow,
  type TextPairBatch,
  TextWindows,
} from "./index.ts";
import { sampleDraws } from "./sample-draws.ts";

const published = { noise: 0.15, meanLength: 3 };

// T5 1.1, mT5 and ByT5 (Raffel et al. 2020; Xue et al. 2021, 2022): lengths of inputs and targets that their pretraining states
test.each([
  [512, published, 568, 114],
  [1024, published, 1137, 229],
  [1024, { noise: 0.15, meanLength: 20 }, 1193, 189],
])("of %i tokens that are read, the targets are as long as published", (inputs, shares, window, targets) => {
  expect(spanWindow(inputs, shares)).toBe(window);
  expect(spanCounts(window, shares)).toMatchObject({ source: inputs, target: targets });
});

test("counts are rounded half to even, and there is always something to hide and something to see", () => {
  expect(spanCounts(100, published)).toEqual({ hidden: 15, spans: 5, source: 91, target: 21 });
  expect(spanCounts(30, published)).toEqual({ hidden: 4, spans: 1, source: 28, target: 6 }); // 4.5 tokens
  expect(spanCounts(10, published)).toEqual({ hidden: 2, spans: 1, source: 10, target: 4 }); // 1.5 tokens
  expect(spanCounts(2, published)).toEqual({ hidden: 1, spans: 1, source: 3, target: 3 });
  expect(spanCounts(10, { noise: 0.9, meanLength: 1 })).toEqual({ hidden: 9, spans: 1, source: 3, target: 11 });
  expect(spanWindow(2, published)).toBe(1);
});

test("the published example", () => {
  const words = "Thank you for inviting me to your party last week <X> <Y> <Z>".split(" ");
  const ids = Int32Array.from({ length: 10 }, (_, at) => at);
  const [source, target] = hideSpans(ids, [2, 2, 4, 1, 1], [10, 11, 12]).map((side) =>
    Array.from(side, (id) => words[id]).join(" "),
  );
  expect(source).toBe("Thank you <X> me to your party <Y> week");
  expect(target).toBe("<X> for inviting <Y> last <Z>");
});

test("all ways to hide so many spans are equally likely", () => {
  const counts = new Map<string, number>();
  for (let sample = 0; sample < 6000; sample++) {
    const lengths = drawSpans(8, { noise: 0.5, meanLength: 2 }, sampleDraws(1, "spans", sample));
    counts.set(lengths.join(), (counts.get(lengths.join()) ?? 0) + 1);
  }
  expect(counts.size).toBe(9); // 4 tokens in 2 spans: 3 ways, of the hidden as of the kept
  for (const count of counts.values()) expect(Math.abs(count - 6000 / 9)).toBeLessThan(5 * Math.sqrt((6000 * 8) / 81));
});

const characters = new CharTokenizer([..."abcdefghij "]);
const text = Array.from({ length: 3000 }, (_, at) => "abcdefghij "[(at * at + 3 * at) % 11]).join("");
const ids = Array.from(characters.encode(text));
const store = new MemoryTokens(Uint16Array.from(ids), 11);
const sentinels = sentinelIds(characters, 5);
const [start, end] = [sentinels.size, sentinels.size + 1];
const spans: SequenceWindowOptions = {
  ...hiddenSpans(published, sentinels.ids),
  ...{ width: 100, layout: { context: 91, targetContext: 21, start, end }, seed: 7, order: "random" },
};
const prefix: SequenceWindowOptions = {
  ...randomPrefix,
  ...{ width: 20, layout: { context: 20, targetContext: 20, start, end }, seed: 7, order: "random" },
};
const rowsOf = ({ data, shape }: TextPairBatch["source"]) =>
  Array.from({ length: shape[0]! }, (_, row) =>
    Array.from((data as Int32Array).slice(row * shape[1]!, (row + 1) * shape[1]!)),
  );
const valuesOf = ({ source, tokens, targets }: TextPairBatch) => [source, tokens, targets].map(rowsOf);

/** The text that a source with sentinels and what is written for them tell of. */
function restored(source: readonly number[], target: readonly number[]): number[] {
  const isSentinel = (id: number) => sentinels.ids.includes(id);
  const written = target.slice(0, target.indexOf(end));
  return source.slice(0, source.indexOf(end)).flatMap((id) => {
    if (!isSentinel(id)) return [id];
    const from = written.indexOf(id) + 1;
    const next = written.findIndex((other, at) => at >= from && isSentinel(other));
    return written.slice(from, next < 0 ? undefined : next);
  });
}

test("what is read and what is written give the text back, in rows without padding", async () => {
  const [sources, tokens, targets] = valuesOf(await new SequenceWindows(store, spans).collate([5, 700, 2900]));
  [5, 700, 2900].forEach((from, row) => {
    expect(restored(sources![row]!, targets![row]!)).toEqual(ids.slice(from, from + 100));
    expect(tokens![row]).toEqual([start, ...targets![row]!.slice(0, -1)]);
    expect([...sources![row]!, ...targets![row]!]).not.toContain(-1);
    expect(targets![row]!.filter((id) => sentinels.ids.includes(id))).toEqual(sentinels.ids);
  });
});

test("in order, the windows are the whole text; the last is shorter and padded, and one token alone is left out", async () => {
  const inOrder = (length: number) =>
    new SequenceWindows(new MemoryTokens(Uint16Array.from(ids.slice(0, length)), 11), {
      ...spans,
      order: "sequential",
    });
  expect([201, 202, 300].map((length) => inOrder(length).length)).toEqual([2, 3, 3]);
  const [sources, , targets] = valuesOf(await inOrder(240).collate([0, 1, 2]));
  expect(sources!.flatMap((source, row) => restored(source, targets![row]!))).toEqual(ids.slice(0, 240));
  expect(sources![2]!.slice(37)).toEqual(new Array(54).fill(-1)); // 40 tokens: 6 hidden in 2 spans
  expect(targets![2]!.slice(9)).toEqual(new Array(12).fill(-1));
});

test("a prefix of any length is read, and the rest written", async () => {
  const samples = Array.from({ length: 1900 }, (_, at) => at);
  const [sources, , targets] = valuesOf(await new SequenceWindows(store, prefix).collate(samples));
  const counts = new Array(20).fill(0);
  sources!.forEach((source, row) => {
    const length = source.indexOf(end);
    counts[length]++;
    expect([...source.slice(0, length), ...targets![row]!.slice(0, 20 - length)]).toEqual(ids.slice(row, row + 20));
    expect(targets![row]![20 - length]).toBe(length === 0 ? undefined : end);
  });
  expect(counts[0]).toBe(0);
  for (const count of counts.slice(1)) expect(Math.abs(count - 100)).toBeLessThan(50);
});

test.each([
  ["spans", spans],
  ["prefix", prefix],
])(
  "%s: other ones each time, the same for a sample, and a loader goes on with what it would have made",
  async (_, one) => {
    const windows = new SequenceWindows(store, one);
    const once = valuesOf(await windows.collate([5], [100]));
    expect(valuesOf(await windows.collate([5], [100]))).toEqual(once);
    const others = [new SequenceWindows(store, { ...one, seed: 8 }).collate([5], [100])];
    others.push(...[101, 102, 100 + 2 ** 32].map((sample) => windows.collate([5], [sample])));
    const found = new Set((await Promise.all(others)).map((batch) => JSON.stringify(valuesOf(batch))));
    expect(found.size).toBeGreaterThan(2);
    const loader = () => new Loader(new SequenceWindows(store, one), { batchSize: 3, order: "random", seed: 1 });
    const [whole, halved, resumed] = [loader(), loader(), loader()];
    await whole.next();
    await halved.next();
    resumed.restore(JSON.parse(JSON.stringify(halved.state())));
    expect(valuesOf(await resumed.next())).toEqual(valuesOf(await whole.next()));
  },
);

test("a model of next tokens is not asked for a beginning, and always for the end", async () => {
  const windows = new PrefixWindows(new TextWindows(store, 19), 7);
  const samples = Array.from({ length: 1900 }, (_, at) => at);
  const { tokens, targets } = await windows.collate(samples);
  const counts = new Array(19).fill(0);
  rowsOf(targets).forEach((row, at) => {
    const given = row.findIndex((id) => id >= 0);
    counts[given]++;
    expect(row).toEqual([...new Array(given).fill(-1), ...ids.slice(at + 1 + given, at + 20)]);
  });
  expect(rowsOf(tokens)[0]).toEqual(ids.slice(0, 19));
  for (const count of counts) expect(Math.abs(count - 100)).toBeLessThan(50);
  const short = new MemoryTokens(Uint16Array.from(ids.slice(0, 24)), 11);
  const last = await new PrefixWindows(new SequentialWindows(short, 19), 7).collate([1]);
  expect(rowsOf(last.targets)[0]!.slice(3)).toEqual([ids[23], ...new Array(15).fill(-1)]); // four targets
});

test("sentinels are the tokenizer's own, else they follow its vocabulary", () => {
  const own = new Map([
    ["<extra_id_0>", 40],
    ["<extra_id_1>", 39],
  ]);
  const tokenizer = { ...characters, vocabSize: 41, specialTokens: own } as unknown as CharTokenizer;
  expect(sentinelIds(tokenizer, 4)).toEqual({ ids: [40, 39, 41, 42], size: 43 });
});

test("a text that fills no window, and a window without room, are refused", () => {
  const few = new MemoryTokens(Uint16Array.of(1, 2, 3), 11);
  expect(() => new SequenceWindows(few, { ...spans, width: 4 })).toThrow("at least 4 tokens");
  expect(() => new SequenceWindows(few, { ...spans, width: 1 })).toThrow("windows of at least 2 tokens");
});

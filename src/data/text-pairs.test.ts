// Pairs of texts as tokens: where start and end stand, what is cut, and that sources are held out whole.
import { expect, test } from "vitest";
import { toNumbers } from "../base/index.ts";
import { prepareTextPairs, type TextPairOptions } from "./index.ts";

const layout: TextPairOptions["layout"] = ({ vocabSize }) => ({
  context: 4,
  targetContext: 5,
  start: vocabSize,
  end: vocabSize + 1,
});

test("sources end, targets begin a token earlier, and what is too long is cut", async () => {
  const records = [
    { source: "ab", target: "ba" },
    { source: "abab", target: "baabab" },
    { source: "b", target: "aaaa" },
  ];
  const { train, tokenizer } = await prepareTextPairs({ records }, { tokenizer: "char", layout, validation: 0 });
  expect(tokenizer.vocabSize).toBe(2);
  const [a, b, start, end] = [0, 1, 2, 3];
  const { source, tokens, targets } = train.collate([0, 1, 2]);
  expect([source.shape, tokens.shape, targets.shape]).toEqual([
    [3, 4],
    [3, 5],
    [3, 5],
  ]);
  expect(toNumbers(source)).toEqual(Float64Array.of(a, b, end, -1, a, b, a, end, b, end, -1, -1));
  expect(toNumbers(tokens)).toEqual(Float64Array.of(start, b, a, -1, -1, start, b, a, a, b, start, a, a, a, a));
  // the second target goes on beyond what is written: it has no end
  expect(toNumbers(targets)).toEqual(Float64Array.of(b, a, end, -1, -1, b, a, a, b, a, a, a, a, a, end));
  expect(train.cut).toBe(1);
  expect(train.counts()).toEqual(
    new Map([
      [end, 3],
      [a, 8],
      [b, 4],
    ]),
  );
});

test("pairs of one source stay on one side, whatever the seed", async () => {
  const records = Array.from({ length: 60 }, (_, at) => ({ en: `text ${at % 12}`, zh: `${at}` }));
  for (const seed of [1, 2, 3]) {
    const options = { source: "en", target: "zh", layout, tokenizer: "byte", validation: 0.25, seed } as const;
    const { train, validation, tokenizer } = await prepareTextPairs(
      { records },
      { ...options, layout: (given) => ({ ...layout(given), context: 20 }) },
    );
    const sourcesOf = (data: typeof train) =>
      new Set(
        Array.from({ length: data.length }, (_, at) =>
          tokenizer.decode(toNumbers(data.collate([at]).source).filter((id) => id >= 0 && id < 256)),
        ),
      );
    expect(train.length + validation.length).toBe(60);
    expect(validation.length).toBe(15);
    expect([...sourcesOf(train)].filter((text) => sourcesOf(validation).has(text))).toEqual([]);
  }
});

test("pairs held out by themselves are all held out, and no source of theirs is trained on", async () => {
  const pairs = (...texts: string[]) => texts.map((source, at) => ({ source, target: `${at}` }));
  const options = { tokenizer: "char", layout, validation: 0.5 } as const;
  const records = pairs("a", "b", "a", "c");
  const other = pairs("d", "a", "d");
  const { train, validation, heldOut, numShared } = await prepareTextPairs(
    { records },
    { ...options, heldOut: { records: other } },
  );
  expect([train.length, validation.length, numShared]).toEqual([2, 3, 2]);
  expect(heldOut).toEqual(other);
  await expect(prepareTextPairs({ records }, { ...options, heldOut: { records } })).rejects.toMatchObject({
    code: "data/split",
    got: "all 4 pairs have a source of the held-out ones",
  });
  const own = await prepareTextPairs({ records }, options);
  expect(own.numShared).toBe(0);
  expect(own.heldOut.length).toBe(own.validation.length);
  expect(
    own.heldOut.every((pair) => records.some((row) => row.source === pair.source && row.target === pair.target)),
  ).toBe(true);
});

test("tab-separated columns are named by number, and an empty text is refused with its row", async () => {
  const lines = "Hi.\t嗨。\tCC-BY\nRun!\t跑！\tCC-BY\nWait.\t\tCC-BY\n";
  const options = { tokenizer: "byte", layout, source: "column1", target: "column2", header: false } as const;
  const { train } = await prepareTextPairs(
    { csv: lines.split("\n").slice(0, 2).join("\n") },
    { ...options, separator: "\t", validation: 0 },
  );
  expect(train.length).toBe(2);
  await expect(prepareTextPairs({ csv: lines }, { ...options, separator: "\t" })).rejects.toMatchObject({
    code: "data/empty-text",
    where: expect.stringContaining("row 3, column column2"),
  });
  await expect(prepareTextPairs({ records: [{ source: "a" }] }, { tokenizer: "char", layout })).rejects.toThrow(
    "no such column",
  );
});

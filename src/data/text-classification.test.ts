// Labelled texts: tokens, masks, classes, and types that follow from the labels.
import { describe, expect, expectTypeOf, it } from "vitest";
import { evaluationBatches, Loader } from "./loader.ts";
import { padTokens, prepareTextClassification } from "./text-classification.ts";

const records: { text: string; label: "good" | "坏" }[] = Array.from({ length: 40 }, (_, i) => ({
  text: i % 2 === 0 ? `fine, ${i}` : `很糟 ${"!".repeat(i)}`,
  label: i % 2 === 0 ? "good" : "坏",
}));

describe("prepareTextClassification", () => {
  it.each(["byte", "char", { bpe: 300 }] as const)("tokens, mask and classes with %j", async (tokenizer) => {
    const data = await prepareTextClassification({ records }, { tokenizer, length: 10, validation: 0.25, seed: 1 });
    expectTypeOf(data.classNames).toEqualTypeOf<readonly ("good" | "坏")[]>();
    expect(data.classNames).toEqual(["good", "坏"]);
    expect([data.train.length, data.validation.length, data.test.length]).toEqual([30, 10, 0]);
    const { tokens, mask, targets } = data.train.collate([0, 1]);
    expect([tokens.shape, mask.dtype, targets.dtype]).toEqual([[2, 10], "bool", "i32"]);
    for (let row = 0; row < 2; row++) {
      const kept = [...tokens.data.slice(row * 10, row * 10 + 10)].map(Number);
      const size = [...mask.data.slice(row * 10, row * 10 + 10)].filter(Boolean).length;
      const text = data.tokenizer.decode(kept.slice(0, size)).replace(/\ufffd+$/, "");
      const source = records.filter((record) => record.text.startsWith(text));
      expect(source.some((record) => data.classNames[Number(targets.data[row])] === record.label)).toBe(true);
      expect(kept.slice(size)).toEqual(new Array(10 - size).fill(0));
    }
    const loader = new Loader(data.train, { batchSize: 8, order: "shuffled", seed: 1 });
    expect((await loader.next()).tokens.shape).toEqual([8, 10]);
    let rows = 0;
    for await (const { batch, count } of evaluationBatches(data.validation, 8)) {
      rows += count;
      expect([...batch.targets.data].filter((target) => Number(target) >= 0).length).toBe(count);
    }
    expect(rows).toBe(10);
  });

  it("reads CSV with other column names, and async iterables", async () => {
    const csv = 'kind,message\nham,NA\nspam,?\nham,"a\nb"\nspam,free\n';
    const fromCsv = await prepareTextClassification(
      { csv },
      { text: "message" as never, label: "kind" as never, tokenizer: "char", length: 3, validation: 0 },
    );
    expect(fromCsv.tokenizer.decode(fromCsv.train.collate([0]).tokens.data.slice(0, 2) as Int32Array)).toBe("NA");
    async function* stream() {
      yield* records;
    }
    const options = { tokenizer: "byte", length: 4, validation: 0 } as const;
    const streamed = await prepareTextClassification({ records: stream() }, options);
    const array = await prepareTextClassification({ records }, options);
    expect(streamed.train.fingerprint).toBe(array.train.fingerprint);
  });

  it("pads what prediction is given in the same way", () => {
    const { tokens, mask } = padTokens([Int32Array.of(5, 6, 7), Int32Array.of(8)], 2);
    expect([...tokens.data]).toEqual([5, 6, 8, 0]);
    expect([...mask.data]).toEqual([1, 1, 1, 0]);
  });

  it("names what is wrong by row", async () => {
    const bad = async (rows: object[], extra = {}) =>
      prepareTextClassification(
        { records: rows as typeof records },
        { tokenizer: "byte", length: 4, validation: 0, ...extra },
      ).catch((error) => error);
    const good = { text: "a", label: "x" };
    expect(await bad([good, { text: "", label: "y" }])).toMatchObject({
      code: "data/empty-text",
      where: expect.stringContaining("row 2"),
    });
    expect(await bad([good, { text: 5, label: "y" }])).toMatchObject({
      code: "data/type",
      where: expect.stringContaining("row 2"),
      got: "5",
    });
    expect(await bad([good, { text: "b", label: null }])).toMatchObject({
      code: "data/label-missing",
      where: expect.stringContaining("row 2"),
    });
    expect(await bad([good, good])).toMatchObject({ code: "data/one-class" });
    expect(await bad([good, { text: "b", label: "y" }], { length: 0 })).toMatchObject({ code: "data/length" });
    expect(await bad([{ body: "a", label: "x" }])).toMatchObject({ code: "data/unknown-column" });
  });
});

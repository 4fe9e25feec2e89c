// Texts with a number each: brought to mean 0 and deviation 1 of the training part, and what is no number named by its row.
import { expect, test } from "vitest";
import type { AthanorError } from "../base/index.ts";
import { prepareTextNumbers, readTextNumbers } from "./index.ts";

const records = Array.from({ length: 40 }, (_, at) => ({ text: `text ${at}`, label: String(1990 + (at % 7)) }));
const options = { tokenizer: "byte", length: 12, validation: 0.25, seed: 1 } as const;

test("numbers become f32 of mean 0 and deviation 1 in training, and the unit leads back", async () => {
  const { train, validation, unit, heldOut, rows } = await prepareTextNumbers({ records }, options);
  expect([train.length, validation.length, heldOut.length, rows.length]).toEqual([30, 10, 10, 40]);
  const values = Array.from(train.targets);
  const mean = values.reduce((sum, value) => sum + value, 0) / 30;
  expect(mean).toBeCloseTo(0, 6);
  expect(values.reduce((sum, value) => sum + value ** 2, 0) / 30).toBeCloseTo(1, 6);
  const { tokens, mask, targets } = validation.collate([0, 3]);
  expect([targets.dtype, targets.shape, tokens.shape, mask.dtype]).toEqual(["f32", [2], [2, 12], "bool"]);
  for (const [at, row] of [heldOut[0]!, heldOut[3]!].entries()) {
    expect(Number(targets.data[at]) * unit.scale + unit.mean).toBeCloseTo(row.value, 3);
    expect(records.find(({ text }) => text === row.text)!.label).toBe(String(row.value));
  }
});

test("a unit that is given is kept, and numbers that are all alike have the deviation 1", async () => {
  const unit = { mean: 2, scale: 4 };
  const { train } = await prepareTextNumbers(
    { records: [{ text: "a", label: "10" }] },
    { ...options, validation: 0, unit },
  );
  expect(train.targets).toEqual(Float32Array.of(2));
  const same = [
    { text: "a", label: "3" },
    { text: "b", label: "3" },
  ];
  expect((await prepareTextNumbers({ records: same }, { ...options, validation: 0 })).unit).toEqual({
    mean: 3,
    scale: 1,
  });
});

test("CSV and JSON lines with other columns are read", async () => {
  const read = await readTextNumbers({ csv: "stars;review\n4.5;fine\n1;no\n" }, { text: "review", label: "stars" });
  expect(read).toEqual([
    { text: "fine", value: 4.5 },
    { text: "no", value: 1 },
  ]);
});

test.each([
  ["a word", "many", "data/not-a-number", '"many"'],
  ["not a number", "NaN", "data/not-a-number", '"NaN"'],
  ["infinite", "inf", "data/not-a-number", '"inf"'],
  ["a truth value", true, "data/not-a-number", "true"],
  ["nothing", null, "data/label-missing", "nothing"],
])("a target that is %s is refused by its row", async (_, label, code, got) => {
  const rows = [
    { text: "a", label: "1" },
    { text: "b", label },
  ] as { text: string; label: string }[];
  const error = (await readTextNumbers({ records: rows }).catch((error) => error)) as AthanorError;
  expect(error).toMatchObject({ code, got, where: expect.stringMatching(/row 2, column label$/) });
  expect([error.expected, error.fix].every(Boolean)).toBe(true);
});

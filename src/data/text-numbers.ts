// Texts with a number each, made ready for a regression: tokens as a classifier's, numbers at mean 0 and deviation 1.
import { fail } from "../base/index.ts";
import { splitRows } from "./split.ts";
import type { TableInput } from "./table.ts";
import { toNumber } from "./table-columns.ts";
import { type LabelledTexts, readLabelledTexts, type TextClassOptions, textParts } from "./text-classification.ts";

/** What turns a model's output into the target's own unit: output · scale + mean. */
export interface TargetUnit {
  readonly mean: number;
  readonly scale: number;
}

/** A text and its number. */
export interface TextNumber {
  readonly text: string;
  readonly value: number;
}

type Row = Record<string, string>;
export type TextNumberOptions = Omit<TextClassOptions<Row, string>, "classes"> & {
  /** Of a model that is there; left out, the training part's mean and deviation. */
  readonly unit?: TargetUnit | undefined;
};

/**
 * Reads texts and their numbers, splits and tokenizes them; `heldOut` are the rows of the validation part, `rows` those of all. Errors: those of `prepareTextClassification`, and `data/not-a-number`.
 */
export async function prepareTextNumbers(input: TableInput<Row>, options: TextNumberOptions) {
  const read = await readLabelledTexts(input, options);
  const values = numbersOf(read);
  const split = splitRows(values.length, options);
  const { unit = unitOf(split.train.map((row) => values[row]!)) } = options;
  const targets = Float32Array.from(values, (value) => (value - unit.mean) / unit.scale);
  const rows = values.map((value, row) => ({ text: read.texts[row]!, value }));
  const parts = await textParts(read, split, targets, options);
  return { ...parts, unit, rows, heldOut: split.validation.map((row) => rows[row]!) };
}

/** The rows of a file. Errors as `prepareTextNumbers`. */
export async function readTextNumbers(
  input: TableInput<Row>,
  options: Parameters<typeof readLabelledTexts<Row, string>>[1] = {},
): Promise<TextNumber[]> {
  const read = await readLabelledTexts(input, options);
  return numbersOf(read).map((value, row) => ({ text: read.texts[row]!, value }));
}

function numbersOf({ table, index }: LabelledTexts): number[] {
  return table.columns[index]!.map((cell, row) => {
    const value = typeof cell === "boolean" ? undefined : toNumber(cell);
    if (value !== undefined && Number.isFinite(value)) return value;
    return fail("data/not-a-number", "a target is not a number", {
      where: `${table.name}, row ${table.rows[row]}, column ${table.names[index]}`,
      expected: "a finite number, such as 3.5",
      got: JSON.stringify(cell),
      fix: "mend the cell, or take the row out; classes are learnt with data.task: classification",
    });
  });
}

/** Mean and deviation; of numbers that are all alike, or few, the deviation is 1. */
function unitOf(values: readonly number[]): TargetUnit {
  const mean = values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
  const scale = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / Math.max(1, values.length));
  return { mean, scale: scale > 0 && Number.isFinite(scale) ? scale : 1 };
}

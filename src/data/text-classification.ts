// Labelled texts made ready for a classifier: tokens of one length with a mask, class ids, and the way from a text to both
// that prediction uses. Texts with a number each are in text-numbers.ts.
import { createHash } from "node:crypto";
import { fail, type HostArray } from "../base/index.ts";
import { byteTokenizer } from "./bpe-tokenizer.ts";
import { CharacterSet, CharTokenizer } from "./char-tokenizer.ts";
import type { DatasetOfLengths } from "./length-batches.ts";
import { loadTokenizer, parseTokenizer } from "./load-tokenizer.ts";
import { frameTokens, type SpecialIds, specialIds } from "./special-tokens.ts";
import { type Split, type SplitOptions, splitRows } from "./split.ts";
import { readTable, type Table, type TableInput, type TableReadOptions } from "./table.ts";
import { findColumn } from "./table-columns.ts";
import type { ClassName } from "./table-encoder.ts";
import { findClasses } from "./table-target.ts";
import type { TokenizerSpec } from "./tokenize-text.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { openTrainer } from "./train-tokenizer.ts";

/** `tokens` i32 [B, T] padded with 0, `mask` bool [B, T] (1 where there is a token), `targets` [B]: i32 classes, or f32 numbers. */
export type TextClassBatch = { tokens: HostArray; mask: HostArray; targets: HostArray };

export interface TextClassOptions<R extends object, L> extends TableReadOptions, SplitOptions {
  /** The column with the text. Default `text`. */
  readonly text?: keyof R & string;
  /** The column with the class. Default `label`. */
  readonly label?: L & string;
  readonly tokenizer: TokenizerSpec | Tokenizer;
  /** Tokens per text: longer ones are cut, shorter ones padded. */
  readonly length: number;
  /** Texts stand between `[CLS]` and `[SEP]`, see `specialIds`. Default false. */
  readonly framed?: boolean;
  /** Of other texts that a model was trained on: the classes that there may be. Left out, those that there are. */
  readonly classes?: readonly string[];
}

/** Texts as token ids, with a class or a number each. */
export class TextClassDataset<Targets extends Int32Array | Float32Array = Int32Array>
  implements DatasetOfLengths<TextClassBatch>
{
  readonly unit = "text";
  readonly length: number;
  readonly fingerprint: string;
  private readonly width: number;
  private readonly tokens: Int32Array;
  private readonly sizes: Int32Array;
  readonly targets: Targets;
  /** Texts that are longer than what is read of them. */
  readonly cut: number;

  /** `ids` of texts without a frame; with `frame` they get one. */
  constructor(
    ids: readonly Int32Array[],
    targets: Targets,
    options: { readonly width: number; readonly fingerprint: string; readonly frame?: SpecialIds | undefined },
  ) {
    const { width, fingerprint, frame } = options;
    this.length = ids.length;
    this.width = width;
    this.targets = targets;
    this.fingerprint = fingerprint;
    this.tokens = new Int32Array(ids.length * width);
    this.cut = ids.filter((one) => one.length > width - (frame === undefined ? 0 : 2)).length;
    const rows = ids.map((one) => (frame === undefined ? one.subarray(0, width) : frameTokens(one, frame, width)));
    this.sizes = Int32Array.from(rows, (row) => row.length);
    for (const [i, row] of rows.entries()) this.tokens.set(row, i * width);
  }

  /** A text without tokens takes a place all the same: else any number of them would find room in a batch. */
  lengthsOf(position: number): { tokens: number } {
    return { tokens: Math.max(1, this.sizes[position]) };
  }

  collate(positions: readonly number[]): TextClassBatch {
    const { width } = this;
    const ids = positions.map((position) =>
      this.tokens.subarray(position * width, position * width + this.sizes[position]),
    );
    const values = positions.map((position) => this.targets[position]);
    const shape = [positions.length];
    const targets: HostArray =
      this.targets instanceof Int32Array
        ? { dtype: "i32", shape, data: Int32Array.from(values) }
        : { dtype: "f32", shape, data: Float32Array.from(values) };
    return { ...padTokens(ids, width), targets };
  }
}

/** Cuts or pads token ids to `width`. */
export function padTokens(ids: readonly Int32Array[], width: number): { tokens: HostArray; mask: HostArray } {
  const tokens = new Int32Array(ids.length * width);
  const mask = new Uint8Array(ids.length * width);
  for (const [i, one] of ids.entries()) {
    const kept = one.subarray(0, width);
    tokens.set(kept, i * width);
    mask.fill(1, i * width, i * width + kept.length);
  }
  const shape = [ids.length, width];
  return { tokens: { dtype: "i32", shape, data: tokens }, mask: { dtype: "bool", shape, data: mask } };
}

/** What is read and made of labelled texts, whatever their labels are. */
export interface TextParts<Targets extends Int32Array | Float32Array> {
  readonly train: TextClassDataset<Targets>;
  readonly validation: TextClassDataset<Targets>;
  readonly test: TextClassDataset<Targets>;
  readonly tokenizer: Tokenizer;
  readonly length: number;
  readonly sha256: string;
  /** What `invalid` did: files left out, faults that became U+FFFD. */
  readonly skipped: Table["skipped"];
  readonly replaced: number;
}

/** The parts, and what prediction needs: `padTokens([tokenizer.encode(text)], length)` and `classNames`. */
export interface TextClassData<R extends object, L extends keyof R> extends TextParts<Int32Array> {
  readonly classNames: readonly ClassName<R[L]>[];
}

/**
 * Reads labelled texts (CSV, JSON Lines, arrays, async iterables), splits them by class and tokenizes them; `char` and
 * `bpe` tokenizers are trained on the training part (`char` on all texts). Errors: those of `readTable`, `data/empty-text`,
 * `data/label-missing`, `data/one-class`, naming the row.
 *
 * ```ts run
 * const records = [
 *   { text: "good", label: "yes" },
 *   { text: "bad", label: "no" },
 * ];
 * const data = await prepareTextClassification({ records }, { tokenizer: "byte", length: 16, validation: 0 });
 * data.classNames; // ["no", "yes"], typed as the labels are
 * ```
 */
export async function prepareTextClassification<
  R extends object = { text: string; label: string },
  const L extends keyof R & string = "label" & keyof R & string,
>(input: TableInput<R>, options: TextClassOptions<R, L>): Promise<TextClassData<R, L>> {
  const read = await readLabelledTexts(input, options);
  const { table, index } = read;
  const rows = table.rows.map((_, row) => row);
  const { classes, ids } =
    options.classes === undefined
      ? findClasses(table, { name: table.names[index], index, type: "category" }, rows)
      : { classes: options.classes, ids: classIds(table, index, options.classes) };
  const split = splitRows(rows.length, options, ids);
  const parts = await textParts(read, split, Int32Array.from(ids), options);
  return { ...parts, classNames: classes as readonly string[] as readonly ClassName<R[L]>[] };
}

/** A text in every row, and the column of the labels. */
export type LabelledTexts = Awaited<ReturnType<typeof readLabelledTexts>>;

/** Errors: those of `readTable`, `data/empty-text`, `data/label-missing`, `data/unknown-column`. */
export async function readLabelledTexts<R extends object, L>(
  input: TableInput<R>,
  options: Pick<TextClassOptions<R, L>, "text" | "label"> & TableReadOptions,
): Promise<{ table: Table; texts: readonly string[]; index: number }> {
  const { text = "text", label = "label" } = options;
  const table = await readTable(input, { missingMarkers: [""], ...options });
  const texts = readTexts(table, findColumn(table, text));
  const index = findColumn(table, label);
  const unlabelled = table.columns[index].indexOf(null);
  if (unlabelled >= 0)
    fail("data/label-missing", "a text has no label", {
      where: `${table.name}, row ${table.rows[unlabelled]}, column ${label}`,
      expected: "a label for every text",
      got: "nothing",
      fix: "label the text, or take the row out",
    });
  return { table, texts, index };
}

/** Texts in their parts, tokenized. Errors with `data/length`, `data/empty-text`. */
export async function textParts<Targets extends Int32Array | Float32Array>(
  { table, texts }: LabelledTexts,
  split: Split,
  targets: Targets,
  options: Pick<TextClassOptions<object, unknown>, "tokenizer" | "length" | "framed">,
): Promise<TextParts<Targets>> {
  const { length, framed = false } = options;
  const least = framed ? 3 : 1;
  if (!Number.isInteger(length) || length < least)
    fail("data/length", "a text has at least one token", {
      expected: `length of at least ${least}`,
      got: String(length),
    });
  const trainTexts = split.train.map((row) => texts[row]);
  const tokenizer = await makeTokenizer(options.tokenizer, trainTexts, texts);
  const part = (positions: readonly number[]) => {
    const order = createHash("sha256").update(`${table.sha256}/${tokenizer.hash}/${length}/${positions.join()}`);
    const own = targets.slice(0, positions.length) as Targets;
    positions.forEach((row, at) => {
      own[at] = targets[row];
    });
    return new TextClassDataset(
      positions.map((row) => encodeRow(tokenizer, texts[row], () => `${table.name}, row ${table.rows[row]}`)),
      own,
      {
        width: length,
        fingerprint: order
          .update(framed ? "/framed" : "")
          .digest("hex")
          .slice(0, 16),
        frame: framed ? specialIds(tokenizer) : undefined,
      },
    );
  };
  return {
    train: part(split.train),
    validation: part(split.validation),
    test: part(split.test),
    tokenizer,
    length,
    sha256: table.sha256,
    skipped: table.skipped,
    replaced: table.replaced,
  };
}

/** Each row's class among those that are known. Errors with `data/label`. */
function classIds(table: Table, column: number, classes: readonly string[]): number[] {
  const ids = new Map(classes.map((name, id) => [name, id]));
  return table.columns[column].map((cell, row) => {
    const id = ids.get(String(cell));
    if (id !== undefined) return id;
    return fail("data/label", "a label is not among those of the training data", {
      where: `${table.name}, row ${table.rows[row]}, column ${table.names[column]}`,
      expected: classes.join(", ").slice(0, 200),
      got: String(cell),
      fix: "mend the label, or give training data that has it",
    });
  });
}

/** The cells of a column of texts. Errors with `data/empty-text`, `data/type`. */
export function readTexts(table: Table, column: number): string[] {
  return table.columns[column].map((cell, row) => {
    const where = `${table.name}, row ${table.rows[row]}, column ${table.names[column]}`;
    if (cell === null || cell === "")
      return fail("data/empty-text", "a text is empty", { where, fix: "take the row out" });
    if (typeof cell === "string") return cell;
    const fix = "write it between quotation marks, or name the column that holds the texts";
    return fail("data/type", "a text is not a string", { where, expected: "a string", got: String(cell), fix });
  });
}

function encodeRow(tokenizer: Tokenizer, text: string, where: () => string): Int32Array {
  const ids = tokenizer.encode(text);
  return ids.length > 0 ? ids : fail("data/empty-text", "a text has no tokens", { where: where() });
}

/** The tokenizer that a spec names; one that is trained learns from `trainTexts`, characters from all texts. */
export async function makeTokenizer(
  spec: TokenizerSpec | Tokenizer,
  trainTexts: readonly string[],
  allTexts: readonly string[],
): Promise<Tokenizer> {
  if (spec === "byte") return byteTokenizer();
  if (spec === "char") {
    const characters = new CharacterSet();
    for (const text of allTexts) characters.add(text);
    return new CharTokenizer(characters.toArray());
  }
  if ("encode" in spec) return spec;
  if ("file" in spec) return loadTokenizer(spec.file);
  if ("content" in spec) return parseTokenizer(spec.content);
  const trainer = await openTrainer(spec);
  for (const text of trainTexts) trainer.add(text);
  return trainer.train();
}

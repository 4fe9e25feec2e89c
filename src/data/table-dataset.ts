// A table made ready for training: read, split, fitted on the training part and encoded. The door for table models.
import { createHash } from "node:crypto";
import { fail, type HostArray } from "../base/index.ts";
import type { Dataset } from "./batch.ts";
import { type Split, type SplitOptions, splitRows } from "./split.ts";
import { readTable, type Table, type TableInput, type TableReadOptions, type TableRecord } from "./table.ts";
import { type ColumnOptions, findColumn, type TypedColumn, typeColumns } from "./table-columns.ts";
import { type ClassName, TableEncoder } from "./table-encoder.ts";
import { type Feature, type FeaturePolicy, fitFeature } from "./table-features.ts";
import { decideTask, findClasses, fitRegression, type TargetOptions } from "./table-target.ts";

/** `features` f32 [B, F]; `targets` i32 [B] class ids, or f32 [B]. */
export type TableBatch = { features: HostArray; targets: HostArray };

export interface TableOptions<K = string> extends TableReadOptions, ColumnOptions, SplitOptions, TargetOptions {
  /** The target column, by name or index (negative from the end). Default the last. */
  readonly target?: (K & string) | number;
  /** A missing feature: fill in the training mean or the column's own bucket (default), drop the row, or refuse it. */
  readonly missing?: "impute" | "drop" | "error";
  /** A row without a label: refuse it (default) or drop it. */
  readonly missingTarget?: "error" | "drop";
  /** NaN or infinite numbers: refuse them (default) or treat them as missing. */
  readonly notFinite?: "error" | "missing";
  /** A column with one value in the training part: leave it out (default, told in the report) or refuse it. */
  readonly constant?: "drop" | "error";
  /** Bins of every column of numbers, beside its standardized value: 2 or more. Default: none. */
  readonly bins?: number;
  /** An encoder that was fitted before, to look at other rows through a trained model's eyes. Default: fitted here. */
  readonly encoder?: TableEncoder;
}

/** What was done to the data, to be told. */
export interface TableReport extends Pick<Table, "skipped" | "replaced"> {
  readonly sha256: string;
  readonly rows: number;
  readonly droppedRows: number;
  /** Columns left out: constant in the training part, with their value. */
  readonly constantColumns: Readonly<Record<string, string>>;
  /** Missing values filled in, by column, in the training part. */
  readonly imputed: Readonly<Record<string, number>>;
  /** Category values outside the training part's, by column. */
  readonly unseen: Readonly<Record<string, number>>;
}

/** Rows of a table as arrays. `features` is row-major [length, numFeatures]. */
export class TableDataset implements Dataset<TableBatch> {
  readonly unit = "row";
  readonly length: number;
  readonly numFeatures: number;
  readonly features: Float32Array;
  readonly targets: Int32Array | Float32Array;
  readonly fingerprint: string;
  /** The source's number of every row. */
  readonly sourceRows: readonly number[];

  constructor(
    arrays: { features: Float32Array; targets: Int32Array | Float32Array; sourceRows: readonly number[] },
    numFeatures: number,
    fingerprint: string,
  ) {
    this.features = arrays.features;
    this.targets = arrays.targets;
    this.sourceRows = arrays.sourceRows;
    this.length = arrays.targets.length;
    this.numFeatures = numFeatures;
    this.fingerprint = fingerprint;
  }

  collate(positions: readonly number[]): TableBatch {
    const { numFeatures, features } = this;
    const rows = new Float32Array(positions.length * numFeatures);
    const classes = this.targets instanceof Int32Array;
    const targets = classes ? new Int32Array(positions.length) : new Float32Array(positions.length);
    positions.forEach((position, i) => {
      const start = position * numFeatures;
      rows.set(features.subarray(start, start + numFeatures), i * numFeatures);
      targets[i] = this.targets[position];
    });
    return {
      features: { dtype: "f32", shape: [positions.length, numFeatures], data: rows },
      targets: { dtype: classes ? "i32" : "f32", shape: [positions.length], data: targets },
    };
  }
}

/** The parts of a table and how they were encoded. Parts with a share of 0 are empty. */
export interface TableData<R extends object = TableRecord, K extends keyof R = keyof R> {
  readonly train: TableDataset;
  readonly validation: TableDataset;
  readonly test: TableDataset;
  readonly encoder: TableEncoder<R, K>;
  readonly classNames: readonly ClassName<R[K]>[];
  readonly report: TableReport;
}

/**
 * Reads a table and makes it ready for training. Everything learnt from the data (means, vocabularies) is learnt from
 * the training part. For records in memory the types of `encodeRow` and `classNames` follow from the record type.
 * Errors: those of `readTable`, `typeColumns`, `fitFeature`, and `data/one-class`, `data/text-column`, `data/no-features`.
 *
 * ```ts run
 * const records = [
 *   { size: 1.5, colour: "red", kind: "cat" },
 *   { size: 2.5, colour: "blue", kind: "dog" },
 * ];
 * const { train, encoder, classNames } = await prepareTable({ records }, { target: "kind", validation: 0 });
 * train.features; // Float32Array, 2 rows of encoder.numFeatures
 * encoder.encodeRow({ size: 2, colour: "red" }); // for prediction
 * ```
 */
export async function prepareTable<R extends object = TableRecord, const K extends keyof R & string = keyof R & string>(
  input: TableInput<R>,
  options: TableOptions<K> = {},
): Promise<TableData<R, K>> {
  const table = await readTable(input, options);
  const { target, features, ignored } = assignRoles(table, options);
  const kept = keepRows(table, features, target, options);
  const task = decideTask(table, target, options);
  const found = task === "classification" ? findClasses(table, target, kept) : undefined;
  const split = splitRows(kept.length, options, found?.ids);
  const rowsOf = (part: keyof Split) => split[part].map((i) => kept[i]);

  const { missing = "impute", notFinite = "error" } = options;
  const policy: FeaturePolicy = { missing: missing === "drop" ? "error" : missing, notFinite };
  const fitted =
    options.encoder === undefined
      ? fitColumns(table, features, rowsOf("train"), policy, options)
      : { features: [], imputed: {}, constantColumns: {} };
  const encoder = new TableEncoder<R, K>(
    options.encoder?.data ?? {
      format: "athanor-table-encoder",
      version: 1,
      target: found
        ? { task: "classification", name: target.name, classes: found.classes }
        : fitRegression(table, target, rowsOf("train"), options.standardizeTarget ?? false),
      features: fitted.features,
      ignored: [...ignored, ...Object.keys(fitted.constantColumns)],
      policy,
    },
  );

  const unseen: Record<string, number> = {};
  const encode = (part: keyof Split): TableDataset => {
    const encoded = encoder.encodeTable(table, rowsOf(part));
    for (const [column, count] of Object.entries(encoded.unseen)) unseen[column] = (unseen[column] ?? 0) + count;
    const sourceRows = rowsOf(part).map((row) => table.rows[row]);
    const order = createHash("sha256").update(`${table.sha256}/${split[part].join()}`).digest("hex");
    return new TableDataset({ ...encoded, sourceRows }, encoder.numFeatures, order.slice(0, 16));
  };
  return {
    train: encode("train"),
    validation: encode("validation"),
    test: encode("test"),
    encoder,
    classNames: encoder.classNames,
    report: {
      sha256: table.sha256,
      skipped: table.skipped,
      replaced: table.replaced,
      rows: table.rows.length,
      droppedRows: table.rows.length - kept.length,
      constantColumns: fitted.constantColumns,
      imputed: fitted.imputed,
      unseen,
    },
  };
}

/** Target, features and the columns left out. Errors name all columns of free text at once. */
function assignRoles<K>(table: Table, options: TableOptions<K>) {
  const targetIndex = findColumn(table, options.target);
  const columns = typeColumns(table, options);
  const others = columns.filter(({ index }) => index !== targetIndex);
  const texts = others.filter(({ type }) => type === "text").map(({ name }) => name);
  if (texts.length > 0) {
    fail("data/text-column", "columns of free text cannot be features of a table model", {
      where: table.name,
      expected: "numbers, categories, true/false",
      got: texts.join(", "),
      fix: `set data.columns.${texts[0]} to ignore or category`,
    });
  }
  const features = others.filter(({ type }) => type !== "ignore");
  const ignored = others.filter(({ type }) => type === "ignore").map(({ name }) => name);
  return { target: columns[targetIndex], features, ignored };
}

/** Positions of the rows that take part: without those that a `drop` policy leaves out. */
function keepRows<K>(
  table: Table,
  features: readonly TypedColumn[],
  target: TypedColumn,
  options: TableOptions<K>,
): number[] {
  const required = [
    ...(options.missingTarget === "drop" ? [target] : []),
    ...(options.missing === "drop" ? features : []),
  ].map(({ index }) => table.columns[index]);
  const kept: number[] = [];
  for (let row = 0; row < table.rows.length; row++) {
    if (required.every((cells) => cells[row] !== null)) kept.push(row);
  }
  if (kept.length > 0) checkLabels(table, target, kept);
  else fail("data/empty", "no row is left", { where: table.name, got: `${table.rows.length} rows, each with gaps` });
  return kept;
}

function checkLabels(table: Table, target: TypedColumn, rows: readonly number[]): void {
  const without = rows.filter((row) => table.columns[target.index][row] === null);
  if (without.length === 0) return;
  fail("data/label-missing", `${without.length === 1 ? "a row has" : `${without.length} rows have`} no label`, {
    where: `${table.name}, row ${table.rows[without[0]]}, column ${target.name}`,
    expected: "a label in every row",
    fix: "fill it in, set data.missingTarget to drop, or choose another data.target",
  });
}

function fitColumns(
  table: Table,
  columns: readonly TypedColumn[],
  rows: readonly number[],
  policy: FeaturePolicy,
  { constant = "drop", bins = 0 }: Pick<TableOptions, "constant" | "bins">,
) {
  const features: Feature[] = [];
  const imputed: Record<string, number> = {};
  const constantColumns: Record<string, string> = {};
  for (const column of columns) {
    const fitted = fitFeature(table, column, rows, policy, bins);
    if ("constant" in fitted) constantColumns[column.name] = fitted.constant;
    else {
      features.push(fitted.feature);
      if (fitted.imputed > 0) imputed[column.name] = fitted.imputed;
    }
  }
  const constants = Object.entries(constantColumns).map(([name, value]) => `${name} = ${value}`);
  if (features.length === 0 || (constant === "error" && constants.length > 0)) {
    fail("data/constant-column", features.length === 0 ? "no column tells the rows apart" : "a column never changes", {
      where: table.name,
      expected: "columns with at least two values in the training part",
      ...(constants.length > 0 ? { got: constants.join("\n") } : {}),
      fix: "set its data.columns to ignore, or give more rows",
    });
  }
  return { features, imputed, constantColumns };
}

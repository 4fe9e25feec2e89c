// From rows to features and targets, as fitted on the training part: standardization, category and class vocabularies.
// Saved as JSON beside a model, so that prediction sees what training saw. Holds no rows.
import { AthanorError, didYouMean, fail, formatBytes } from "../base/index.ts";
import type { Cell, Table, TableRecord } from "./table.ts";
import { toNumber } from "./table-columns.ts";
import { checkTableEncoder, parseEncoder } from "./table-encoder-check.ts";
import { type Feature, type FeaturePolicy, FeatureWriter, featureNames } from "./table-features.ts";

/** How the target becomes numbers: an id per class, or a number (standardized when `mean` and `scale` say so). */
export type Target =
  | { readonly task: "classification"; readonly name: string; readonly classes: readonly string[] }
  | { readonly task: "regression"; readonly name: string; readonly mean: number; readonly scale: number };

/** What `TableEncoder.toJSON` gives and `fromJSON` takes. */
export interface TableEncoderData {
  readonly format: "athanor-table-encoder";
  readonly version: 1;
  readonly target: Target;
  readonly features: readonly Feature[];
  /** Columns that may stand in a row and are not looked at. */
  readonly ignored: readonly string[];
  readonly policy: FeaturePolicy;
}

/** A class name as the target column's type tells it: `"ham" | "spam"` stays so, other values become text. */
export type ClassName<T> =
  Exclude<T, null | undefined> extends infer V ? (V extends string | number | boolean ? `${V}` : never) : never;

/** Features and targets of some rows of a table. */
export interface EncodedRows {
  /** Row-major [rows, numFeatures]. */
  readonly features: Float32Array;
  /** Class ids, or numbers. */
  readonly targets: Int32Array | Float32Array;
  /** Category values that training never saw, counted by column. */
  readonly unseen: Readonly<Record<string, number>>;
}

const maxFeatureBytes = 2 ** 33;

/**
 * Encodes rows for a model. Types follow the table: `R` is the row, `K` its target column.
 *
 * ```ts run
 * const { encoder } = await prepareTable({ csv: "age,bought\n20,no\n50,yes\n" }, { validation: 0 });
 * const again = TableEncoder.fromJSON(JSON.parse(JSON.stringify(encoder)));
 * again.encodeRow({ age: 39 }); // Float32Array of again.numFeatures
 * ```
 */
export class TableEncoder<R extends object = TableRecord, K extends keyof R = keyof R> {
  readonly data: TableEncoderData;
  readonly numFeatures: number;
  private readonly writers: readonly FeatureWriter[];
  private readonly offsets: ReadonlyMap<string, number>;
  private readonly classIds: ReadonlyMap<string, number>;

  /** Errors with `data/encoder` when `data` is not what `toJSON` made. */
  constructor(data: TableEncoderData) {
    checkTableEncoder(data);
    this.data = data;
    this.writers = data.features.map((feature) => new FeatureWriter(feature, data.policy));
    const offsets = new Map<string, number>();
    let offset = 0;
    for (const writer of this.writers) {
      offsets.set(writer.feature.name, offset);
      offset += writer.width;
    }
    this.offsets = offsets;
    this.numFeatures = offset;
    this.classIds = new Map(
      data.target.task === "classification" ? data.target.classes.map((name, i) => [name, i]) : [],
    );
  }

  /** Reads what `JSON.stringify(encoder)` wrote. Errors with `data/encoder`. */
  static fromJSON(json: unknown): TableEncoder {
    return new TableEncoder(json as TableEncoderData);
  }

  /** The same from the text of a file. Errors with `data/encoder`. */
  static parse(text: string): TableEncoder {
    return TableEncoder.fromJSON(parseEncoder(text, "table.json"));
  }

  toJSON(): TableEncoderData {
    return this.data;
  }

  get task(): Target["task"] {
    return this.data.target.task;
  }

  /** Class names by id; empty for regression. */
  get classNames(): readonly ClassName<R[K]>[] {
    const { target } = this.data;
    return (target.task === "classification" ? target.classes : []) as readonly ClassName<R[K]>[];
  }

  /** The columns that are looked at, and where their features lie in a row. */
  get columns(): { readonly name: string; readonly offset: number; readonly width: number }[] {
    return this.writers.map(({ feature: { name }, width }) => ({ name, offset: this.offsets.get(name)!, width }));
  }

  get featureNames(): string[] {
    return this.data.features.flatMap(featureNames);
  }

  /**
   * The features of one row, for prediction; the target may be there and is not looked at. Absent features count as
   * missing. Errors: `data/unknown-column`, `data/type`, `data/missing`, `data/not-finite`.
   */
  encodeRow(record: Omit<R, K> & { readonly [P in K]?: R[P] | undefined }): Float32Array {
    const cells = new Map(Object.entries(record) as [string, Cell | undefined][]);
    const { target, ignored } = this.data;
    for (const name of cells.keys()) {
      if (this.offsets.has(name) || name === target.name || ignored.includes(name)) continue;
      const guess = didYouMean(name, this.offsets.keys());
      fail("data/unknown-column", "the row has a column that the model was not trained on", {
        expected: [...this.offsets.keys()].join(", ").slice(0, 300),
        got: name,
        fix: guess === undefined ? "leave it out" : `did you mean ${guess}?`,
      });
    }
    const out = new Float32Array(this.numFeatures);
    let offset = 0;
    for (const writer of this.writers) {
      const { name } = writer.feature;
      writer.write(out, offset, cells.get(name) ?? null, () => `column ${name}`);
      offset += writer.width;
    }
    return out;
  }

  /** The features of several records, row-major [rows, numFeatures]. Errors as `encodeRow`, naming the row. */
  encodeRows(records: readonly Parameters<this["encodeRow"]>[0][]): Float32Array {
    const features = new Float32Array(records.length * this.numFeatures);
    for (const [at, record] of records.entries()) {
      try {
        features.set(this.encodeRow(record), at * this.numFeatures);
      } catch (error) {
        throw error instanceof AthanorError ? error.at(`row ${at + 1}`) : error;
      }
    }
    return features;
  }

  /**
   * Features and targets of `rows` (default all) of a table with the same columns. Errors: as `encodeRow`, and
   * `data/label-missing`, `data/unknown-class`, `data/too-large`, naming the row.
   */
  encodeTable(table: Table, rows: readonly number[] = table.rows.map((_, i) => i)): EncodedRows {
    const { numFeatures, data } = this;
    if (rows.length * numFeatures * 4 > maxFeatureBytes) this.failTooLarge(table, rows.length);
    const features = new Float32Array(rows.length * numFeatures);
    const unseen: Record<string, number> = {};
    for (const writer of this.writers) {
      const { name } = writer.feature;
      const cells = this.column(table, name);
      let offset = this.offsets.get(name)!;
      for (const row of rows) {
        const isNew = writer.write(features, offset, cells[row], () => this.place(table, row, name));
        if (isNew) unseen[name] = (unseen[name] ?? 0) + 1;
        offset += numFeatures;
      }
    }
    const labels = this.column(table, data.target.name);
    const targets = data.target.task === "classification" ? new Int32Array(rows.length) : new Float32Array(rows.length);
    rows.forEach((row, i) => {
      targets[i] = this.encodeTarget(labels[row], () => this.place(table, row, data.target.name));
    });
    return { features, targets, unseen };
  }

  /** The class id or (standardized) number of a target cell. */
  encodeTarget(cell: Cell, where: () => string = () => `column ${this.data.target.name}`): number {
    const { target } = this.data;
    if (cell === null) {
      fail("data/label-missing", "a row has no label", {
        where: where(),
        expected: "a label in every row",
        fix: "fill it in, or set data.missingTarget to drop",
      });
    }
    if (target.task === "classification") {
      const id = this.classIds.get(String(cell)) ?? this.classIds.get(String(toNumber(cell)));
      if (id !== undefined) return id;
      return fail("data/unknown-class", "a label is not among the classes of the training part", {
        where: where(),
        expected: target.classes.join(", ").slice(0, 200),
        got: JSON.stringify(cell).slice(0, 80),
      });
    }
    const value = toNumber(cell);
    if (value !== undefined && Number.isFinite(value)) return (value - target.mean) / target.scale;
    return fail("data/not-finite", "a target is not a finite number", {
      where: where(),
      expected: "a finite number",
      got: JSON.stringify(cell).slice(0, 80),
    });
  }

  /** A regression output in the target's own units. */
  decodeTarget(value: number): number {
    const { target } = this.data;
    return target.task === "regression" ? value * target.scale + target.mean : value;
  }

  private place(table: Table, row: number, column: string): string {
    return `${table.name}, row ${table.rows[row]}, column ${column}`;
  }

  private column(table: Table, name: string): readonly Cell[] {
    const column = table.columns[table.names.indexOf(name)];
    if (column !== undefined) return column;
    return fail("data/unknown-column", "the table lacks a column that the model was trained on", {
      where: table.name,
      expected: name,
      got: table.names.join(", ").slice(0, 300),
      fix: "if the file has no header row, set data.header to the names",
    });
  }

  private failTooLarge(table: Table, numRows: number): never {
    const widest = this.writers.reduce((a, b) => (b.width > a.width ? b : a));
    fail("data/too-large", "the encoded table does not fit the memory for it", {
      where: table.name,
      expected: `at most ${formatBytes(maxFeatureBytes)}`,
      got: `${numRows} rows of ${this.numFeatures} features`,
      fix: `set data.columns.${widest.feature.name} (${widest.width} features) to ignore, or take fewer rows`,
    });
  }
}

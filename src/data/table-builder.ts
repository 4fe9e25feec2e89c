// Collects rows into a Table: names, raggedness, missing markers and memory are checked here. Reads no files.
import { createHash, type Hash } from "node:crypto";
import { didYouMean, fail, formatBytes } from "../base/index.ts";
import type { CsvRecord } from "./csv.ts";
import type { Cell, Table, TableReadOptions } from "./table.ts";
import type { TextTally } from "./text-source.ts";

const defaultMissingMarkers = ["", "?", "NA", "N/A", "null", "NULL"];
const maxInterned = 4096;
const cellOverheadBytes = 16;

/** Grows a table row by row. The first row (or header) fixes the columns; every later one must agree. */
export class TableBuilder {
  /** Filled in by whoever reads the text. */
  readonly tally: TextTally = { documents: 0, skipped: [], replaced: 0 };
  private readonly tableName: string;
  private fileName: string;
  private readonly missing: ReadonlySet<string>;
  private readonly maxMemoryBytes: number;
  private names: readonly string[] | undefined;
  private indexes = new Map<string, number>();
  private columns: Cell[][] = [];
  private interned: (Map<string, string> | undefined)[] = [];
  private readonly rows: number[] = [];
  private readonly hash: Hash = createHash("sha256");
  private bytes = 0;

  constructor(name: string, options: TableReadOptions) {
    this.tableName = name;
    this.fileName = name;
    this.missing = new Set(options.missingMarkers ?? defaultMissingMarkers);
    this.maxMemoryBytes = options.maxMemoryBytes ?? 2 ** 32;
  }

  startFile(name: string): void {
    this.fileName = name;
  }

  /** Names from a header row; an unnamed column gets a generated name. */
  setHeader(cells: readonly string[], row: number): void {
    this.setNames(
      cells.map((cell, i) => (cell === "" ? `column${i + 1}` : cell)),
      row,
    );
  }

  setNames(names: readonly string[], row = 1): void {
    const where = `${this.fileName}, row ${row}`;
    if (this.names !== undefined) {
      if (names.length === this.names.length && names.every((name, i) => name === this.names?.[i])) return;
      fail("data/header", "the files of one table have different columns", {
        where,
        expected: this.names.join(", "),
        got: names.join(", "),
      });
    }
    const repeated = names.find((name, i) => names.indexOf(name) !== i);
    if (repeated !== undefined) {
      fail("data/header", "two columns have the same name", {
        where,
        expected: "distinct names",
        got: repeated,
        fix: "rename one, or set data.header to the names",
      });
    }
    this.names = names;
    this.indexes = new Map(names.map((name, i) => [name, i]));
    this.columns = names.map(() => []);
    this.interned = names.map(() => new Map());
    this.hash.update(JSON.stringify(names));
  }

  addCells(record: CsvRecord): void {
    const { names } = this;
    const { cells, row, line } = record;
    if (names === undefined || cells.length !== names.length) {
      fail("data/ragged-row", "a row has another number of cells than the first", {
        where: `${this.fileName}, row ${row}${row === line ? "" : ` (line ${line})`}`,
        expected: `${names?.length ?? 0} cells: ${names?.join(", ").slice(0, 200) ?? ""}`,
        got: `${cells.length} cells: ${cells.join(", ").slice(0, 200)}`,
        fix: "mend the row; a cell that holds the separator or a newline must be quoted",
      });
    }
    this.add(
      cells.map((cell) => (this.missing.has(cell) ? null : cell)),
      row,
    );
  }

  addRecord(record: object, row: number): void {
    const entries = Object.entries(record) as [string, unknown][];
    if (this.names === undefined) this.setNames(entries.map(([name]) => name));
    const cells = new Array<Cell>(this.columns.length).fill(null);
    for (const [name, value] of entries) {
      const index = this.indexes.get(name);
      if (index === undefined) this.failUnknown(name, row);
      cells[index] = this.toCell(value, name, row);
    }
    this.add(cells, row);
  }

  finish(): Table {
    if (this.rows.length === 0 || this.names === undefined) {
      fail("data/empty", "the table holds no rows", {
        where: this.tableName,
        expected: "at least one row",
        got: "none",
        fix: "check the path, and what data.invalid leaves out",
      });
    }
    const { tableName: name, names, columns, rows, tally } = this;
    const { skipped, replaced } = tally;
    return { name, names, columns, rows, skipped, replaced, sha256: this.hash.digest("hex") };
  }

  private add(cells: Cell[], row: number): void {
    for (let i = 0; i < cells.length; i++) this.columns[i].push(this.intern(cells[i], i));
    this.rows.push(row);
    this.hash.update(JSON.stringify(cells));
    if (this.bytes > this.maxMemoryBytes) {
      fail("data/too-large", "the table does not fit the memory given to it", {
        where: `${this.fileName}, row ${row}`,
        expected: `at most ${formatBytes(this.maxMemoryBytes)}`,
        fix: "take a sample of the rows, or leave columns out of the file",
      });
    }
  }

  /** Equal strings of a column share one copy, while there are few of them. */
  private intern(cell: Cell, column: number): Cell {
    this.bytes += cellOverheadBytes;
    if (typeof cell !== "string") return cell;
    const known = this.interned[column];
    const copy = known?.get(cell);
    if (copy !== undefined) return copy;
    this.bytes += 2 * cell.length;
    if (known !== undefined && known.size < maxInterned) known.set(cell, cell);
    else this.interned[column] = undefined;
    return cell;
  }

  private toCell(value: unknown, name: string, row: number): Cell {
    if (value === undefined || value === null) return null;
    if (typeof value === "string") return this.missing.has(value) ? null : value;
    if (typeof value === "number" || typeof value === "boolean") return value;
    return fail("data/nested", "a value is not a number, a text, true, false or null", {
      where: `${this.fileName}, row ${row}, column ${name}`,
      got: Array.isArray(value) ? "an array" : typeof value,
      fix: "flatten it into columns of its own, or leave it out",
    });
  }

  private failUnknown(name: string, row: number): never {
    const guess = didYouMean(name, this.indexes.keys());
    fail("data/unknown-column", "a row has a column that the first row lacks", {
      where: `${this.fileName}, row ${row}`,
      expected: [...this.indexes.keys()].join(", ").slice(0, 200),
      got: name,
      fix: guess === undefined ? "write missing values as null, in every row" : `did you mean ${guess}?`,
    });
  }
}

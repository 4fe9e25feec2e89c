// CSV by RFC 4180: text pieces in, records of cells out. Knows nothing of types, headers or files.
import { fail } from "../base/index.ts";

export type Separator = "," | ";" | "\t" | "|";

export interface CsvOptions {
  readonly separator: Separator;
  /** `"none"` takes quote characters as text. Default `"`. */
  readonly quote?: '"' | "none";
  /** Drop spaces around cells that are not quoted. Default true. */
  readonly trim?: boolean;
  /** Longest cell in UTF-16 units; also bounds what an unclosed quote may swallow. Default 16 Mi. */
  readonly maxCellLength?: number;
}

/** One record and where it stands: `row` counts records from 1, `line` lines of the file from 1. */
export interface CsvRecord {
  readonly cells: string[];
  readonly row: number;
  readonly line: number;
}

const states = { start: 0, plain: 1, quoted: 2, closed: 3, spaced: 4 } as const;

/**
 * Parses a stream of pieces. Quoted cells may hold separators, newlines and doubled quotes; records end with LF, CRLF or
 * CR; blank lines are passed over. Errors with `data/csv-quote` and `data/cell-length`, naming file and row.
 */
export class CsvParser {
  private readonly name: string;
  private readonly separator: string;
  private readonly quote: string;
  private readonly trim: boolean;
  private readonly maxCellLength: number;
  private state: number = states.start;
  private cell = "";
  private wasQuoted = false;
  private cells: string[] = [];
  private row = 1;
  private line = 1;
  private recordLine = 1;
  private quoteLine = 1;
  private afterReturn = false;

  constructor(name: string, options: CsvOptions) {
    this.name = name;
    this.separator = options.separator;
    this.quote = options.quote === "none" ? "" : '"';
    this.trim = options.trim ?? true;
    this.maxCellLength = options.maxCellLength ?? 2 ** 24;
  }

  /** The records that `piece` completes. */
  push(piece: string): CsvRecord[] {
    const records: CsvRecord[] = [];
    let from = 0; // start of the part of the cell that lies in this piece
    for (let i = 0; i < piece.length; i++) {
      const char = piece[i];
      if (this.state === states.quoted) {
        if (char === "\n") this.line++;
        if (char !== this.quote) continue;
        this.append(piece, from, i);
        this.state = states.closed;
        continue;
      }
      if (char === "\n" && this.afterReturn) {
        this.afterReturn = false; // the second half of CRLF
        from = i + 1;
        continue;
      }
      this.afterReturn = false;
      if (char === this.separator || char === "\n" || char === "\r") {
        if (this.state === states.plain) this.append(piece, from, i);
        this.endCell();
        if (char !== this.separator) {
          this.endRecord(records);
          this.afterReturn = char === "\r";
        }
        from = i + 1;
      } else if (this.state === states.closed || this.state === states.spaced) {
        if (char === this.quote && this.state === states.closed) {
          this.cell += char;
          this.state = states.quoted;
          from = i + 1;
        } else if (this.trim && char === " ") this.state = states.spaced;
        else this.failQuote("text after a closing quote");
      } else if (char === this.quote) {
        if (this.state === states.plain) this.failQuote("a quote inside a cell that is not quoted");
        this.state = states.quoted;
        this.wasQuoted = true;
        this.quoteLine = this.line;
        from = i + 1;
      } else if (this.state === states.start && !(this.trim && char === " ")) {
        this.state = states.plain;
        from = i;
      }
    }
    if (this.state === states.plain || this.state === states.quoted) this.append(piece, from, piece.length);
    return records;
  }

  /** The last record, when the file does not end with a newline. */
  end(): CsvRecord[] {
    if (this.state === states.quoted) {
      fail("data/csv-quote", "a quote is never closed", {
        where: `${this.name}, row ${this.row} (line ${this.quoteLine})`,
        expected: 'a closing " before the end of the file',
        fix: 'close the quote, write a quote inside a quoted cell as "", or set data.quote to none',
      });
    }
    const records: CsvRecord[] = [];
    if (this.state !== states.start || this.cells.length > 0) {
      this.endCell();
      this.endRecord(records);
    }
    return records;
  }

  private append(piece: string, from: number, to: number): void {
    this.cell += piece.slice(from, to);
    if (this.cell.length > this.maxCellLength) {
      fail("data/cell-length", "a cell is longer than its bound", {
        where: `${this.name}, row ${this.row} (line ${this.state === states.quoted ? this.quoteLine : this.line})`,
        expected: `at most ${this.maxCellLength} characters`,
        fix: this.state === states.quoted ? "look for a quote that is never closed" : "check the separator",
      });
    }
  }

  private endCell(): void {
    this.cells.push(this.trim && !this.wasQuoted ? this.cell.trimEnd() : this.cell);
    this.cell = "";
    this.wasQuoted = false;
    this.state = states.start;
  }

  private endRecord(records: CsvRecord[]): void {
    const blank = this.cells.length === 1 && this.cells[0] === "";
    if (!blank) records.push({ cells: this.cells, row: this.row, line: this.recordLine });
    if (!blank) this.row++;
    this.cells = [];
    this.line++;
    this.recordLine = this.line;
  }

  private failQuote(what: string): never {
    fail("data/csv-quote", what, {
      where: `${this.name}, row ${this.row} (line ${this.line})`,
      expected: 'cells with quotes, separators or newlines wrapped in ", with every inner " doubled',
      fix: "mend the row, set data.quote to none to take quotes as text, or data.format to jsonl for JSON lines",
    });
  }
}

/** The separator under which the first records of `sample` have the most columns, all alike. Default `,`. */
export function detectSeparator(sample: string, quote: '"' | "none" = '"'): Separator {
  let best: Separator = ",";
  let bestColumns = 1;
  for (const separator of [",", "\t", ";", "|"] as const) {
    const columns = commonColumns(sample, separator, quote);
    if (columns > bestColumns) [best, bestColumns] = [separator, columns];
  }
  return best;
}

/** Columns that nearly all records share, or 0. The last record may be cut and is not looked at. */
function commonColumns(sample: string, separator: Separator, quote: '"' | "none"): number {
  let records: CsvRecord[];
  try {
    records = new CsvParser("sample", { separator, quote }).push(sample).slice(0, 200);
  } catch {
    return 0; // quotes do not fit this separator
  }
  if (records.length === 0) return sample.split("\n", 1)[0].split(separator).length;
  const tally = new Map<number, number>();
  for (const { cells } of records) tally.set(cells.length, (tally.get(cells.length) ?? 0) + 1);
  const [columns, count] = [...tally].reduce((a, b) => (b[1] > a[1] ? b : a));
  return count >= 0.9 * records.length ? columns : 0;
}

/**
 * Whether the first record names the columns: none of its cells is empty, a number or repeated, and below at least one
 * of them stands a number, or no cell recurs in its own column.
 */
export function detectHeader(records: readonly (readonly string[])[]): boolean {
  const [first, ...rest] = records;
  if (first === undefined || rest.length === 0) return false;
  const named = first.slice(first[0] === "" ? 1 : 0); // an unnamed index column is common
  if (named.length === 0 || named.some((cell) => cell === "" || isNumeric(cell))) return false;
  if (new Set(named).size !== named.length) return false;
  if (first.some((_, column) => rest.some((cells) => isNumeric(cells[column] ?? "")))) return true;
  return first.every((cell, column) => rest.every((cells) => cells[column] !== cell));
}

/** A decimal number as tables write it; no hexadecimal, no thousands separators. */
export function isNumeric(cell: string): boolean {
  return /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\s*$/.test(cell);
}

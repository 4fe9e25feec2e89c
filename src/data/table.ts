// Tables as columns of cells, from CSV, JSON Lines or records in memory, with the source row of each. No types yet:
// `table-columns.ts` infers them, `table-encoder.ts` makes numbers of them.
import { fail } from "../base/index.ts";
import { CsvParser, type CsvRecord, detectHeader, detectSeparator, type Separator } from "./csv.ts";
import { listFiles } from "./files.ts";
import { recordsOf } from "./json-records.ts";
import { TableBuilder } from "./table-builder.ts";
import { openText, type TextOptions, type TextReport, type TextSource } from "./text-source.ts";

/** One value of a table. CSV gives strings and `null`; JSON Lines and records give what they hold. */
export type Cell = string | number | boolean | null;

/** A row in memory: column name to value. `undefined` counts as missing. */
export type TableRecord = { readonly [column: string]: Cell | undefined };

/** Where a table comes from: files (`.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.json`, also `.gz`), CSV text, or records. */
export type TableInput<R extends object = TableRecord> =
  | { readonly path: string | readonly string[] }
  | { readonly csv: string }
  | { readonly records: Iterable<R> | AsyncIterable<R> };

export interface TableReadOptions extends TextOptions {
  /** Default: by the file's name, else CSV. */
  readonly format?: "csv" | "jsonl";
  /** Default: detected among `,` `;` tab and `|`. */
  readonly separator?: Separator;
  /** Whether the first row names the columns, or the names themselves. Default: detected; then `column1`, ... */
  readonly header?: boolean | readonly string[];
  readonly quote?: '"' | "none";
  readonly trim?: boolean;
  /** Cells that stand for a missing value. Default `""`, `?`, `NA`, `N/A`, `null`, `NULL`. */
  readonly missingMarkers?: readonly string[];
}

/** Columns of equal length. `rows[i]` is the source's number of row i, counted from 1 with the header, per file. */
export interface Table {
  /** File or kind of memory, for messages. */
  readonly name: string;
  readonly names: readonly string[];
  readonly columns: readonly (readonly Cell[])[];
  readonly rows: readonly number[];
  /** What `invalid` did: files left out, faults that became U+FFFD. */
  readonly skipped: TextReport["skipped"];
  readonly replaced: number;
  /** SHA-256 over names and cells in order: for the run's record. */
  readonly sha256: string;
}

/**
 * Reads a table into memory. Errors name file and row: `data/ragged-row`, `data/csv-quote`, `data/json`,
 * `data/unknown-column`, `data/header`, `data/empty`, `data/too-large`, and those of reading text.
 */
export async function readTable<R extends object>(
  input: TableInput<R>,
  options: TableReadOptions = {},
): Promise<Table> {
  if ("records" in input) {
    const builder = new TableBuilder("records in memory", options);
    let row = 0;
    for await (const record of input.records) builder.addRecord(record, ++row);
    return builder.finish();
  }
  if ("csv" in input) {
    const builder = new TableBuilder("CSV in memory", options);
    await readCsv(await openText({ text: input.csv }, options), builder, options);
    return builder.finish();
  }
  const builder = new TableBuilder(typeof input.path === "string" ? input.path : input.path.join(", "), options);
  for (const path of await listFiles(input.path)) {
    builder.startFile(path);
    const format = options.format ?? (/\.(?:jsonl|ndjson|json)(?:\.gz)?$/.test(path) ? "jsonl" : "csv");
    if (format === "jsonl") await readJson(path, builder, options);
    else await readCsv(await openText({ path }, options), builder, options);
  }
  return builder.finish();
}

const sampleLength = 2 ** 16;
const sampleRecords = 100;

async function readCsv(source: TextSource, builder: TableBuilder, options: TableReadOptions): Promise<void> {
  const { quote = '"', trim = true } = options;
  let parser: CsvParser | undefined;
  let sample = "";
  let waiting: CsvRecord[] = []; // until there are enough to tell whether the first one is a header
  let headerKnown = false;
  const start = () => {
    const separator = options.separator ?? detectSeparator(sample, quote);
    parser = new CsvParser(source.name, { separator, quote, trim });
    take(parser.push(sample));
    sample = "";
  };
  const take = (records: CsvRecord[]) => {
    if (headerKnown) for (const record of records) builder.addCells(record);
    else waiting.push(...records);
    if (!headerKnown && waiting.length >= sampleRecords) decide();
  };
  const decide = () => {
    headerKnown = true;
    const header = options.header ?? "detect";
    const first = waiting[0];
    if (first === undefined) return;
    const hasHeader = header === "detect" ? detectHeader(waiting.map((record) => record.cells)) : header === true;
    if (hasHeader) builder.setHeader(first.cells, first.row);
    else builder.setNames(Array.isArray(header) ? header : first.cells.map((_, i) => `column${i + 1}`));
    for (const record of waiting.slice(hasHeader ? 1 : 0)) builder.addCells(record);
    waiting = [];
  };
  for await (const piece of source.pieces(builder.tally)) {
    if (parser !== undefined) take(parser.push(piece));
    else {
      sample += piece;
      if (sample.length >= sampleLength) start();
    }
  }
  if (parser === undefined) start();
  take(parser!.end());
  if (!headerKnown) decide();
}

async function readJson(path: string, builder: TableBuilder, options: TableReadOptions): Promise<void> {
  for await (const { record, place, row } of recordsOf(path, options, builder.tally)) {
    if (typeof record !== "object" || record === null || Array.isArray(record))
      fail("data/json", "a row is not a JSON object", {
        where: place,
        expected: 'an object for each row, such as {"x": 1, "label": "a"}',
        got: JSON.stringify(record).slice(0, 60),
        fix: "write the row with the names of its columns",
      });
    builder.addRecord(record, row);
  }
}

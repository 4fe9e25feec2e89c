// Which type a column has: inferred from its cells, or declared. Makes no numbers of them.
import { AthanorError, didYouMean, fail } from "../base/index.ts";
import { isNumeric } from "./csv.ts";
import type { Cell, Table } from "./table.ts";

/** How a column is used. `ignore` leaves it out; `text` cannot be a feature of a table model. */
export type ColumnType = "number" | "category" | "boolean" | "text" | "ignore";

export interface ColumnOptions {
  /** Types that override inference, by column name. */
  readonly columns?: Readonly<Record<string, ColumnType>>;
  /** Most distinct values of a column of strings that still is a category. Default 1000. */
  readonly maxCategories?: number;
}

/** A column's place, name and type. */
export interface TypedColumn {
  readonly name: string;
  readonly index: number;
  readonly type: ColumnType;
}

/** The column that `column` names: a name, an index (negative from the end), or by default the last. */
export function findColumn(table: Table, column: string | number = -1): number {
  const { names } = table;
  const index = typeof column === "string" ? names.indexOf(column) : column < 0 ? names.length + column : column;
  if (index >= 0 && index < names.length && Number.isInteger(index)) return index;
  const guess = typeof column === "string" ? didYouMean(column, names) : undefined;
  fail("data/unknown-column", "the table has no such column", {
    where: table.name,
    expected:
      typeof column === "string" ? `one of ${names.join(", ").slice(0, 300)}` : `an index below ${names.length}`,
    got: String(column),
    fix:
      guess === undefined ? "name a column that is there; recipes: data.target, data.text" : `did you mean ${guess}?`,
  });
}

/** The type of every column. Errors with `data/unknown-column`, `data/mixed-column`; mixed columns are all named. */
export function typeColumns(table: Table, options: ColumnOptions = {}): TypedColumn[] {
  const { columns = {}, maxCategories = 1000 } = options;
  for (const name of Object.keys(columns)) findColumn(table, name);
  const faults: AthanorError[] = [];
  const typed = table.names.map((name, index): TypedColumn => {
    if (Object.hasOwn(columns, name)) return { name, index, type: columns[name] };
    try {
      return { name, index, type: inferType(table, index, maxCategories) };
    } catch (error) {
      if (!(error instanceof AthanorError)) throw error;
      faults.push(error);
      return { name, index, type: "ignore" };
    }
  });
  if (faults.length === 1) throw faults[0];
  if (faults.length > 1) {
    fail("data/mixed-column", `${faults.length} columns mix numbers and text`, {
      where: table.name,
      got: faults.map((fault) => `${fault.where}: ${fault.got}`).join("\n"),
      ...(faults[0].fix === undefined ? {} : { fix: faults[0].fix }),
    });
  }
  return typed;
}

function inferType(table: Table, column: number, maxCategories: number): ColumnType {
  const cells = table.columns[column];
  let [present, numbers, booleans, strangeRow] = [0, 0, 0, -1];
  const distinct = new Set<Cell>();
  for (let i = 0; i < cells.length; i++) {
    const cell = cells[i];
    if (cell === null) continue;
    present++;
    if (looksNumeric(cell)) numbers++;
    else if (strangeRow < 0) strangeRow = i;
    if (toBoolean(cell) !== undefined) booleans++;
    if (distinct.size <= maxCategories) distinct.add(cell);
  }
  if (numbers === present) return "number";
  if (booleans === present) return "boolean";
  if (numbers >= 0.9 * present) {
    const name = table.names[column];
    fail("data/mixed-column", "a column of numbers holds something else", {
      where: `${table.name}, row ${table.rows[strangeRow]}, column ${name}`,
      expected: "a number, or a marker of a missing value",
      got: JSON.stringify(cells[strangeRow]),
      fix: `mend the cell, add it to data.missingMarkers, or set data.columns.${name} to category or ignore`,
    });
  }
  // an identifier or a sentence differs in nearly every row
  const few = distinct.size <= maxCategories && distinct.size <= Math.max(20, present / 2);
  return few ? "category" : "text";
}

function looksNumeric(cell: Cell): boolean {
  return typeof cell === "number" || (typeof cell === "string" && (isNumeric(cell) || isNotFinite(cell)));
}

function isNotFinite(cell: string): boolean {
  return /^\s*(?:nan|[+-]?inf(?:inity)?)\s*$/i.test(cell);
}

/** The number a cell holds: NaN or infinite if it says so, `undefined` if it holds none. */
export function toNumber(cell: Cell): number | undefined {
  if (typeof cell === "number") return cell;
  if (typeof cell === "boolean") return cell ? 1 : 0;
  if (cell === null) return undefined;
  if (isNumeric(cell)) return Number(cell);
  return isNotFinite(cell) ? Number.NaN : undefined;
}

/** The truth value a cell holds, or `undefined`. */
export function toBoolean(cell: Cell): boolean | undefined {
  if (typeof cell === "boolean") return cell;
  if (cell === 1 || cell === "1") return true;
  if (cell === 0 || cell === "0") return false;
  if (typeof cell !== "string") return undefined;
  const word = cell.toLowerCase();
  return word === "true" || word === "yes" ? true : word === "false" || word === "no" ? false : undefined;
}

// The target column of a table: which task it means, its classes or its spread. Encodes nothing.
import { fail } from "../base/index.ts";
import type { Cell, Table } from "./table.ts";
import { type TypedColumn, toNumber } from "./table-columns.ts";
import type { Target } from "./table-encoder.ts";

const maxClasses = 1000;

export interface TargetOptions {
  /** Default: classification when the target holds text or true/false, regression when it holds numbers. */
  readonly task?: "classification" | "regression";
  /** Scale regression targets to mean 0 and deviation 1 (`encoder.decodeTarget` reverses it). Default false. */
  readonly standardizeTarget?: boolean;
}

/** The task that the options or the column's type say. Errors with `data/text-column` for a target of free text. */
export function decideTask(table: Table, column: TypedColumn, options: TargetOptions): Target["task"] {
  const task = options.task ?? (column.type === "number" ? "regression" : "classification");
  if (column.type === "text" && task === "classification") {
    fail("data/text-column", "the target differs in nearly every row, so it cannot be a class", {
      where: `${table.name}, column ${column.name}`,
      fix: "choose another data.target, or set its data.columns to category",
    });
  }
  return task;
}

/**
 * Class names and the class id of each of `rows`. Numbers are ordered by value, text by code units.
 * Errors: `data/one-class`, `data/too-many-classes`.
 */
export function findClasses(table: Table, column: TypedColumn, rows: readonly number[]) {
  const cells = table.columns[column.index];
  const nameOf = (cell: Cell) => (column.type === "number" ? String(toNumber(cell)) : String(cell));
  const names = new Set<string>();
  for (const row of rows) {
    if (column.type === "number" && !Number.isFinite(toNumber(cells[row]))) {
      fail("data/not-finite", "a label is NaN or infinite", {
        where: `${table.name}, row ${table.rows[row]}, column ${column.name}`,
        got: String(cells[row]),
      });
    }
    names.add(nameOf(cells[row]));
    if (names.size > maxClasses) {
      fail("data/too-many-classes", "the target has too many different values to be classes", {
        where: `${table.name}, column ${column.name}`,
        expected: `at most ${maxClasses}`,
        fix: column.type === "number" ? "set data.task to regression" : "choose another data.target",
      });
    }
  }
  const classes = [...names].sort(column.type === "number" ? (a, b) => Number(a) - Number(b) : undefined);
  if (classes.length < 2) {
    fail("data/one-class", "every row has the same label", {
      where: `${table.name}, column ${column.name}`,
      expected: "at least two classes",
      got: classes.join(),
      fix: "add rows of another class, or name another column of labels: data.target",
    });
  }
  const ids = new Map(classes.map((name, id) => [name, id]));
  return { classes, ids: rows.map((row) => ids.get(nameOf(cells[row]))!) };
}

/** Mean and deviation of a regression target over the training rows, or 0 and 1. */
export function fitRegression(
  table: Table,
  column: TypedColumn,
  rows: readonly number[],
  standardize: boolean,
): Target {
  const { name } = column;
  if (!standardize) return { task: "regression", name, mean: 0, scale: 1 };
  const values = rows.map((row) => toNumber(table.columns[column.index][row]) ?? Number.NaN);
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const scale = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  // a constant target, or one that holds something else, is named by row when it is encoded
  const usable = Number.isFinite(mean) && Number.isFinite(scale) && scale > 0;
  return { task: "regression", name, mean: usable ? mean : 0, scale: usable ? scale : 1 };
}

// One column of a table as numbers: fitted on the training rows, then applied to any row. Knows no files and no targets.
import { fail } from "../base/index.ts";
import type { Cell, Table } from "./table.ts";
import { type TypedColumn, toBoolean, toNumber } from "./table-columns.ts";

/** How a column becomes features. Plain data: this is what an encoder saves. */
export type Feature =
  /**
   * One feature, `(x - mean) / scale`; a missing value is taken as the mean. With `edges`, one more for each bin between two of them: 0
   * below it, 1 above it, a line within (piecewise-linear encoding; Gorishniy, Rubachev & Babenko 2022).
   */
  | {
      readonly kind: "number";
      readonly name: string;
      readonly mean: number;
      readonly scale: number;
      readonly edges?: readonly number[];
    }
  /** One feature, 0 or 1; a missing value becomes `fill`, the share of true. */
  | { readonly kind: "boolean"; readonly name: string; readonly fill: number }
  /** One-hot: the values, then (if training had any) one for missing, then one for values never seen. */
  | { readonly kind: "category"; readonly name: string; readonly values: readonly string[]; readonly missing: boolean };

export interface FeaturePolicy {
  /** A missing value: fill it in (default) or refuse it. */
  readonly missing: "impute" | "error";
  /** A number that is NaN or infinite: refuse it (default) or treat it as missing. */
  readonly notFinite: "error" | "missing";
}

/** Number of features a column becomes. */
export function featureWidth(feature: Feature): number {
  if (feature.kind === "category") return feature.values.length + (feature.missing ? 2 : 1);
  return feature.kind === "number" && feature.edges !== undefined ? feature.edges.length : 1;
}

/** Names for reports and explanations: `age`, `age from 17 to 25`, `colour=red`, `colour is missing`, `colour is new`. */
export function featureNames(feature: Feature): string[] {
  const { name } = feature;
  if (feature.kind === "number" && feature.edges !== undefined)
    return [name, ...feature.edges.slice(1).map((edge, at) => `${name} from ${feature.edges![at]} to ${edge}`)];
  if (feature.kind !== "category") return [name];
  const missing = feature.missing ? [`${name} is missing`] : [];
  return [...feature.values.map((value) => `${name}=${value}`), ...missing, `${name} is new`];
}

/** A fitted column, or why it was left out: it says nothing when it never changes. */
export type Fitted = { readonly feature: Feature; readonly imputed: number } | { readonly constant: string };

/** Fits one column on `rows`, a column of numbers with so many `bins`, if any. Errors with `data/missing`, `data/not-finite`, `data/type`, naming row and column. */
export function fitFeature(
  table: Table,
  column: TypedColumn,
  rows: readonly number[],
  policy: FeaturePolicy,
  bins = 0,
): Fitted {
  const where = (row: number) => `${table.name}, row ${table.rows[row]}, column ${column.name}`;
  const cells = table.columns[column.index];
  if (column.type === "category") return fitCategory(column.name, cells, rows, policy, where);
  const read = column.type === "boolean" ? readBoolean : readNumber;
  const values = new Float64Array(rows.length);
  let present = 0;
  for (const row of rows) {
    const value = read(cells[row], policy, () => where(row));
    if (value !== undefined) values[present++] = value;
  }
  const known = values.subarray(0, present);
  if (known.every((value) => value === known[0])) return { constant: present === 0 ? "no value" : String(known[0]) };
  const imputed = rows.length - present;
  let sum = 0;
  for (const value of known) sum += value;
  const mean = sum / present;
  if (column.type === "boolean") return { feature: { kind: "boolean", name: column.name, fill: mean }, imputed };
  let squares = 0;
  for (const value of known) squares += (value - mean) ** 2;
  const scale = Math.sqrt(squares / present); // of the population, as scikit-learn's StandardScaler
  if (!Number.isFinite(mean) || !Number.isFinite(scale) || scale === 0) {
    fail("data/range", "the numbers of a column cannot be standardized", {
      where: `${table.name}, column ${column.name}`,
      expected: "a finite mean and spread",
      got: `mean ${mean}, standard deviation ${scale}`,
      fix: "rescale the column, or set its data.columns to ignore",
    });
  }
  const edges = bins === 0 ? {} : { edges: binEdges(known.sort(), bins) };
  return { feature: { kind: "number", name: column.name, mean, scale, ...edges }, imputed };
}

/**
 * Edges of up to `bins` bins that hold equal shares of sorted values, of which there are two different ones or more. A value that alone
 * has more than its share gets a bin of its own, and the others share what is left. Edges lie between values.
 */
function binEdges(sorted: Float64Array, bins: number): number[] {
  const [edges, last] = [[sorted[0]!], sorted.at(-1)!];
  let begin = 0;
  for (let at = 1; at < sorted.length; at++) {
    const [before, value] = [sorted[at - 1]!, sorted[at]!];
    const left = bins - edges.length; // bins after the one that is being filled
    if (left === 0 || value === before || (at - begin) * (left + 1) < sorted.length - begin) continue;
    const middle = before / 2 + value / 2;
    if (middle > edges.at(-1)! && middle < last) edges.push(middle); // neighbours among floats have none between them
    begin = at;
  }
  return [...edges, last];
}

function fitCategory(
  name: string,
  cells: readonly Cell[],
  rows: readonly number[],
  policy: FeaturePolicy,
  where: (row: number) => string,
): Fitted {
  const seen = new Set<string>();
  let imputed = 0;
  for (const row of rows) {
    const cell = cells[row];
    if (cell !== null) seen.add(String(cell));
    else {
      if (policy.missing === "error") failMissing(where(row));
      imputed++;
    }
  }
  const values = [...seen].sort();
  if (values.length + (imputed > 0 ? 1 : 0) < 2) return { constant: values[0] ?? "no value" };
  return { feature: { kind: "category", name, values, missing: imputed > 0 }, imputed };
}

/** Writes features of cells, fast: category positions are looked up in a map made once. */
export class FeatureWriter {
  readonly feature: Feature;
  readonly width: number;
  private readonly positions: ReadonlyMap<string, number>;
  private readonly policy: FeaturePolicy;

  constructor(feature: Feature, policy: FeaturePolicy) {
    this.feature = feature;
    this.width = featureWidth(feature);
    this.policy = policy;
    this.positions = new Map(feature.kind === "category" ? feature.values.map((value, i) => [value, i]) : []);
  }

  /** Writes `width` features at `offset` of `out` (zeros before). Returns whether the value was a new category. */
  write(out: Float32Array, offset: number, cell: Cell, where: () => string): boolean {
    const { feature, policy } = this;
    if (feature.kind === "category") {
      if (cell === null && policy.missing === "error") failMissing(where());
      const known = cell === null ? undefined : this.positions.get(String(cell));
      const position = known ?? (cell === null && feature.missing ? feature.values.length : this.width - 1);
      out[offset + position] = 1;
      return cell !== null && known === undefined;
    }
    if (feature.kind === "boolean") {
      out[offset] = readBoolean(cell, policy, where) ?? feature.fill;
      return false;
    }
    const value = readNumber(cell, policy, where) ?? feature.mean;
    out[offset] = (value - feature.mean) / feature.scale;
    for (const [at, edge] of (feature.edges ?? []).slice(1).entries())
      out[offset + 1 + at] = Math.min(Math.max((value - feature.edges![at]!) / (edge - feature.edges![at]!), 0), 1);
    if (!Number.isFinite(out[offset])) {
      fail("data/range", "a number is too far from those of the training part", { where: where(), got: String(value) });
    }
    return false;
  }
}

function readNumber(cell: Cell, policy: FeaturePolicy, where: () => string): number | undefined {
  if (cell === null) return policy.missing === "error" ? failMissing(where()) : undefined;
  const value = toNumber(cell);
  if (value === undefined) {
    fail("data/type", "a column of numbers holds something else", {
      where: where(),
      expected: "a number",
      got: JSON.stringify(cell).slice(0, 80),
    });
  }
  if (Number.isFinite(value)) return value;
  if (policy.notFinite === "missing") return policy.missing === "error" ? failMissing(where()) : undefined;
  return fail("data/not-finite", "a number is NaN or infinite", {
    where: where(),
    expected: "a finite number",
    got: String(cell),
    fix: "mend the data, or set data.notFinite to missing, to take it as a missing value",
  });
}

function readBoolean(cell: Cell, policy: FeaturePolicy, where: () => string): number | undefined {
  if (cell === null) return policy.missing === "error" ? failMissing(where()) : undefined;
  const value = toBoolean(cell);
  if (value !== undefined) return value ? 1 : 0;
  return fail("data/type", "a column of true and false holds something else", {
    where: where(),
    expected: "true or false",
    got: JSON.stringify(cell).slice(0, 80),
  });
}

function failMissing(where: string): never {
  fail("data/missing", "a value is missing", {
    where,
    expected: "a value in every row",
    fix: "fill it in, or set data.missing to impute or drop",
  });
}

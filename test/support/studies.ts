// Running a study of recipes/studies as a process, for people and for machines. Holds no expectations but that it ends well.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export interface StudyRow {
  readonly name: string;
  readonly values: { readonly [figure: string]: readonly number[] };
  readonly means: { readonly [figure: string]: Interval };
  /** Of the first figure, less that of the first row, seed by seed. */
  readonly difference: Interval;
}
interface Interval {
  readonly mean: number;
  readonly half?: number;
}

const run = promisify(execFile);

export async function runStudy(name: string): Promise<{ stdout: string; rows: readonly StudyRow[] }> {
  const path = fileURLToPath(new URL(`../../recipes/studies/${name}.mjs`, import.meta.url));
  const [people, machines] = [await run(process.execPath, [path]), await run(process.execPath, [path, "--json"])];
  return { stdout: people.stdout, rows: JSON.parse(machines.stdout).rows };
}

export function rowOf(rows: readonly StudyRow[], name: string): StudyRow {
  const found = rows.find((row) => row.name === name);
  if (found === undefined) throw new Error(`no row ${name} among ${rows.map((row) => row.name).join(", ")}`);
  return found;
}

/** Ends of the 95 % interval of the difference from the first row. */
export function differenceOf(rows: readonly StudyRow[], name: string): { low: number; high: number } {
  const { mean, half = 0 } = rowOf(rows, name).difference;
  return { low: mean - half, high: mean + half };
}

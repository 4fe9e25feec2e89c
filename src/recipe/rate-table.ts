// A learning rate given as a file of positions and rates. Once read it stands in the recipe itself, so that a run's record has it.
import { readFileSync } from "node:fs";
import { fail } from "../base/index.ts";

type Raw = Record<string, unknown>;
const isRecord = (value: unknown): value is Raw => typeof value === "object" && value !== null && !Array.isArray(value);

/** The optimizer's learning rate, where it is `{ table: path }`. */
function tableOf({ optimizer }: Raw): { name: string; path: string } | undefined {
  if (!isRecord(optimizer)) return undefined;
  for (const [name, settings] of Object.entries(optimizer)) {
    const table = isRecord(settings) && isRecord(settings.lr) ? settings.lr.table : undefined;
    if (typeof table === "string") return { name, path: table };
  }
  return undefined;
}

/** The recipe with another value in the place of that path. */
export function replaceRateTable(raw: Raw, replace: (path: string) => unknown): void {
  const found = tableOf(raw);
  if (found === undefined) return;
  const optimizer = raw.optimizer as Raw;
  const settings = optimizer[found.name] as Raw;
  const lr = { ...(settings.lr as Raw), table: replace(found.path) };
  raw.optimizer = { ...optimizer, [found.name]: { ...settings, lr } };
}

/** Positions and rates of a file with one of each per line, as in `100, 3e-4`. Errors with `config/read`, `config/rate-table`. */
export function readRateTable(path: string): { positions: number[]; values: number[] } {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    return fail("config/read", "the table of learning rates cannot be read", {
      where: `lr.table: ${path}`,
      expected: "a file with a position and a rate in each line",
      got: (cause as NodeJS.ErrnoException).code ?? String(cause),
      fix: "check the path; it is relative to the recipe, given by --set to the working folder",
      cause,
    });
  }
  const rows = text.split(/\r?\n/).map((line) => line.trim());
  const numbered = rows.flatMap((line, at) =>
    line === "" || (at === 0 && /[a-df-z]/i.test(line)) ? [] : [{ line, at }],
  );
  const pairs = numbered.map(({ line, at }) => {
    const pair = line.split(/[\s,;]+/).map(Number);
    if (pair.length === 2 && pair.every(Number.isFinite)) return pair as [number, number];
    return fail("config/rate-table", "a line is not a position and a rate", {
      where: `${path}:${at + 1}`,
      expected: "two numbers, such as 100, 3e-4; the first line may hold names",
      got: line,
      fix: "mend the line",
    });
  });
  return { positions: pairs.map(([position]) => position), values: pairs.map(([, value]) => value) };
}

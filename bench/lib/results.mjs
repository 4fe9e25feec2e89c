// Raw results on disk: one JSON file each in bench/results, so that a table can be measured in pieces. Renders nothing.
import { mkdirSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** All results of a folder, by name. */
export function readResults(folder) {
  mkdirSync(folder, { recursive: true });
  const names = readdirSync(folder).filter((name) => name.endsWith(".json"));
  return new Map(
    names.toSorted().map((name) => [name.slice(0, -5), JSON.parse(readFileSync(join(folder, name), "utf8"))]),
  );
}

/** Replaces one result; figures keep four digits, which is more than any of them deserves, and counts all of theirs. */
export function writeResult(folder, name, result) {
  mkdirSync(folder, { recursive: true });
  const rounded = (_, value) =>
    typeof value !== "number" || Number.isInteger(value) ? value : Number(value.toPrecision(4));
  const path = join(folder, `${name}.json`);
  writeFileSync(`${path}.tmp`, `${JSON.stringify(result, rounded, 1)}\n`);
  renameSync(`${path}.tmp`, path);
}

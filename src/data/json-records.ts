// JSON records with whatever they hold, lists and objects too: JSON Lines, or one JSON array in a file. Tables of plain cells are
// read in table.ts.
import { createHash } from "node:crypto";
import { fail, formatBytes } from "../base/index.ts";
import { listFiles } from "./files.ts";
import { openText, type TextOptions, type TextReport, type TextTally } from "./text-source.ts";

/** Files (`.jsonl`, `.ndjson`, `.json`, also `.gz`), or records in memory. */
export type JsonInput =
  | { readonly path: string | readonly string[] }
  | { readonly records: Iterable<unknown> | AsyncIterable<unknown> };

export interface JsonRecords {
  readonly name: string;
  readonly records: readonly unknown[];
  /** Where each stands, for messages: `rows.jsonl, row 3`. */
  readonly places: readonly string[];
  /** SHA-256 over the records in order. */
  readonly sha256: string;
  /** What `invalid` did: files left out, faults that became U+FFFD. */
  readonly skipped: TextReport["skipped"];
  readonly replaced: number;
}

const maxArrayLength = 2 ** 28;

/** Reads all records into memory. Errors name file and row: `data/json`, `data/empty`, `data/too-large`, and those of reading text. */
export async function readJsonRecords(input: JsonInput, options: TextOptions = {}): Promise<JsonRecords> {
  const tally: TextTally = { documents: 0, skipped: [], replaced: 0 };
  const [records, places]: [unknown[], string[]] = [[], []];
  const hash = createHash("sha256");
  const add = (record: unknown, place: string) => {
    records.push(record);
    places.push(place);
    hash.update(`${JSON.stringify(record)}\n`);
  };
  let name = "records in memory";
  if ("records" in input) {
    for await (const record of input.records) add(record, `${name}, row ${records.length + 1}`);
  } else {
    name = typeof input.path === "string" ? input.path : input.path.join(", ");
    for (const path of await listFiles(input.path))
      for await (const { record, place } of recordsOf(path, options, tally)) add(record, place);
  }
  if (records.length === 0)
    fail("data/empty", "there are no records", {
      where: name,
      expected: "at least one",
      got: "none",
      fix: "check the path",
    });
  return { name, records, places, sha256: hash.digest("hex"), skipped: tally.skipped, replaced: tally.replaced };
}

/** The records of one file and where they stand. JSON Lines are read as a stream, an array as a whole. */
export async function* recordsOf(
  path: string,
  options: TextOptions,
  tally: TextTally,
): AsyncGenerator<{ record: unknown; place: string; row: number }> {
  const source = await openText({ path }, options);
  let [rest, row] = ["", 0];
  let isArray: boolean | undefined;
  const read = function* (lines: readonly string[]) {
    for (const line of lines) {
      const place = `${path}, row ${++row}`;
      if (line.trim() !== "") yield { record: parse(line, place), place, row };
    }
  };
  for await (const piece of source.pieces(tally)) {
    rest += piece;
    isArray ??= /^\s*$/.test(rest) ? undefined : /^\s*\[/.test(rest);
    if (rest.length > maxArrayLength)
      fail("data/too-large", "a record or an array is longer than its bound", {
        where: path,
        expected: `at most ${formatBytes(maxArrayLength)}`,
        fix: "write one JSON object per line",
      });
    if (isArray !== false) continue;
    const lines = rest.split("\n");
    rest = lines.pop()!;
    yield* read(lines);
  }
  if (!isArray) yield* read([rest]);
  else for (const record of parse(rest, path) as unknown[]) yield { record, place: `${path}, row ${++row}`, row };
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    return fail("data/json", "this is not JSON", {
      where,
      expected: "one object per line, or one array of objects in a file",
      got: (cause as Error).message.slice(0, 120),
      fix: "mend the line, or take it out; jq -c . puts an object that spans lines on one",
      cause,
    });
  }
}

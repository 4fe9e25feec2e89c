// D1: 50,000 damaged files of data, encoders and tokenizers. Whatever the bytes, reading ends with data or with an error that
// names its place.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, expect, it } from "vitest";
import { AthanorError, RandomStream } from "../../src/base/index.ts";
import { parseTokenizer, prepareTable, readText, TableEncoder } from "../../src/data/index.ts";
import { amount } from "../amount.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "athanor-fuzz-"));
});
afterAll(() => rmSync(folder, { recursive: true }));

const csv = Buffer.from(
  'size,colour,"note, long",label\n1.5,red,"a ""b"" c",yes\n-2e3,蓝,?,no\n,red,"two\nlines",yes\n4,blue,x,no\n',
);
const lines = Buffer.from('{"x":1.5,"k":"a","y":true}\n{"x":null,"k":"中","y":false}\n{"x":3,"k":"b","y":true}\n');
const seeds = [
  { name: "t.csv", bytes: csv },
  { name: "t.csv.gz", bytes: gzipSync(csv) },
  { name: "t.jsonl", bytes: lines },
  { name: "t.txt", bytes: Buffer.from("First Citizen:\r\n任何文字 🔥 any text\n") },
];
const hostile = [
  [0],
  [0xc0, 0x80],
  [0xed, 0xa0, 0x80],
  [0xf4, 0x90, 0x80, 0x80],
  [0xef, 0xbb, 0xbf],
  [0x22],
  [0x0d],
  [0x0a],
  [0x2c],
  [0x7b],
  [0x5b],
];

/** Flips, cuts, inserts, repeats. */
function damage(bytes: Buffer, stream: RandomStream, round: number): Buffer {
  let result = Buffer.from(bytes);
  const times = 1 + stream.below(4, 0, round);
  for (let i = 1; i <= times; i++) {
    const at = stream.below(result.length + 1, 4 * i, round);
    const [head, tail] = [result.subarray(0, at), result.subarray(at)];
    switch (stream.below(4, 4 * i + 1, round)) {
      case 0:
        if (at < result.length) result[at] = stream.below(256, 4 * i + 2, round);
        break;
      case 1:
        result = Buffer.from(head);
        break;
      case 2:
        result = Buffer.concat([
          head,
          Buffer.from(hostile[stream.below(hostile.length, 4 * i + 2, round)] ?? []),
          tail,
        ]);
        break;
      default:
        result = Buffer.concat([head, tail.subarray(0, 20), tail]);
    }
  }
  return result;
}

it("files", async () => {
  const stream = new RandomStream(1, "fuzz");
  const rounds = amount(25_000, 500);
  const outcomes = new Map<string, number>();
  for (let round = 0; round < rounds; round++) {
    const seed = seeds[round % seeds.length] as (typeof seeds)[number];
    const path = join(folder, seed.name);
    writeFileSync(path, damage(seed.bytes, stream, round));
    const invalid = (["error", "replace", "skip"] as const)[stream.below(3, 99, round)];
    const reading =
      seed.name === "t.txt" ? readText({ path }, { invalid }) : prepareTable({ path }, { invalid, validation: 0 });
    const outcome = await reading.then(
      () => "data",
      (error: unknown) => {
        if (!(error instanceof AthanorError) || error.code.startsWith("internal")) {
          writeFileSync(join(tmpdir(), "athanor-fuzz-failure"), damage(seed.bytes, stream, round));
          throw new Error(`round ${round} of ${seed.name}`, { cause: error });
        }
        return error.code;
      },
    );
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
  }
  expect(outcomes.size).toBeGreaterThan(8); // the damage reaches many kinds of error, and some files stay good
  expect(outcomes.get("data")).toBeGreaterThan(rounds / 50);
});

it("saved encoders and tokenizer files", async () => {
  const { encoder } = await prepareTable({ csv: csv.toString() }, { validation: 0 });
  const { byteTokenizer } = await import("../../src/data/index.ts");
  const stream = new RandomStream(2, "fuzz");
  const saved = JSON.stringify(encoder);
  const tokenizer = JSON.stringify(byteTokenizer());
  const record = { size: "1", colour: "red", "note, long": "x" };
  for (let round = 0; round < amount(25_000, 500); round++) {
    const text = damage(Buffer.from(round % 2 === 0 ? saved : tokenizer), stream, round).toString();
    let file: unknown;
    try {
      file = JSON.parse(text);
    } catch {
      continue;
    }
    try {
      if (round % 2 === 0) TableEncoder.fromJSON(file).encodeRow(record);
      else parseTokenizer(file as never).encode("any text");
    } catch (error) {
      if (!(error instanceof AthanorError)) throw new Error(`round ${round}: ${text.slice(0, 300)}`, { cause: error });
    }
  }
});

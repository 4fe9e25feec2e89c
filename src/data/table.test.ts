// Tables from files and memory, and each fault by file and row.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readTable, type TableReadOptions } from "./table.ts";

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "athanor-table-"));
});
afterAll(() => rmSync(folder, { recursive: true }));
const put = (name: string, content: string | Uint8Array) => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const rowsOf = (table: { columns: readonly (readonly unknown[])[]; rows: readonly number[] }) =>
  table.rows.map((_, i) => table.columns.map((column) => column[i]));

describe("readTable", () => {
  it("reads CSV with and without header, any separator, gzipped or not, as the same columns", async () => {
    const expected = [
      ["1.5", "红", null],
      ["2", "blue", "x"],
    ];
    for (const [text, name] of [
      ["size,colour,note\n1.5,红,?\n2,blue,x\n", "a.csv"],
      ["size;colour;note\r\n1.5;红;\r\n2;blue;x\r\n", "b.csv"],
      ["size\tcolour\tnote\n1.5\t红\tNA\n2\tblue\tx", "c.tsv"],
    ]) {
      const table = await readTable({ path: put(name, text) });
      expect(table.names).toEqual(["size", "colour", "note"]);
      expect(rowsOf(table)).toEqual(expected);
      expect(table.rows).toEqual([2, 3]);
      const zipped = await readTable({ path: put(`${name}.gz`, gzipSync(text)) });
      expect(zipped.sha256).toBe(table.sha256);
    }
    const bare = await readTable({ csv: "1.5,红,?\n2,blue,x" });
    expect(bare.names).toEqual(["column1", "column2", "column3"]);
    expect(rowsOf(bare)).toEqual(expected);
    expect(bare.rows).toEqual([1, 2]);
    expect((await readTable({ csv: "1.5,2\n3,4" }, { header: ["a", "b"] })).names).toEqual(["a", "b"]);
    expect((await readTable({ csv: "x,y\nx,y" }, { header: true })).rows).toEqual([2]);
  });

  it("reads JSON Lines and records alike", async () => {
    const records = [
      { x: 1.5, label: "a", flag: true },
      { x: null, label: "b", flag: false },
    ];
    const lines = `${records.map((record) => JSON.stringify(record)).join("\r\n")}\n\n`;
    const fromLines = await readTable({ path: put("r.jsonl", lines) });
    const own = ["lines.json", lines, "array.json", `\uFEFF${JSON.stringify(records, null, 1)}`];
    for (const at of [0, 2]) {
      const { name: _, rows: __, ...table } = await readTable({ path: put(own[at]!, own[at + 1]!) });
      expect(fromLines).toMatchObject(table);
    }
    const fromMemory = await readTable({ records });
    async function* stream() {
      yield* records;
    }
    const fromStream = await readTable({ records: stream() });
    expect(rowsOf(fromLines)).toEqual([
      [1.5, "a", true],
      [null, "b", false],
    ]);
    expect([fromMemory.sha256, fromStream.sha256]).toEqual([fromLines.sha256, fromLines.sha256]);
  });

  it("joins the files of a glob when their columns agree", async () => {
    put("part-1.csv", "x,y\n1,2\n");
    put("part-2.csv", "x,y\n3,4\n5,6\n");
    const table = await readTable({ path: join(folder, "part-?.csv") });
    expect(rowsOf(table)).toEqual([
      ["1", "2"],
      ["3", "4"],
      ["5", "6"],
    ]);
    put("part-3.csv", "y,x\n1,2\n");
    await expect(readTable({ path: join(folder, "part-?.csv") })).rejects.toMatchObject({ code: "data/header" });
  });

  it("a table longer than a piece is read whole", async () => {
    const lines = Array.from({ length: 200_000 }, (_, i) => `${i},"name ${i}\n2",${i % 7}`);
    const table = await readTable({ path: put("long.csv", `id,name,kind\n${lines.join("\n")}`) });
    expect(table.rows.length).toBe(200_000);
    expect(table.columns[1][199_999]).toBe("name 199999\n2");
  });

  const cases: [string, string, TableReadOptions, string, string][] = [
    ["short row", "a,b\n1,2\n3\n", {}, "data/ragged-row", "row 3"],
    ["long row", "a,b\n1,2,3\n4,5\n", { separator: "," }, "data/ragged-row", "row 2"],
    ["long row late", `a,b\n${"1,2\n".repeat(500)}1,2,3\n`, {}, "data/ragged-row", "row 502"],
    ["after quoted newline", 'a,b\n"x\ny",2\n3\n', {}, "data/ragged-row", "row 3 (line 4)"],
    ["unclosed quote", 'a,b\n1,"2\n', { separator: "," }, "data/csv-quote", "row 2"],
    ["stray quote", 'a,b\n1,2"3\n', { separator: "," }, "data/csv-quote", "row 2"],
    ["repeated name", "a,a\n1,2\n", { header: true }, "data/header", "row 1"],
    ["only a header", "a,b\n", { header: true }, "data/empty", ""],
    ["nothing", "\n\n", {}, "data/empty", ""],
    ["NUL", "a,b\n1,\0\n", {}, "data/binary", "byte 6"],
    ["wrong names", "1,2\n", { header: ["a"] }, "data/ragged-row", "row 1"],
  ];
  it.each(cases)("refuses: %s", async (name, text, options, code, where) => {
    const path = put(`bad ${name}.csv`, text);
    const error = await readTable({ path }, options).catch((thrown) => thrown);
    expect(error).toMatchObject({ code });
    expect(error.where).toContain(path);
    expect(error.where).toContain(where);
  });

  const jsonCases: [string, string, string, string][] = [
    ["broken", '{"a":1}\n{"a":', "data/json", "row 2"],
    ["lists", "[1]\n[2]\n", "data/json", "bad lists.jsonl"],
    ["array", "[1,2]\n", "data/json", "row 1"],
    ["bare value", "null\n", "data/json", "row 1"],
    ["nested", '{"a":1}\n{"a":{"b":2}}\n', "data/nested", "row 2, column a"],
    ["list", '{"a":[1]}\n', "data/nested", "column a"],
    ["new column", '{"label":1}\n\n{"lable":2}\n', "data/unknown-column", "row 3"],
    ["deep", `${"[".repeat(1e6)}\n`, "data/json", "bad deep.jsonl"],
    ["deep value", `{"a":${"[".repeat(1e6)}${"]".repeat(1e6)}}`, "data/", "row 1"],
  ];
  it.each(jsonCases)("refuses JSON: %s", async (name, text, code, where) => {
    const path = put(`bad ${name}.jsonl`, text);
    const error = await readTable({ path }).catch((thrown) => thrown);
    expect(error.code).toContain(code);
    expect(error.where).toContain(where);
  });

  it("says what a misspelt column may have meant", async () => {
    const records = [{ label: 1 }, { lable: 2 }];
    await expect(readTable({ records })).rejects.toMatchObject({ fix: "did you mean label?" });
  });

  it("keeps to its memory", async () => {
    const csv = `a,b\n${Array.from({ length: 5000 }, (_, i) => `text number ${i},${i}`).join("\n")}`;
    await expect(readTable({ csv }, { maxMemoryBytes: 2 ** 17 })).rejects.toMatchObject({ code: "data/too-large" });
  });
});

// CSV against a writer of the same standard, cut anywhere; and what must be refused.
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { CsvParser, detectHeader, detectSeparator, type Separator } from "./csv.ts";

function parse(text: string, separator: Separator = ",", options: { trim?: boolean; quote?: '"' | "none" } = {}) {
  const parser = new CsvParser("t.csv", { separator, ...options });
  return [...parser.push(text), ...parser.end()];
}
const cells = (text: string, separator: Separator = ",", options = {}) =>
  parse(text, separator, options).map((record) => record.cells);

/** The writer of the standard's examples: the oracle for what a reader must give back. */
const write = (rows: string[][], separator: string, newline: string, always: boolean) =>
  rows
    .map((row) =>
      row
        .map((cell) => (always || cell === "" || /["\s,;|\t]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell))
        .join(separator),
    )
    .join(newline);

describe("CsvParser", () => {
  it.each([
    [
      "a,b\n1,2\n",
      [
        ["a", "b"],
        ["1", "2"],
      ],
    ],
    [
      "a,b\r\n1,2",
      [
        ["a", "b"],
        ["1", "2"],
      ],
    ],
    [
      "a,b\r1,2\r",
      [
        ["a", "b"],
        ["1", "2"],
      ],
    ],
    ['"a,1","b\nc","d""e"', [["a,1", "b\nc", 'd"e']]],
    [
      "a,,\n,,",
      [
        ["a", "", ""],
        ["", "", ""],
      ],
    ],
    ["\n\na\n\n\nb\n", [["a"], ["b"]]],
    [" a , b c ,d", [["a", "b c", "d"]]],
    ['" a ", "b" ,c', [[" a ", "b", "c"]]],
    ['""', []],
    ['"",x', [["", "x"]]],
    [
      "中文,数据\n一,二",
      [
        ["中文", "数据"],
        ["一", "二"],
      ],
    ],
    ["", []],
  ])("%j", (text, expected) => {
    expect(cells(text)).toEqual(expected);
  });

  it("gives back whatever a writer wrote, cut into any pieces", () => {
    const cell = fc.string({ unit: fc.constantFrom("a", "中", '"', ",", ";", "\t", "\n", "\r", " ", "1") });
    fc.assert(
      fc.property(
        fc.array(fc.array(cell, { minLength: 2, maxLength: 4 }), { minLength: 1, maxLength: 6 }),
        fc.constantFrom<Separator>(",", ";", "\t", "|"),
        fc.constantFrom("\n", "\r\n", "\r"),
        fc.boolean(),
        fc.array(fc.nat(7)),
        (rows, separator, newline, always, cuts) => {
          const text = write(rows, separator, newline, always);
          const parser = new CsvParser("t", { separator });
          const records = [];
          let at = 0;
          for (const cut of cuts) {
            records.push(...parser.push(text.slice(at, at + cut)));
            at += cut;
          }
          records.push(...parser.push(text.slice(at)), ...parser.end());
          expect(records.map((record) => record.cells)).toEqual(rows);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it("counts rows and lines apart", () => {
    const records = parse('a\n"b\nb"\n\nc\n');
    expect(records.map(({ row, line }) => [row, line])).toEqual([
      [1, 1],
      [2, 2],
      [3, 5],
    ]);
  });

  it.each([
    ['a\n"b', "t.csv, row 2 (line 2)", "never closed"],
    ['a\nb"c\n', "t.csv, row 2 (line 2)", "inside a cell"],
    ['a\n"b"c\n', "t.csv, row 2 (line 2)", "after a closing quote"],
    ['"x\ny"\n"b\n\n', "t.csv, row 2 (line 3)", "never closed"],
  ])("%j is refused at %s", (text, where, what) => {
    expect(() => parse(text)).toThrow(what);
    expect(() => parse(text)).toThrow(where);
  });

  it("takes quotes as text when told so", () => {
    expect(cells('a\t"b\n"c\td"e', "\t", { quote: "none" })).toEqual([
      ["a", '"b'],
      ['"c', 'd"e'],
    ]);
  });

  it("an unclosed quote does not swallow a file", () => {
    const parser = new CsvParser("t", { separator: ",", maxCellLength: 1000 });
    expect(() => {
      parser.push('a,"');
      for (let i = 0; i < 1e6; i++) parser.push("x,y\n");
    }).toThrow("[data/cell-length]");
  });
});

it.each<[Separator, string]>([
  [",", "a,b,c\n1,2,3\n"],
  [";", "a;b;c\n1,5;2,5;3\n"],
  ["\t", "ham\tHello, you, there\nspam\tFree, now\n"],
  ["|", "a|b\n1|2\n"],
  [",", "only\none\ncolumn\n"],
  [";", '"a;x";b\n"c";d\n'],
  [",", "a,b"],
])("detects %j in %j", (separator, sample) => {
  expect(detectSeparator(sample)).toBe(separator);
});

it.each([
  [
    true,
    [
      ["sepal", "species"],
      ["5.1", "setosa"],
    ],
  ],
  [
    false,
    [
      ["5.1", "setosa"],
      ["4.9", "setosa"],
    ],
  ],
  [
    false,
    [
      ["ham", "Hello"],
      ["ham", "Free"],
    ],
  ],
  [
    true,
    [
      ["label", "text"],
      ["ham", "Hello"],
      ["spam", "Free"],
    ],
  ],
  [
    true,
    [
      ["", "x"],
      ["0", "1"],
      ["1", "2"],
    ],
  ],
  [
    false,
    [
      ["a", "a"],
      ["1", "2"],
    ],
  ],
  [
    false,
    [
      ["a", ""],
      ["1", "2"],
    ],
  ],
  [
    false,
    [
      ["M", "0.4", "15"],
      ["F", "0.3", "7"],
    ],
  ],
])("header is %s for %j", (expected, records) => {
  expect(detectHeader(records)).toBe(expected);
});

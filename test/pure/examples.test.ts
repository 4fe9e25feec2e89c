// Every TypeScript block that a document or a docstring shows must compile against the package as it is. test/e2e/documents
// runs those marked `run`.
import { expect, test } from "vitest";
import { allBlocks, type Block, blocksIn, docstringBlocks } from "../documents.ts";
import { checkBlocks } from "../examples.ts";

const block = (file: string, text: string): Block => ({ file, line: 10, language: "ts", marks: [], text });

test("blocks are found with their line, marks and indentation", () => {
  const text = [
    "# Title",
    "",
    "- item:",
    "  ```ts run",
    "  const a = 1;",
    "    a;",
    "  ```",
    "```sh",
    "ls",
    "```",
  ].join("\n");
  expect(blocksIn("a.md", text)).toEqual([
    { file: "a.md", line: 5, language: "ts", marks: ["run"], text: "const a = 1;\n  a;\n" },
    { file: "a.md", line: 9, language: "sh", marks: [], text: "ls\n" },
  ]);
  const source = ["const x = 1;", "/**", " * Adds.", " * @example", " * ```ts", " * add(1, 2);", " * ```", " */"].join(
    "\n",
  );
  expect(docstringBlocks("src/a.ts", source)).toEqual([
    { file: "src/a.ts", line: 6, language: "ts", marks: [], text: "add(1, 2);\n" },
  ]);
});

const planted: readonly Block[] = [
  block("docs/a.md", 'import { byteSize } from "athanor";\nexport const ok: number = byteSize("f32");\n'),
  block("docs/b.md", 'import { byteSize } from "athanor";\n\nbyteSize("f31");\n'),
  block("docs/c.md", 'byteSize("f32");\n'),
  block("src/base/dtype.ts", 'const size: number = byteSize("f32");\n'),
  block("src/base/dtype.ts", 'const size: string = byteSize("f32");\n'),
  { ...block("docs/d.md", 'import { byteSize } from "./dtype.ts";\nbyteSize(1);\n'), marks: ["file=src/base/new.ts"] },
];
const shown = allBlocks().filter(({ language }) => ["ts", "typescript"].includes(language));
const isChecked = ({ marks }: Block): boolean => !marks.includes("no-check");

// All in one program: loading the package's types is what costs.
const checked = checkBlocks([...planted, ...shown.filter(isChecked)]);

test("a block that does not compile is found, at its line; a docstring block sees its folder's door", () => {
  const places = checked
    .slice(0, planted.length)
    .map(({ problems }) => problems.map((problem) => problem.split(": ")[0]));
  expect(places).toEqual([[], ["docs/b.md:12"], ["docs/c.md:10"], [], ["src/base/dtype.ts:10"], ["docs/d.md:11"]]);
});

test("every TypeScript block of the documents and docstrings compiles", () => {
  expect(checked.slice(planted.length).flatMap(({ problems }) => problems)).toEqual([]);
});

test("blocks marked no-check stay rare: they are for what cannot compile", () => {
  expect(shown.filter((one) => !isChecked(one)).length).toBeLessThanOrEqual(5);
});

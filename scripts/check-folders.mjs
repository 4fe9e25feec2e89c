// Holds the code to ARCHITECTURE.md: who imports whom, through which door, in how many lines. Not a style check:
// that is the linter's and check-house.mjs's. The table in ARCHITECTURE.md is the only copy of the rules.
//
//   node scripts/check-folders.mjs [--root DIR] [--quiet]
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, posix, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { countLines, isTest, listFiles, reportAndExit } from "./source-files.mjs";

const totals = { TypeScript: 62_500, "C++": 12_000 };
const longFile = 400;

const args = process.argv.slice(2);
const rootFlag = args.indexOf("--root");
const root = rootFlag >= 0 ? args[rootFlag + 1] : dirname(dirname(fileURLToPath(import.meta.url)));

/** The rows of the folder table, in order: {name, allowed: Set, budget}. "all above" is resolved here. */
function readFolderTable(markdown) {
  const rows = [];
  for (const line of markdown.split("\n")) {
    const cells = line.split("|").map((cell) => cell.trim());
    if (cells.length !== 6 || !/^`[\w/]+`$/.test(cells[1]) || !/^\d+$/.test(cells[4])) continue;
    const name = cells[1].slice(1, -1);
    const named = [...cells[3].matchAll(/`([\w/]+)`/g)].map((match) => match[1]);
    const above = rows.map((row) => row.name);
    const allowed = cells[3].startsWith("all above") ? above.filter((other) => !named.includes(other)) : named;
    const unknown = allowed.filter((other) => !above.includes(other));
    if (unknown.length > 0)
      throw new Error(`ARCHITECTURE.md: \`${name}\` may import ${unknown}, which no row above it names`);
    rows.push({ name, allowed: new Set(allowed), budget: Number(cells[4]) });
  }
  if (rows.length === 0) throw new Error("ARCHITECTURE.md has no folder table");
  return rows;
}

/** Every relative module that a file names: imports, re-exports, `import()`, and workers by `new URL("./x.ts", ...)`. */
function relativeImports(text) {
  const imports = ts.preProcessFile(text, true, true).importedFiles.map(({ fileName, pos }) => ({ fileName, pos }));
  for (const match of text.matchAll(/new URL\(\s*"(\.{1,2}\/[^"]+\.[jt]s)"/g)) {
    imports.push({ fileName: match[1], pos: match.index });
  }
  return imports.filter(({ fileName }) => fileName.startsWith("."));
}

/** Problems with one file's imports. `path` is relative to src/ with forward slashes. */
function importProblems(path, text, rows) {
  const folder = path.includes("/") ? path.slice(0, path.indexOf("/")) : undefined; // undefined: src/index.ts
  const row = rows.find(({ name }) => name === folder);
  if (folder !== undefined && row === undefined) {
    return [`src/${path}: folder \`${folder}\` has no row in ARCHITECTURE.md`];
  }
  const problems = [];
  for (const { fileName, pos } of relativeImports(text)) {
    const target = posix.normalize(posix.join(posix.dirname(path), fileName));
    const line = text.slice(0, pos).split("\n").length;
    const say = (what) => problems.push(`src/${path}:${line}: imports ${fileName}: ${what}`);
    if (target.startsWith("../")) {
      if (!isTest(path)) say("leaves src/");
      continue;
    }
    const targetFolder = target.includes("/") ? target.slice(0, target.indexOf("/")) : undefined;
    if (targetFolder === folder) continue;
    if (targetFolder === undefined) say("the package's door is for those outside src/");
    else if (target !== `${targetFolder}/index.ts`) say(`not a door; write .../${targetFolder}/index.ts`);
    else if (row !== undefined && !isTest(path) && !row.allowed.has(targetFolder)) {
      say(`\`${folder}\` may import only ${[...row.allowed].join(", ") || "nothing"}`);
    }
  }
  return problems;
}

function nativeProblems(path, text) {
  if (path === "native/addon.cc") return [];
  return [...text.matchAll(/^\s*#\s*include\s*[<"]((?:js_native_api|node_api|napi)[\w.-]*)[>"]/gm)].map(
    (match) => `${path}: includes ${match[1]}; only native/addon.cc knows Node-API`,
  );
}

const rows = readFolderTable(readFileSync(join(root, "ARCHITECTURE.md"), "utf8"));
const problems = [];
const usage = new Map(rows.map(({ name }) => [name, { lines: 0, tests: 0, files: 0 }]));
const longFiles = [];

function count(folder, path, text) {
  const use = usage.get(folder);
  if (use === undefined) return;
  const lines = countLines(text);
  if (isTest(path)) {
    use.tests += lines;
    return;
  }
  use.lines += lines;
  use.files += 1;
  if (lines > longFile) longFiles.push(`${path} (${lines})`);
}

for (const file of listFiles(join(root, "src"), [".ts"])) {
  const path = relative(join(root, "src"), file).replaceAll("\\", "/");
  if (path.endsWith(".generated.ts")) continue;
  const text = readFileSync(file, "utf8");
  problems.push(...importProblems(path, text, rows));
  count(path.split("/")[0], `src/${path}`, text);
}
for (const file of listFiles(join(root, "native"), [".cc", ".h"], ["build", "node_modules"])) {
  const path = relative(root, file).replaceAll("\\", "/");
  const text = readFileSync(file, "utf8");
  problems.push(...nativeProblems(path, text));
  count(path.startsWith("native/kernels/") ? "native/kernels" : "native", path, text);
}

const sums = { TypeScript: 0, "C++": 0 };
if (!args.includes("--quiet")) console.log("folder           lines  budget   used  files  tests");
for (const { name, budget } of rows) {
  const { lines, tests, files } = usage.get(name);
  sums[name.startsWith("native") ? "C++" : "TypeScript"] += lines;
  if (lines > budget)
    problems.push(`${name}: ${lines} lines, budget ${budget}: make it smaller, or raise it with an ADR`);
  if (files + tests === 0 || args.includes("--quiet")) continue;
  const used = `${Math.round((100 * lines) / budget)}%`;
  const cells = [String(lines).padStart(6), String(budget).padStart(7), used.padStart(6), String(files).padStart(6)];
  console.log(`${name.padEnd(15)} ${cells.join(" ")} ${String(tests).padStart(6)}`);
}
for (const [language, limit] of Object.entries(totals)) {
  console.log(`${language.padEnd(15)} ${String(sums[language]).padStart(6)} ${String(limit).padStart(7)}`);
  if (sums[language] > limit) problems.push(`${language}: ${sums[language]} lines in all, budget ${limit}`);
}
if (longFiles.length > 0) console.log(`over ${longFile} lines, think again: ${longFiles.join(", ")}`);
if (!existsSync(join(root, "src"))) problems.push("no src/ here");
reportAndExit("folders", problems);

// House rules that the linter cannot say: who may see the clock, chance and the environment; a first line for every file.
// Works on the syntax tree, so comments and strings never count. Not a formatter, not a type check.
//
//   node scripts/check-house.mjs [--root DIR]
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import ts from "typescript";
import { isTest, listFiles, reportAndExit } from "./source-files.mjs";

const rootFlag = process.argv.indexOf("--root");
const root = rootFlag >= 0 ? process.argv[rootFlag + 1] : dirname(dirname(fileURLToPath(import.meta.url)));

/** Folders whose code runs inside a trace: a host value read there would be frozen into the graph. */
const traced = ["nn", "optim", "models"];
const hostGlobals = ["Date", "performance", "crypto"];

/** Calls `say(node, what)` for each broken rule in one file. `folder` is its folder in src/, or undefined. */
function visitFile(source, folder, test, say) {
  const visit = (node) => {
    if (
      (ts.isPropertyAccessExpression(node) || ts.isElementAccessExpression(node)) &&
      ts.isIdentifier(node.expression)
    ) {
      const member = ts.isPropertyAccessExpression(node) ? node.name : node.argumentExpression;
      const access = `${node.expression.text}.${member.text}`;
      if (access === "Math.random" && !test) say(node, "Math.random: draw from a RandomStream, which has an address");
      if (/^process\.(env|argv)$/.test(access) && folder !== "cli" && !test) {
        say(node, `${access}: only src/cli reads the environment; take an option instead`);
      }
    }
    if (ts.isIdentifier(node) && traced.includes(folder) && !test && hostGlobals.includes(node.text) && isValue(node)) {
      say(node, `${node.text}: a host value would be frozen into the trace; make it a feed or an option`);
    }
    if (ts.isImportDeclaration(node) && folder !== "cli" && !test && ts.isStringLiteral(node.moduleSpecifier)) {
      if (/^(node:)?process$/.test(node.moduleSpecifier.text))
        say(node, "node:process: only src/cli reads the environment");
    }
    if (ts.isAsExpression(node) && ts.isAsExpression(node.expression) && !test) {
      if (node.expression.type.kind === ts.SyntaxKind.UnknownKeyword)
        say(node, "as unknown as: narrow the type instead");
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
}

/** An identifier used as a global's value: neither a property's name nor a type. */
function isValue(node) {
  const { parent } = node;
  if (ts.isPropertyAccessExpression(parent)) return parent.expression === node;
  return ts.isNewExpression(parent) || ts.isCallExpression(parent);
}

const problems = [];
const files = ["src", "test", "examples"].flatMap((folder) =>
  listFiles(join(root, folder), [".ts"], ["node_modules", "golden"]),
);
for (const file of files) {
  const path = relative(root, file).replaceAll("\\", "/");
  if (path.endsWith(".generated.ts")) continue;
  const text = readFileSync(file, "utf8");
  const folder = /^src\/([^/]+)\//.exec(path)?.[1];
  const test = isTest(path) || !path.startsWith("src/");
  if (!path.endsWith("index.ts") && !/^(#!.*\n)?\/[/*]/.test(text)) {
    problems.push(`${path}:1: the first line says what the file is and is not`);
  }
  const source = ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true);
  visitFile(source, folder, test, (node, what) => {
    const { line } = source.getLineAndCharacterOfPosition(node.getStart(source));
    problems.push(`${path}:${line + 1}: ${what}`);
  });
}
for (const file of listFiles(join(root, "native"), [".cc", ".h"], ["build", "node_modules"])) {
  const path = relative(root, file).replaceAll("\\", "/");
  if (!/^\/[/*]/.test(readFileSync(file, "utf8")))
    problems.push(`${path}:1: the first line says what the file is and is not`);
}
reportAndExit("house", problems);

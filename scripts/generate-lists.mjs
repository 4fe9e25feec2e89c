// Writes the lists that nobody keeps by hand: src/core/ops/all.generated.ts imports every op file of its folder.
// The file is committed, so that an editor and a type check see it before anything is built.
//
//   node scripts/generate-lists.mjs [--check] [--root DIR]      --check: write nothing, fail when a list is stale
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { isTest, listFiles, reportAndExit } from "./source-files.mjs";

const rootFlag = process.argv.indexOf("--root");
const root = rootFlag >= 0 ? process.argv[rootFlag + 1] : dirname(dirname(fileURLToPath(import.meta.url)));

/** `layer-norm.ts` → `layerNorm`, the name of a namespace import. */
function camelCase(name) {
  return name.replace(/-(\w)/g, (_, letter) => letter.toUpperCase());
}

/** The text of all.generated.ts, or undefined while the folder holds no op. */
function opList(folder) {
  const names = listFiles(folder, [".ts"])
    .filter((file) => dirname(file) === folder && !isTest(file))
    .map((file) => basename(file, ".ts"))
    .filter((name) => name !== "index" && !name.endsWith(".generated"))
    .sort();
  if (names.length === 0) return undefined;
  // The suffix keeps a file called `delete.ts` or `max.ts` from making a reserved or shadowing name.
  const imports = names.map((name) => `import * as ${camelCase(name)}Module from "./${name}.ts";`);
  return [
    "// The op files of this folder, one namespace each. Written by scripts/generate-lists.mjs: do not edit.",
    ...imports,
    "",
    `export const allOpModules = [\n${names.map((name) => `  ${camelCase(name)}Module,\n`).join("")}];`,
    "",
  ].join("\n");
}

const problems = [];
const folder = join(root, "src/core/ops");
const wanted = opList(folder);
if (wanted !== undefined) {
  const path = join(folder, "all.generated.ts");
  const found = existsSync(path) ? readFileSync(path, "utf8") : undefined;
  if (found !== wanted && process.argv.includes("--check")) {
    problems.push("src/core/ops/all.generated.ts is stale: run `npm run generate` and commit it");
  } else if (found !== wanted) writeFileSync(path, wanted);
}
reportAndExit("lists", problems);

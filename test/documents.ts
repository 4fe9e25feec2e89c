// Finds the code that documents and docstrings show: fenced blocks, with their place and their marks. Judges nothing.
//
// Marks stand after the language: ```ts run (is run too), ```ts file=src/nn/scale.ts (checked as if it were that file),
// ```ts no-check (looked at by nobody; for what cannot compile).
import { existsSync, readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const root: string = dirname(dirname(fileURLToPath(import.meta.url)));

export interface Block {
  /** The file it stands in, from the root, with forward slashes. */
  readonly file: string;
  /** The line of its first line of code, from 1. */
  readonly line: number;
  readonly language: string;
  readonly marks: readonly string[];
  readonly text: string;
}

/** The fenced blocks of a text. `firstLine` is the line of the file on which the text starts. */
export function blocksIn(file: string, text: string, firstLine = 1): Block[] {
  const blocks: Block[] = [];
  const fence = /^([ \t]*)```([\w-]+)?([^\n`]*)\n([\s\S]*?)^[ \t]*```[ \t]*$/gm;
  for (const match of text.matchAll(fence)) {
    const [, indent = "", language = "", marks = "", body = ""] = match;
    const line = firstLine + text.slice(0, match.index).split("\n").length;
    const lines = body.split("\n").map((row) => (row.startsWith(indent) ? row.slice(indent.length) : row));
    blocks.push({ file, line, language, marks: marks.split(" ").filter(Boolean), text: lines.join("\n") });
  }
  return blocks;
}

/** The blocks inside the `/** ... *\/` comments of a TypeScript file. */
export function docstringBlocks(file: string, source: string): Block[] {
  const blocks: Block[] = [];
  for (const match of source.matchAll(/\/\*\*[\s\S]*?\*\//g)) {
    if (!match[0].includes("```")) continue;
    const text = match[0].replace(/^[ \t]*(\/\*\*|\*\/|\*) ?/gm, "");
    blocks.push(...blocksIn(file, text, source.slice(0, match.index).split("\n").length));
  }
  return blocks;
}

function filesUnder(folder: string, ending: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  const names = readdirSync(join(root, folder), { recursive: true })
    .filter((name) => !/(^|[\\/])(node_modules|build)[\\/]/.test(`${name}`))
    .map((name) => `${folder}/${name}`.replaceAll("\\", "/"));
  return names.filter((name) => name.endsWith(ending) && statSync(join(root, name)).isFile()).sort();
}

const read = (file: string): string => readFileSync(join(root, file), "utf8");

/** Every fenced block of the documents, in the root and in folders, and of the docstrings in src/. */
export function allBlocks(): Block[] {
  const rootDocuments = readdirSync(root).filter((name) => name.endsWith(".md"));
  const folders = ["docs", "examples", "recipes", "src", "native", "bench"];
  const documents = [...rootDocuments, ...folders.flatMap((folder) => filesUnder(folder, ".md"))];
  const sources = filesUnder("src", ".ts").filter((name) => !/\.(test|generated)\.ts$/.test(name));
  return [
    ...documents.flatMap((file) => blocksIn(file, read(file))),
    ...sources.flatMap((file) => docstringBlocks(file, read(file))),
  ];
}

// Type-checks code blocks as modules of their own, all in one program. Does not run them.
//
// A block in a document imports what it uses, as a reader would. A block in a docstring may leave out imports of names that
// its own folder, or the package, exports: the docstring is read beside them.
import { posix } from "node:path";
import ts from "typescript";
import { type Block, root } from "./documents.ts";

export interface CheckedBlock {
  readonly block: Block;
  /** The block with the imports it left out, as checked. */
  readonly text: string;
  /** `file:line: message` for each problem. */
  readonly problems: readonly string[];
}

const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  lib: ["lib.es2023.d.ts"],
  types: ["node"],
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  noEmit: true,
  allowImportingTsExtensions: true,
  paths: { athanor: [`${root}/src/index.ts`] },
};

/** The doors that a block may take names from without saying so, nearest first. */
function doorsOf({ file }: Block): string[] {
  const folder = /^src\/([^/]+)\//.exec(file)?.[1];
  if (!file.startsWith("src/")) return [];
  return folder === undefined ? ["./src/index.ts"] : [`./src/${folder}/index.ts`, "./src/index.ts"];
}

/** Checks each block. The virtual files lie in the root, so that paths and the package's scope are as for a real one. */
export function checkBlocks(blocks: readonly Block[]): CheckedBlock[] {
  const paths = blocks.map(({ marks }, index) => {
    const file = marks.find((mark) => mark.startsWith("file="))?.slice("file=".length);
    return posix.join(root, file ?? `.tmp-example-${index}.ts`);
  });
  const preludes = blocks.map(() => "");
  const doors = new Set(blocks.flatMap(doorsOf).map((door) => posix.join(root, door)));
  const text = (index: number): string => `${preludes[index]}${blocks[index]!.text}\nexport {};\n`;

  const host = ts.createCompilerHost(options);
  const { getSourceFile, fileExists, readFile } = host;
  const virtual = new Map<string, number>(paths.map((path, index) => [path, index]));
  host.fileExists = (path) => virtual.has(path) || fileExists(path);
  host.readFile = (path) => (virtual.has(path) ? text(virtual.get(path)!) : readFile(path));
  const parsed = new Map<string, ts.SourceFile | undefined>();
  host.getSourceFile = (path, languageVersion, ...rest) => {
    const index = virtual.get(path);
    if (index !== undefined) return ts.createSourceFile(path, text(index), languageVersion, true);
    if (!parsed.has(path)) parsed.set(path, getSourceFile(path, languageVersion, ...rest));
    return parsed.get(path);
  };

  const first = ts.createProgram([...paths, ...doors], options, host);
  blocks.forEach((block, index) => {
    preludes[index] = missingImports(first, paths[index]!, doorsOf(block));
  });
  const program = preludes.some(Boolean) ? ts.createProgram([...paths], options, host, first) : first;
  return blocks.map((block, index) => {
    const source = program.getSourceFile(paths[index]!)!;
    const found = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)];
    const preludeLines = preludes[index]!.split("\n").length - 1;
    const problems = found.map(({ start = 0, messageText }) => {
      const line = source.getLineAndCharacterOfPosition(start).line - preludeLines;
      return `${block.file}:${block.line + line}: ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
    });
    return { block, text: text(index), problems };
  });
}

/** One import line per door for the names that the checker could not find in the block. */
function missingImports(program: ts.Program, path: string, doors: readonly string[]): string {
  const source = program.getSourceFile(path)!;
  const notFound = new Set<string>();
  for (const { code, start, length } of program.getSemanticDiagnostics(source)) {
    if ([2304, 2552, 18004].includes(code)) notFound.add(source.text.slice(start, start! + length!));
  }
  let imports = "";
  for (const door of doors) {
    const module = program.getSourceFile(posix.join(root, door));
    const symbol = module && program.getTypeChecker().getSymbolAtLocation(module);
    if (symbol === undefined) continue;
    const exported = program
      .getTypeChecker()
      .getExportsOfModule(symbol)
      .map(({ name }) => name);
    const names = exported.filter((name) => notFound.delete(name));
    if (names.length > 0) imports += `import { ${names.join(", ")} } from "${door}";\n`;
  }
  return imports;
}

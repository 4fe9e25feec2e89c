// What the documents tell a reader to do: blocks marked `run` are run as a user would, against dist/, in an empty folder; and the
// commands and flags that shell blocks show must be ones that the command line knows.
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import ts from "typescript";
import { afterAll, describe, expect, test } from "vitest";
import { allBlocks, root } from "../documents.ts";
import { checkBlocks } from "../examples.ts";

// Inside the package, so that `import ... from "athanor"` finds it as an installed one would.
const scratch = mkdtempSync(join(root, ".tmp-documents-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const runnable = checkBlocks(allBlocks().filter(({ language, marks }) => language === "ts" && marks.includes("run")));

describe.skipIf(runnable.length === 0)("blocks marked run", () => {
  test.each(
    runnable.map((checked, index) => ({ ...checked, index, place: `${checked.block.file}:${checked.block.line}` })),
  )("$place", ({ text, index }) => {
    const compiled = ts.transpileModule(text, {
      compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext },
    }).outputText;
    const script = join(scratch, `${index}.mjs`);
    writeFileSync(script, compiled.replace(/"\.\/src\/([\w/]+)\.ts"/g, '"../dist/$1.js"'));
    const cwd = mkdtempSync(join(tmpdir(), "athanor-example-"));
    const { status, stderr } = spawnSync(process.execPath, [script], { cwd, encoding: "utf8", timeout: 240_000 });
    rmSync(cwd, { recursive: true });
    expect(status, stderr).toBe(0);
  });
});

test("every C++ block compiles as the kernel file it names", ({ skip }) => {
  skip(spawnSync("g++", ["--version"]).status !== 0, "g++ is not installed");
  for (const { file, line, text } of allBlocks().filter(({ language }) => language === "cpp")) {
    // From standard input, with quoted includes searched where the kernel would lie.
    const flags = ["-std=c++20", "-fsyntax-only", "-w", "-x", "c++", "-iquote", join(root, "native/kernels"), "-"];
    const { status, stderr } = spawnSync("g++", flags, { input: text, encoding: "utf8" });
    expect(status, `${file}:${line}\n${stderr}`).toBe(0);
  }
});

interface Command {
  readonly place: string;
  readonly words: readonly string[];
}

/** `athanor ...` lines of the shell blocks, without prompts, comments and what follows a pipe or redirection. */
function shownCommands(): Command[] {
  const shell = allBlocks().filter(({ language }) => ["sh", "bash", "console", "shell"].includes(language));
  return shell.flatMap(({ file, line, text }) =>
    text
      .replaceAll("\\\n", "  ") // one line again, of the same length
      .split("\n")
      .flatMap((row, offset) => {
        const command = row
          .replace(/^\s*\$ /, "")
          .split(/\s(?:#|\||>|&&)/)[0]!
          .trim();
        const words = /^(?:npx )?athanor\s+(.*)$/.exec(command)?.[1]?.split(/\s+/);
        return words === undefined ? [] : [{ place: `${file}:${line + offset}`, words }];
      }),
  );
}

/** The part of a help text that lists commands. */
const commandsIn = (help: string): string => /^Commands:\n((?: {2}.*\n?)*)/m.exec(help)?.[1] ?? "";

test("every command and flag that a shell block shows exists", ({ skip }) => {
  const cli = join(root, "bin/athanor.mjs");
  skip(!existsSync(join(root, "dist/cli/main.js")), "there is no command line yet: dist/cli/main.js");
  const help = new Map<string, string>();
  const helpOf = (...path: string[]): string => {
    const key = path.join(" ");
    if (!help.has(key)) {
      const { status, stdout } = spawnSync(process.execPath, [cli, ...path, "--help"], { encoding: "utf8" });
      help.set(key, status === 0 ? stdout : "");
    }
    return help.get(key)!;
  };
  const problems: string[] = [];
  for (const { place, words } of shownCommands()) {
    const name: string[] = words[0]!.startsWith("-") ? [] : [words[0]!];
    // `athanor bench step`: the second word is a command where the first one's help lists it so.
    if (words[1] !== undefined && new RegExp(`^ {2}${words[1]}\\b`, "m").test(commandsIn(helpOf(...name))))
      name.push(words[1]);
    const text = helpOf(...name);
    if (text === "") problems.push(`${place}: no such command: athanor ${name.join(" ")}`);
    for (const flag of words.filter((word) => /^--?[a-z]/.test(word)).map((word) => word.split("=")[0]!)) {
      if (text !== "" && !text.includes(flag)) problems.push(`${place}: athanor ${name.join(" ")} has no ${flag}`);
    }
  }
  expect(problems).toEqual([]);
});

test("athanor schema is what the pages of a recipe are compared with", () => {
  const { status, stdout } = spawnSync(process.execPath, [join(root, "bin/athanor.mjs"), "schema"], {
    encoding: "utf8",
  });
  expect(status).toBe(0);
  const { properties } = JSON.parse(stdout);
  expect(properties.steps).toMatchObject({ type: "integer", default: 1000 });
  expect(properties.data.properties.missing).toMatchObject({ enum: ["impute", "drop", "error"] });
});

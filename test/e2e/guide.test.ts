// The guide of strategies: every command in it is run, in order, in the project that it begins with; its figures are there and those that its
// script draws; the two languages say the same commands.
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { blocksIn, root } from "../documents.ts";
import { scratchFolder } from "../support/cli.ts";

const folder = scratchFolder();
afterAll(() => folder.remove());

const guide = join(root, "docs/guide");
const read = (name: string) => readFileSync(join(guide, name), "utf8");
const commandsOf = (name: string) =>
  blocksIn(name, read(name))
    .filter(({ language }) => language === "sh")
    .flatMap(({ text }) => text.split("\n").filter((line) => line !== ""));
const figuresOf = (name: string) => [...read(name).matchAll(/\(figures\/([\w-]+\.svg)\)/g)].map(([, file]) => file!);

const commands = commandsOf("strategies.md");

test("both languages have the same commands and figures, and every figure is drawn", () => {
  expect(commandsOf("strategies.zh-CN.md")).toEqual(commands);
  expect(figuresOf("strategies.zh-CN.md")).toEqual(figuresOf("strategies.md"));
  const drawn = spawnSync(process.execPath, [join(root, "scripts/guide-figures.mjs"), folder.path], {
    encoding: "utf8",
  });
  expect(drawn.stderr).toBe("");
  const files = readdirSync(folder.path).filter((name) => name.endsWith(".svg"));
  expect(files.toSorted()).toEqual(figuresOf("strategies.md").toSorted());
  for (const file of files) expect(readFileSync(join(folder.path, file), "utf8"), file).toBe(read(`figures/${file}`));
});

test.each(commands)("%s", (command) => {
  const isFirst = command === commands[0];
  const line = command.replaceAll(
    "npx athanor",
    `${JSON.stringify(process.execPath)} ${JSON.stringify(join(root, "bin/athanor.mjs"))}`,
  );
  const cwd = isFirst ? folder.path : join(folder.path, "demo");
  const { status, stderr } = spawnSync("sh", ["-c", line], { cwd, encoding: "utf8", timeout: 240_000 });
  expect(status, stderr).toBe(0);
});

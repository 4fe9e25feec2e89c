// athanor init and athanor train without a recipe's name, as a new user types them.
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runCli, scratchFolder } from "../support/cli.ts";

let folder: ReturnType<typeof scratchFolder>;
beforeEach(() => {
  folder = scratchFolder();
});
afterEach(() => folder.remove());

const run = (...args: string[]) => runCli(args, folder.path);
const at = (...names: string[]) => join(folder.path, ...names);

test("init demo, then train: a report of the six steps, evaluation and deployment", async () => {
  expect(await run("init", "demo")).toMatchObject({ code: 0, stderr: "" });
  expect(readdirSync(at("demo")).toSorted()).toEqual([".gitignore", "README.md", "athanor.yaml", "flowers.csv"]);
  expect(readFileSync(at("demo/README.md"), "utf8").trim().split("\n")).toHaveLength(3);
  const { code, stdout } = await run("train", "--run-dir", "run", "--set", "steps=60");
  expect(code).toBe(0);
  const names = [
    "1 preprocess",
    "2 model",
    "3 init",
    "4 loss",
    "5 optimizer",
    "6 iterate",
    "  evaluation",
    "  deployment",
  ];
  for (const name of names) expect(stdout).toContain(`\n${name} `);
  const { stages } = JSON.parse(readFileSync(at("run/report.json"), "utf8"));
  expect(stages).toHaveLength(8);
  expect(stages[5]).toMatchObject({ name: "iterate", inputs: "steps 0 to 60", seconds: expect.any(Number) });
  expect(readFileSync(at("run/report.md"), "utf8")).toContain("| 6 | iterate | steps 0 to 60 |");
  const inside = await runCli(["train", "--json", "--set", "steps=30"], at("demo"));
  expect(inside.code).toBe(0);
  expect(inside.records.find(({ event }) => event === "report")).toMatchObject({ stages: expect.any(Array) });
  const { stdout: rows } = await runCli(["predict", "../run", "flowers.csv"], at("demo"));
  expect(rows).toMatch(/aster|briar|cosmos/);
});

describe.each(["textClassifier", "gpt"])("init --model %s", (model) => {
  test("trains", async () => {
    expect((await run("init", "here", "--model", model)).code).toBe(0);
    const { code, stderr } = await run("train", "here/athanor.yaml", "--set", "steps=2");
    expect(stderr).not.toContain("[");
    expect(code).toBe(0);
  });
});

test("one's own data stays where it is; its ending chooses the model", async () => {
  writeFileSync(at("notes.txt"), "a line of text, and another one\n".repeat(60));
  expect((await run("init", "mine/deep", "--data", "notes.txt")).code).toBe(0);
  const recipe = readFileSync(at("mine/deep/athanor.yaml"), "utf8");
  expect(recipe).toContain('path: "../../notes.txt"');
  expect(recipe).toContain("gpt:");
  expect((await runCli(["train", "--set", "steps=1"], at("mine/deep"))).code).toBe(0);
});

describe("refused, with nothing written", () => {
  test("a folder that holds something, and a file of that name", async () => {
    mkdirSync(at("demo"));
    writeFileSync(at("demo/athanor.yaml"), "mine");
    const { code, stderr } = await run("init", "demo");
    expect(code).toBe(2);
    expect(stderr).toContain("[path/exists]");
    expect(readdirSync(at("demo"))).toEqual(["athanor.yaml"]);
    expect(readFileSync(at("demo/athanor.yaml"), "utf8")).toBe("mine");
    writeFileSync(at("file"), "mine");
    expect((await run("init", "file")).stderr).toContain("[path/exists]");
    expect(readdirSync(folder.path).toSorted()).toEqual(["demo", "file"]);
  });

  test("but an empty folder is used, with the usual rights", async () => {
    mkdirSync(at("usual"));
    mkdirSync(at("demo"));
    expect((await run("init", "demo")).code).toBe(0);
    expect(statSync(at("demo")).mode).toBe(statSync(at("usual")).mode);
  });

  test("data that is not there, and a model that is none", async () => {
    expect((await run("init", "demo", "--data", "no.csv")).stderr).toContain("[path/missing]");
    expect((await run("init", "demo", "--model", "llm")).stderr).toContain("[cli/model]");
    expect(existsSync(at("demo"))).toBe(false);
  });

  test("a recipe that nobody named, where there is none or several", async () => {
    const none = await run("train");
    expect(none).toMatchObject({ code: 2, stderr: expect.stringContaining("[cli/recipe]") });
    expect(none.stderr).toContain("athanor init demo");
    await run("init", "a");
    await run("init", "b");
    expect((await run("plan")).stderr).toContain("a/athanor.yaml, b/athanor.yaml");
    expect((await runCli(["plan"], at("a"))).code).toBe(0);
  });
});

// Requests that cannot be met: each is refused before any work, with the five fields, exit code 2, and no run folder.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeText, runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";

let folder: ReturnType<typeof scratchFolder>;
let recipe: string;
beforeAll(() => {
  folder = scratchFolder();
  recipe = writeTinyRecipe(folder.path);
  const files = {
    "empty.txt": "",
    "short.txt": "abcabcabc",
    "ragged.csv": "a,b,c\n1,2,x\n1,2\n3,4,y\n",
    "mistyped.csv": `a,b,label\n${Array.from({ length: 30 }, (_, at) => `${at},${at === 17 ? "oops" : at * 2},${at % 2 ? "x" : "y"}`).join("\n")}\n`,
    "nan.csv": `a,b,label\n${Array.from({ length: 30 }, (_, at) => `${at === 11 ? "NaN" : at},${at * 2},${at % 2 ? "x" : "y"}`).join("\n")}\n`,
    "broken.yaml": "data: { path: corpus.txt\nmodel: [",
  };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder.path, name), text);
  writeFileSync(join(folder.path, "binary.txt"), Buffer.from([0x74, 0x65, 0x00, 0xff, 0xfe, 0x00]));
  writeFileSync(
    join(folder.path, "table.json"),
    JSON.stringify({ data: { path: "nan.csv" }, model: { mlp: { hidden: [4] } }, steps: 5, batch: { size: 4 } }),
  );
});
afterAll(() => folder.remove());

const set = (...changes: string[]) => changes.flatMap((change) => ["--set", change]);

// what is wrong → arguments after the recipe → error code → what the message must name
const refused: readonly [what: string, args: string[], code: string, names: RegExp][] = [
  ["misspelt key", set("optimizr.adamw.lr=1"), "config/unknown-key", /did you mean optimizer/],
  ["misspelt model key", set("model.gpt.layer=2"), "config/unknown-key", /did you mean layers/],
  ["wrong type", set("batch.size=many"), "config/invalid", /batch\.size/],
  ["two faults at once", set("batch.size=many", "steps=-1"), "config/invalid", /batch\.size[\s\S]*steps/],
  ["negative learning rate", set("optimizer.adamw.lr=-0.1"), "config/invalid", /lr/],
  ["learning rate NaN", set("optimizer.adamw.lr=.nan"), "config/invalid", /lr/],
  ["heads do not divide the width", set("model.gpt.heads=5"), "config/invalid", /multiple of heads/],
  ["lanes do not divide the batch", set("batch.lanes=3"), "config/lanes", /divisor/],
  ["more threads than an engine may have", set("engine.threads=1000"), "config/invalid", /engine\.threads/],
  ["no such data", set("data.path=nowhere.txt"), "data/", /nowhere\.txt/],
  ["empty corpus", set("data.path=empty.txt"), "data/empty", /empty\.txt/],
  ["binary corpus", set("data.path=binary.txt"), "data/binary", /binary\.txt/],
  ["context longer than the text", set("data.path=short.txt"), "data/short-text", /context/],
  [
    "a model too large for the machine",
    set("model.gpt={preset: gpt3-175b, context: 16}"),
    "plan/memory",
    /parameters[\s\S]*GiB/,
  ],
];

describe("refused before any work", () => {
  test.each(refused)("%s", async (_, args, code, names) => {
    const result = await runCli(["train", recipe, "--run-dir", "never", ...args], folder.path);
    expect(result.stderr).toMatch(new RegExp(`\\[(${code})`));
    expect(result.stderr).toMatch(names);
    expect(result.stderr).not.toMatch(/\n\s+at .*\.(js|ts):\d+:\d+/); // no stack trace
    for (const field of ["at", "expected", "got", "fix"])
      expect(result.stderr).toMatch(new RegExp(`^  ${field} {2,}\\S`, "m"));
    expect(result.code).toBe(2);
    expect(existsSync(join(folder.path, "never"))).toBe(false);
  });

  test.each([
    ["ragged.csv", /row 3/],
    ["mistyped.csv", /b/],
    ["nan.csv", /row|column a/],
  ])("table %s", async (file, names) => {
    const result = await runCli(
      ["train", "table.json", "--run-dir", "never", ...set(`data.path=${file}`)],
      folder.path,
    );
    expect(result.stderr).toMatch(/^\S*\[data\//m);
    for (const field of ["at", "expected", "got", "fix"])
      expect(result.stderr).toMatch(new RegExp(`^  ${field} {2,}\\S`, "m"));
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(names);
    expect(existsSync(join(folder.path, "never"))).toBe(false);
  });

  test("a batch larger than the data", async () => {
    writeFileSync(join(folder.path, "few.csv"), "a,label\n1,x\n2,y\n3,x\n4,y\n5,x\n6,y\n");
    const result = await runCli(
      ["train", "table.json", "--run-dir", "never", ...set("data.path=few.csv", "batch.size=100")],
      folder.path,
    );
    expect(result.stderr).toMatch(/\[data\/short-batch\]/);
    expect(existsSync(join(folder.path, "never"))).toBe(false);
  });

  test("a batch that no machine could hold", async () => {
    const { stderr, code } = await runCli(["plan", recipe, ...set("batch.size=1e12")], folder.path);
    expect(stderr).toMatch(/\[plan\/memory\][\s\S]*activations/);
    expect(code).toBe(2);
  });

  test("a recipe that is no YAML, with line and column", async () => {
    const result = await runCli(["train", "broken.yaml"], folder.path);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(/\[config\/syntax\][\s\S]*broken\.yaml:\d+:\d+/);
  });

  test.each([
    ["bench", "step", "--threads", "1000"],
    ["bench", "step", "--dtype", "f8"],
    ["inspect", "tiny.json", "--steps", "2"],
  ])("athanor %s %s %s %s", async (...args) => {
    const result = await runCli(args, folder.path);
    for (const field of ["at", "expected", "got", "fix"])
      expect(result.stderr).toMatch(new RegExp(`^  ${field} {2,}\\S`, "m"));
    expect(result.code).toBe(2);
  });

  test("an unknown flag, with a suggestion", async () => {
    const result = await runCli(["train", recipe, "--resum"], folder.path);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain("--resume");
  });

  test("a flag by the name that others have for it", async () => {
    const result = await runCli(["generate", "run", "--max-new-tokens", "5"], folder.path);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain("(Did you mean --tokens?)");
  });

  test.each([
    ["generate", ["--beams", "2", "--top-k", "3"], "--top-k"],
    ["generate", ["--length-penalty", "2"], "--length-penalty"],
    ["generate", ["--chat"], "--prompt"],
    ["generate", ["--beams", "2", "--samples", "3"], "--samples"],
    ["eval", ["--stride", "4", "--batch", "2"], "--batch, --stride"],
  ])("%s %j: flags that would do nothing, before the run is looked at", async (command, flags, named) => {
    const result = await runCli([command, "run", ...flags, "--json"], folder.path);
    expect(result.code).toBe(2);
    expect(result.records).toEqual([expect.objectContaining({ code: "cli/argument", what: expect.any(String) })]);
    expect(result.stderr).toContain(named);
  });

  test("shards in the place of a file, and a command by another name", async () => {
    const { code, stderr } = await runCli(["data", "tokenize", "corpus.txt", "--output", "corpus.txt"], folder.path);
    expect([code, stderr]).toEqual([1, expect.stringContaining("[run/disk]")]);
    const other = await runCli(["compare", "run"], folder.path);
    expect([other.code, other.stderr]).toEqual([2, expect.stringContaining("(Did you mean runs compare?)")]);
  });

  test("an unknown command, with a suggestion, and as a record with --json", async () => {
    const result = await runCli(["trian", recipe, "--json"], folder.path);
    expect(result.code).toBe(2);
    expect(result.stderr).toContain("Did you mean train?");
    expect(result.stderr).toContain("--help");
    expect(result.records).toEqual([
      expect.objectContaining({ type: "error", code: "cli/usage", what: expect.stringMatching(/^unknown command/) }),
    ]);
  });

  test("sizes of a comparison that are no numbers, before there is anything to compare", async () => {
    const result = await runCli(["tune", "batch", recipe, "--sizes", "8,x", "--json"], folder.path);
    expect(result.code).toBe(2);
    expect(result.records).toEqual([expect.objectContaining({ code: "cli/number", where: "--sizes", got: "x" })]);
  });

  test("a folder to export to that is taken, before the model is looked at", async () => {
    const result = await runCli(["export", "no-run", ".", "--json"], folder.path);
    expect(result.code).toBe(2);
    expect(result.records).toEqual([expect.objectContaining({ code: "path/exists", where: "." })]);
  });

  test("an argument that is empty, as from a variable that is not set", async () => {
    const result = await runCli(["eval", "", "--json"], folder.path);
    expect(result.code).toBe(2);
    expect(result.stderr).toMatch(/\[cli\/argument\] an argument is empty/);
  });

  test("a run folder without a name, and one that has the name of a file", async () => {
    const empty = await runCli(["train", recipe, "--run-dir", ""], folder.path);
    expect(empty.code).toBe(2);
    expect(empty.stderr).toMatch(/\[cli\/argument\] --run-dir is empty/);
    const file = await runCli(["train", recipe, "--run-dir", recipe], folder.path);
    expect(file.code).toBe(2);
    expect(file.stderr).toMatch(/\[run\/exists\] a file has the name of the run's folder/);
  });

  test("runs of a folder that is not there; without a folder there may be none yet", async () => {
    const result = await runCli(["runs", "nowhere", "--json"], folder.path);
    expect(result.code).toBe(2);
    expect(result.records).toEqual([expect.objectContaining({ code: "path/missing", where: "nowhere" })]);
    expect((await runCli(["runs"], folder.path)).code).toBe(0);
  });

  test("a recipe that is a folder, and one that is not there", async () => {
    mkdirSync(join(folder.path, "folder.yaml"));
    for (const [name, got] of [
      ["folder.yaml", "a folder"],
      ["absent.yaml", "no such file"],
    ] as const) {
      const result = await runCli(["train", name, "--json"], folder.path);
      expect(result.records).toEqual([expect.objectContaining({ code: "config/read", where: name, got })]);
    }
  });

  test("no command, and a command without its part, show the help", async () => {
    for (const [args, part] of [
      [[], "train "],
      [["engine"], "build"],
    ] as const) {
      const result = await runCli([...args, "--json"], folder.path);
      expect(result.code).toBe(2);
      expect(result.stderr).toMatch(new RegExp(`Usage: athanor[\\s\\S]*${part}`));
      expect(result.records).toEqual([expect.objectContaining({ what: "a command is missing" })]);
    }
  });

  test("a run folder that cannot be written", async () => {
    writeFileSync(join(folder.path, "file"), "");
    const result = await runCli(["train", recipe, "--run-dir", "file/run"], folder.path);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toMatch(/\[run\/disk\]/);
  });
});

describe("refused on resume", () => {
  test("another recipe, shown as a diff; other data; a damaged checkpoint falls back", async () => {
    await runCli(["train", recipe, "--run-dir", "done", "--set", "steps=30"], folder.path);
    const changed = await runCli(
      ["train", recipe, "--run-dir", "done", "--resume", ...set("optimizer.adamw.lr=0.5")],
      folder.path,
    );
    expect(changed.stderr).toMatch(/\[resume\/recipe\][\s\S]*optimizer\.adamw\.lr: 0\.003 → 0\.5/);

    writeFileSync(join(folder.path, "corpus-2.txt"), makeText(20_000, 2));
    const otherData = await runCli(
      ["train", recipe, "--run-dir", "done", "--resume", ...set("data.path=corpus-2.txt")],
      folder.path,
    );
    expect(otherData.stderr).toMatch(/\[resume\/(recipe|data)\]/);

    const newest = join(folder.path, "done", "checkpoints", "step-30", "tensors.safetensors");
    const bytes = readFileSync(newest);
    bytes[bytes.length - 5]! ^= 1;
    writeFileSync(newest, bytes);
    const named = await runCli(["eval", "done/checkpoints/step-30"], folder.path);
    expect(named.code).not.toBe(0);
    const resumed = await runCli(
      ["train", recipe, "--run-dir", "done", "--resume", "--json", ...set("steps=30")],
      folder.path,
    );
    expect(resumed.stderr).toMatch(/damaged checkpoint.*step-30/);
    expect(resumed.records[0]).toMatchObject({ type: "start", step: 20 });
    expect(resumed.code).toBe(0);
  });

  test("nothing to resume", async () => {
    mkdirSync(join(folder.path, "hollow"));
    const result = await runCli(["train", recipe, "--run-dir", "hollow", "--resume"], folder.path);
    expect(result.stderr).toMatch(/\[run\/missing\]/);
  });
});

test("a model that does something else: the command that fits it can be typed", async () => {
  const few = set("steps=2", "eval.every=0");
  writeFileSync(join(folder.path, "two.csv"), `a,label\n${"1,x\n2,y\n".repeat(20)}`);
  await runCli(["train", "table.json", "--run-dir", "a table", ...few, ...set("data.path=two.csv")], folder.path);
  await runCli(["train", recipe, "--run-dir", "text", ...few], folder.path);
  const written = await runCli(["generate", "a table"], folder.path);
  expect(written.stderr).toMatch(/\[model\/task\][\s\S]*fix {7}npx athanor predict 'a table' FILE/);
  const predicted = await runCli(["predict", "text", "two.csv"], folder.path);
  expect(predicted.stderr).toMatch(/\[model\/task\][\s\S]*fix {7}npx athanor generate text\n/);
  expect([written.code, predicted.code]).toEqual([2, 2]);
});

test("what a classifier is asked that only writers of texts know; a line without a text; a model without its run", async () => {
  writeFileSync(join(folder.path, "said.csv"), `text,label\n${"a b,x\nc d,y\n".repeat(20)}`);
  const classifier = { data: { path: "said.csv" }, model: { textClassifier: {} }, steps: 2, batch: { size: 4 } };
  writeFileSync(join(folder.path, "said.json"), JSON.stringify(classifier));
  await runCli(["train", "said.json", "--run-dir", "said"], folder.path);
  writeFileSync(join(folder.path, "gap.txt"), "a b\n\nc d\n");
  writeFileSync(join(folder.path, "two.txt"), "a b\nc d\n");
  const searched = await runCli(["predict", "said", "two.txt", "--beams", "3"], folder.path);
  expect(searched.stderr).toMatch(/\[cli\/argument\] --beams would do nothing here/);
  const gap = await runCli(["predict", "said", "gap.txt"], folder.path);
  expect(gap.stderr).toMatch(/\[data\/record\] a line is empty\n +at +gap.txt, line 2\n/);
  const nothing = await runCli(["predict", "said", "empty.txt"], folder.path);
  expect(nothing.stderr).toMatch(/\[data\/empty\]/);
  expect(nothing.stderr).not.toContain("data.path");
  await runCli(["export", "said", "saved"], folder.path);
  const alone = await runCli(["eval", "saved"], folder.path);
  expect(alone.stderr).toMatch(/\[run\/missing\][\s\S]*fix {7}npx athanor eval saved --task FILE/);
  const tasked = await runCli(["eval", "said", "--task", "two.txt"], folder.path);
  expect(tasked.stderr).toMatch(/\[model\/task\][\s\S]*fix {7}npx athanor eval said --set data.heldOutPath=two\.txt/);
  expect([searched, gap, nothing, alone, tasked].map(({ code }) => code)).toEqual([2, 2, 2, 2, 2]);
  const { stdout } = await runCli(["predict", "said", "two.txt"], folder.path);
  expect(stdout.trim().split("\n")).toHaveLength(2);
});

test("a number that the table cannot hold is named with its row", async () => {
  // finite as f64, beyond f32 and beyond any scale
  writeFileSync(
    join(folder.path, "huge.csv"),
    `a,y\n${Array.from({ length: 40 }, (_, at) => `${at},${at === 3 ? "1e300" : at}`).join("\n")}\n`,
  );
  const result = await runCli(
    [
      "train",
      "table.json",
      "--run-dir",
      "nan",
      "--json",
      ...set("data.path=huge.csv", "data.task=regression", "steps=50"),
    ],
    folder.path,
  );
  expect(result.code).not.toBe(0);
  expect(result.stderr).toMatch(/\[train\/non-finite\][\s\S]*feed "targets", row/);
});

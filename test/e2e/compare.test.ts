// `athanor runs compare` on trained runs: the table, the data, the page, and what is refused.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";

let folder: ReturnType<typeof scratchFolder>;
beforeAll(async () => {
  folder = scratchFolder();
  const recipe = writeTinyRecipe(folder.path, { steps: 12, eval: { every: 6 } });
  for (const [name, set] of [
    ["a&b", "seed=1"],
    ["c", "seed=2"],
    ["d", "optimizer.adamw.lr=0.01"],
  ] as const) {
    const { code } = await runCli(["train", recipe, "--run-dir", name, "--set", set], folder.path);
    expect(code).toBe(0);
  }
});
afterAll(() => folder.remove());

test("a table for people, with means over seeds", async () => {
  const { code, stdout, stderr } = await runCli(["runs", "compare", "a&b", "c", "d"], folder.path);
  expect([code, stderr]).toEqual([0, ""]);
  const [head, ...rows] = stdout.trimEnd().split("\n");
  expect(head).toMatch(/^run +status +steps +tokens +time +loss +held-out .*optimizer\.adamw\.lr +seed$/);
  expect(rows).toHaveLength(4);
  expect(rows[0]).toMatch(/^a&b +finished +12 +1\.5 k +\S+ +\d\.\d{4} +\d\.\d{4} .* 0\.003 +1$/);
  expect(rows[3]).toMatch(/^2 seeds, optimizer\.adamw\.lr = 0\.003: loss \d\.\d{4} ± \d+\.\d{4}, held-out /);
});

test("data for machines that agrees with the runs' own logs, and a page", async () => {
  const { code, records, stderr } = await runCli(
    ["runs", "compare", "a&b", "c", "d", "--html", "page.html", "--json"],
    folder.path,
  );
  expect([code, stderr]).toEqual([0, "written: page.html\n"]);
  const [found] = records as [{ runs: { loss: number; curves: { training: object[]; heldOut: object[] } }[] }];
  expect(found).toMatchObject({ unit: "tokens", keys: ["optimizer.adamw.lr", "seed"], problems: [] });
  expect(found).toMatchObject({ groups: [{ runs: [0, 1] }, { runs: [2] }] });
  const log = readFileSync(join(folder.path, "a&b", "metrics.ndjson"), "utf8")
    .trimEnd()
    .split("\n");
  const end = log.map((line) => JSON.parse(line)).find(({ type }) => type === "end");
  expect(found.runs[0]).toMatchObject({ loss: end.loss, evalLoss: end.evalLoss, steps: 12, items: 12 * 8 * 16 });
  expect(found.runs.map(({ curves }) => curves.training.length)).toEqual([12, 12, 12]);
  const page = readFileSync(join(folder.path, "page.html"), "utf8");
  expect(page).toContain("<td>a&#38;b</td>");
  expect(page.match(/<figure>/g)).toHaveLength(4);
});

test.each([
  [["runs", "compare"], "there is no run to compare", 2],
  [["runs", "compare", "absent"], "there is no such folder", 2],
  [["runs", "compare", "."], "there is no run here", 2],
  [["runs", "compare", "c", "--html", "absent/page.html"], "the file of --html cannot be written", 2],
])("%s is refused", async (args, message, expected) => {
  const { code, stderr } = await runCli(args, folder.path);
  expect(stderr).toContain(message);
  for (const field of ["at", "expected", "got", "fix"]) expect(stderr).toMatch(new RegExp(`^  ${field} `, "m"));
  expect(code).toBe(expected);
});

test("recipes are trained first, over seeds, beside runs; done runs are taken as they are, and ones that were cut off go on", async () => {
  const recipe = JSON.parse(readFileSync(join(folder.path, "tiny.json"), "utf8"));
  writeFileSync(join(folder.path, "sgd.json"), JSON.stringify({ ...recipe, optimizer: { sgd: { lr: 0.1 } } }));
  const args = [
    "runs",
    "compare",
    "c",
    "tiny.json",
    "sgd.json",
    "--seeds",
    "2",
    "--set",
    "steps=6",
    "--dir",
    "trained",
  ];
  const cut = [
    "train",
    "sgd.json",
    "--set",
    "steps=6",
    "--set",
    "seed=8",
    "--run-dir",
    "trained/sgd-seed-8",
    "--until",
  ];
  expect((await runCli([...cut, "3"], folder.path)).code).toBe(0);
  const first = await runCli([...args, "--json"], folder.path);
  expect(first.code, first.stderr).toBe(0);
  const [found] = first.records as [{ runs: { name: string; steps: number; settings: object }[]; groups: object[] }];
  expect(found.runs.map(({ name, steps }) => [name, steps])).toEqual([
    ["c", 12],
    ["tiny-seed-7", 6],
    ["tiny-seed-8", 6],
    ["sgd-seed-7", 6],
    ["sgd-seed-8", 6],
  ]);
  expect(found.groups).toMatchObject([{ runs: [0] }, { runs: [1, 2], loss: { count: 2 } }, { runs: [3, 4] }]);
  expect(first.stderr).toContain("trained/sgd-seed-8: run 4 of 4, which goes on");
  const again = await runCli([...args, "--json"], folder.path);
  expect(again.records).toEqual(first.records);
});

test.each([
  [["tiny.json", "other/tiny.json"], "two recipes have the same name"],
  [["c", "--seeds", "2"], "there is no recipe to train"],
  [["tiny.json", "lost.json"], "nothing at data.path|data/no-file"],
])("recipes %s are refused before any is trained", async (args, message) => {
  mkdirSync(join(folder.path, "other"), { recursive: true });
  const recipe = readFileSync(join(folder.path, "tiny.json"), "utf8");
  writeFileSync(join(folder.path, "other", "tiny.json"), recipe.replace("corpus.txt", "../corpus.txt"));
  writeFileSync(join(folder.path, "lost.json"), recipe.replace("corpus.txt", "lost.txt"));
  const { code, stderr } = await runCli(["runs", "compare", ...args, "--dir", "never"], folder.path);
  expect(stderr).toMatch(new RegExp(message));
  for (const field of ["at", "expected", "got", "fix"]) expect(stderr).toMatch(new RegExp(`^  ${field} `, "m"));
  expect([code, existsSync(join(folder.path, "never"))]).toEqual([2, false]);
});

// Shipped recipes, in full, a text and a table: the watch has nothing to tell of them.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RandomStream } from "../../src/base/index.ts";
import { root } from "../documents.ts";
import { runCli, scratchFolder } from "../support/cli.ts";

let folder: ReturnType<typeof scratchFolder>;
beforeAll(() => {
  folder = scratchFolder();
  const stream = new RandomStream(5, "table");
  const rows = Array.from({ length: 3000 }, (_, at) => {
    const [a, b, c] = [0, 1, 2].map((column) => stream.normal(at, column)) as [number, number, number];
    return `${a},${b},${c},${["red", "blue"][at % 2]},${a * b + 0.5 * c + 0.5 * stream.normal(at, 3) > 0 ? "yes" : "no"}`;
  });
  writeFileSync(join(folder.path, "table.csv"), `a,b,c,colour,label\n${rows.join("\n")}\n`);
});
afterAll(() => folder.remove());

test.each([
  ["sotu-bpe.yaml", []],
  ["table-classifier.yaml", ["data.path=table.csv"]],
])("%s", async (name, changes) => {
  const set = changes.flatMap((change) => ["--set", change]);
  const recipe = join(root, "recipes", name);
  const { code, records } = await runCli(["train", recipe, "--run-dir", name, "--json", ...set], folder.path);
  expect(code).toBe(0);
  expect(records.filter(({ type }) => type === "step").length).toBeGreaterThan(0);
  expect(records.filter(({ type }) => ["warning", "error", "rollback"].includes(String(type)))).toEqual([]);
});

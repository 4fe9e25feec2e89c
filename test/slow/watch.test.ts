// Shipped recipes, in full: the watch has nothing to tell of them. Those of public data need ATHANOR_DATA, the folder that holds them;
// shakespeare-char.yaml, which takes many hours, is left out.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RandomStream } from "../../src/base/index.ts";
import { noTimings } from "../amount.ts";
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

const dataFolder = process.env.ATHANOR_DATA;
const mnist = (part: string) => `{DATA}/img_mnist/${part}-images-idx3-ubyte.gz`;

test.for<[string, string[]]>([
  ["sotu-bpe.yaml", []],
  ["table-classifier.yaml", ["data.path=table.csv"]],
  ["shakespeare-char-small.yaml", ["data.path={DATA}/lm_tinyshakespeare/input.txt.gz"]],
  ["adult.yaml", ["data.path={DATA}/tab_adult/adult-train.csv.gz"]],
  ["mnist-mlp.yaml", [`data.path=${mnist("train")}`, `data.heldOutPath=${mnist("t10k")}`]],
])("%s", async ([name, wanted], { skip }) => {
  if (name === "sotu-bpe.yaml" && noTimings !== undefined) skip("minutes: in the whole run alone (npm run test:full)");
  if (dataFolder === undefined && wanted.join().includes("{DATA}")) skip("ATHANOR_DATA is not set");
  const changes = wanted.map((change) => change.replace("{DATA}", dataFolder ?? ""));
  const set = changes.flatMap((change) => ["--set", change]);
  const recipe = join(root, "recipes", name);
  const { code, records } = await runCli(["train", recipe, "--run-dir", name, "--json", ...set], folder.path);
  expect(code).toBe(0);
  expect(records.filter(({ type }) => type === "step").length).toBeGreaterThan(0);
  expect(records.filter(({ type }) => ["warning", "error", "rollback"].includes(String(type)))).toEqual([]);
});

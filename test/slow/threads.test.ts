// The bytes of a run do not depend on how many threads made them: every shipped recipe, in f32 and in mixed precision.
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runTraining } from "../../src/api/index.ts";
import { readRecipe } from "../../src/recipe/index.ts";
import { amount } from "../amount.ts";
import { makeText, scratchFolder } from "../support/cli.ts";

const recipes = fileURLToPath(new URL("../../recipes", import.meta.url));
/** Those of public tables and images read nothing else; their model and optimizer are those of the other tables. */
const needTheirData = ["adult.yaml", "mnist-mlp.yaml"];
const cases = readdirSync(recipes)
  .filter((file) => file.endsWith(".yaml") && !needTheirData.includes(file))
  .flatMap((file) =>
    [["f32"], ["bf16"], ["bf16", "weights=bf16"]].map(([precision, ...set]) => ({ file, precision, set })),
  );

let folder: ReturnType<typeof scratchFolder>;
beforeAll(() => {
  folder = scratchFolder();
  writeFileSync(join(folder.path, "corpus.txt"), makeText(300_000));
  const rows = Array.from(
    { length: 400 },
    (_, at) => `${Math.sin(at).toFixed(4)},${at % 7},${at % 3 === 0 ? "a" : "b"}`,
  );
  writeFileSync(join(folder.path, "table.csv"), `x,y,label\n${rows.join("\n")}\n`);
});
afterAll(() => folder.remove());

test.each(cases)("$file in $precision $set: 1, 2, 3 and 8 threads", async ({ file, precision, set }) => {
  const isTable = file.startsWith("table");
  const hashes: string[] = [];
  for (const threads of [1, 8, 2, 3].slice(0, amount(4, 2))) {
    const changes = [
      `data.path=${join(folder.path, isTable ? "table.csv" : "corpus.txt")}`,
      `engine.threads=${threads}`,
      `precision=${precision}`,
      "batch.size=8",
      `steps=${amount(3)}`,
      "optimizer.adamw.lr=1e-3",
      ...set,
    ];
    const recipe = await readRecipe(join(recipes, file), { set: changes });
    const { hash } = await runTraining(
      { ...recipe, samples: undefined },
      { runDir: join(folder.path, `${hashes.length}-${file}-${precision}-${set}`) },
    );
    hashes.push(hash);
  }
  expect(new Set(hashes).size).toBe(1);
});

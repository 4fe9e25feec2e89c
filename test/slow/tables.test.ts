// Acceptance on public tables: the shipped recipes against scikit-learn's logistic regression on the same held-out rows.
// Not run without ATHANOR_DATA, the folder that holds tab_uci_small/ and tab_adult/; the protocol of the figures is in
// test/golden/table_baselines.py.
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { prepareTable } from "../../src/data/index.ts";
import golden from "../golden/table-baselines.json" with { type: "json" };

const run = promisify(execFile);
const dataFolder = process.env.ATHANOR_DATA;
const withoutData = "ATHANOR_DATA is not set: it names the folder that holds tab_uci_small/ and tab_adult/";

type TableName = keyof typeof golden.tables;
const classified = (Object.keys(golden.tables) as TableName[]).filter(
  (name) => golden.tables[name].task === "classification",
);

/** Two-sided 95 % quantile of Student's t with 4 degrees of freedom, for the mean of five differences. */
const studentT4 = 2.7764451051977987;

/** Mean of five paired differences and the half width of its 95 % interval. */
function meanInterval(differences: readonly number[]): { mean: number; halfWidth: number } {
  expect(differences).toHaveLength(5);
  const mean = differences.reduce((sum, d) => sum + d, 0) / 5;
  const variance = differences.reduce((sum, d) => sum + (d - mean) ** 2, 0) / 4;
  return { mean, halfWidth: studentT4 * Math.sqrt(variance / 5) };
}

/** Columns that the recipe must not see, by the names that a file without a header gets. */
function ignoredColumns(name: TableName): Record<string, "ignore"> {
  return Object.fromEntries(golden.tables[name].ignored.map((index) => [`column${index + 1}`, "ignore" as const]));
}

/** Held-out accuracy of the shipped recipe, by the command that a user would type. */
async function trainedAccuracy(name: TableName, seed: number): Promise<number> {
  const { path, target } = golden.tables[name];
  return await accuracyOf("table-classifier", {
    "data.path": join(dataFolder!, path),
    "data.header": false,
    "data.target": target,
    "data.task": "classification",
    "data.heldOut": golden.heldOut,
    "data.columns": JSON.stringify(ignoredColumns(name)),
    seed,
  });
}

/** The same of any recipe, with some settings. */
async function accuracyOf(recipe: string, settings: { readonly [key: string]: unknown }): Promise<number> {
  const runDir = mkdtempSync(join(tmpdir(), "athanor-table-"));
  const flags = Object.entries(settings).flatMap(([key, value]) => ["--set", `${key}=${value}`]);
  try {
    const args = ["bin/athanor.mjs", "train", `recipes/${recipe}.yaml`, ...flags, "--run-dir", runDir, "--json"];
    const { stdout } = await run(process.execPath, args, { maxBuffer: 2 ** 26 });
    const events = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as { type: string; accuracy?: number });
    const accuracy = events.findLast(({ type }) => type === "eval")?.accuracy;
    if (accuracy === undefined) throw new Error("the run printed no eval event with an accuracy");
    return accuracy;
  } finally {
    rmSync(runDir, { recursive: true, force: true });
  }
}

describe.each(classified)("%s", (name) => {
  const expected = golden.tables[name];

  test("the held-out rows are those of the baseline", async ({ skip }) => {
    if (dataFolder === undefined) skip(withoutData);
    for (const { seed, splitHash, heldOut } of expected.seeds) {
      const { validation, report } = await prepareTable(
        { path: join(dataFolder!, expected.path) },
        {
          header: false,
          target: expected.target,
          task: "classification",
          columns: ignoredColumns(name),
          validation: golden.heldOut,
          seed,
        },
      );
      expect(report.rows).toBe(expected.rows);
      expect(validation.length).toBe(heldOut);
      // the source numbers its rows from 1
      const rows = validation.sourceRows.map((row) => row - 1);
      expect(createHash("sha256").update(rows.join()).digest("hex")).toBe(splitHash);
    }
  });

  test("the recipe's accuracy is not below logistic regression's", async ({ skip }) => {
    if (dataFolder === undefined) skip(withoutData);
    const differences: number[] = [];
    for (const baseline of expected.seeds) {
      if (!("accuracy" in baseline)) throw new Error("the baseline is a regression");
      differences.push((await trainedAccuracy(name, baseline.seed)) - baseline.accuracy);
    }
    const { mean, halfWidth } = meanInterval(differences);
    console.log(
      `${name}: ${(100 * mean).toFixed(2)} ± ${(100 * halfWidth).toFixed(2)} points over logistic regression`,
    );
    // below by chance alone is allowed, below beyond the interval is not
    expect(mean + halfWidth).toBeGreaterThanOrEqual(0);
  });
});

describe("recipes/adult.yaml", () => {
  const path = () => join(dataFolder!, golden.tables.adult.path);

  function expectAbove(where: string, differences: readonly number[]): void {
    const { mean, halfWidth } = meanInterval(differences);
    console.log(`adult, ${where}: ${(100 * mean).toFixed(2)} ± ${(100 * halfWidth).toFixed(2)} points`);
    expect(mean - halfWidth).toBeGreaterThan(0);
  }

  test("is above logistic regression on the same held-out fifths", async ({ skip }) => {
    if (dataFolder === undefined) skip(withoutData);
    const differences: number[] = [];
    for (const { seed, ...baseline } of golden.tables.adult.seeds) {
      if (!("accuracy" in baseline)) throw new Error("the baseline is a regression");
      differences.push((await accuracyOf("adult", { "data.path": path(), seed })) - baseline.accuracy);
    }
    expectAbove("held-out fifths", differences);
  });

  test("is above logistic regression on the test file, by which nothing was chosen", async ({ skip }) => {
    if (dataFolder === undefined) skip(withoutData);
    const { adultOfficial } = golden;
    const folder = mkdtempSync(join(tmpdir(), "athanor-adult-"));
    try {
      const text = gunzipSync(readFileSync(join(dataFolder!, adultOfficial.path))).toString();
      const heldOutPath = join(folder, "test.csv");
      writeFileSync(heldOutPath, text.replaceAll(/\.$/gm, "")); // labels end in a full stop there
      const differences: number[] = [];
      for (const seed of [1, 2, 3, 4, 5]) {
        const settings = { "data.path": path(), "data.heldOutPath": heldOutPath, seed };
        differences.push((await accuracyOf("adult", settings)) - adultOfficial.accuracy);
      }
      expectAbove("test file", differences);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});

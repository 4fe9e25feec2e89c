// `athanor explain`: that it looks at the run's own held-out rows, and what it refuses.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { RandomStream } from "../../src/base/index.ts";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";

let folder: ReturnType<typeof scratchFolder>;
beforeAll(async () => {
  folder = scratchFolder();
  const stream = new RandomStream(1, "explain");
  const rows = Array.from({ length: 203 }, (_, row) => {
    const [size, noise] = [stream.normal(0, row), stream.normal(1, row)];
    const colour = ["red", "blue", "green"][stream.below(3, 2, row)]!;
    return [size, noise, colour, 5 * size + (colour === "red" ? 4 : 0) + stream.normal(3, row)].join();
  });
  writeFileSync(join(folder.path, "table.csv"), ["size,noise,colour,price", ...rows].join("\n"));
  const recipe = {
    data: { path: "table.csv", heldOut: 0.3 },
    model: { mlp: { hidden: [] } },
    optimizer: { adam: { lr: 0.05 } },
    steps: 200,
    eval: { every: 200, batch: 16 },
  };
  writeFileSync(join(folder.path, "table.json"), JSON.stringify(recipe));
  const { code, stderr } = await runCli(["train", "table.json", "--run-dir", "run"], folder.path);
  expect(code, stderr).toBe(0);
});
afterAll(() => folder.remove());

interface Explained {
  readonly loss: number;
  readonly rows: number;
  readonly columns: { readonly column: string; readonly rise: { readonly mean: number; readonly half: number } }[];
}

test("columns by what the held-out loss rises without them, a category as one", async () => {
  const { records, code } = await runCli(["explain", "run", "--importance", "--json"], folder.path);
  expect(code).toBe(0);
  const [{ loss, rows, columns }] = records as unknown as [Explained];
  const evaluated = (await runCli(["eval", "run", "--json"], folder.path)).records[0]!;
  expect(rows).toBe(61);
  expect(evaluated.count).toBe(61);
  expect(loss / Number(evaluated.loss)).toBeCloseTo(1, 4);
  expect(columns.map(({ column }) => column)).toEqual(["size", "colour", "noise"]);
  const [size, colour, noise] = columns.map(({ rise }) => rise) as [Rise, Rise, Rise];
  expect(size.mean - size.half).toBeGreaterThan(0);
  expect(colour.mean - colour.half).toBeGreaterThan(0);
  expect(Math.abs(noise.mean)).toBeLessThanOrEqual(noise.half);

  const people = await runCli(["explain", "run", "--repeats", "2"], folder.path);
  expect(people.stdout).toMatch(/^size +\d+\.\d{4} ± \d+\.\d{4} {2}█{40}$/m);
  expect(people.stdout).toMatch(/^noise .*0 is in the interval/m);
});
type Rise = Explained["columns"][number]["rise"];

test("a column that makes the held-out loss worse has no bar", async () => {
  const table = (sign: number) => ["x,y", ...Array.from({ length: 60 }, (_, row) => `${row},${sign * row}`)].join("\n");
  writeFileSync(join(folder.path, "up.csv"), table(1));
  writeFileSync(join(folder.path, "down.csv"), table(-1));
  const recipe = {
    data: { path: "up.csv", heldOutPath: "down.csv", target: "y" },
    model: { mlp: { hidden: [] } },
    optimizer: { adam: { lr: 0.05 } },
    steps: 100,
  };
  writeFileSync(join(folder.path, "turned.json"), JSON.stringify(recipe));
  await runCli(["train", "turned.json", "--run-dir", "turned"], folder.path);
  const { stdout } = await runCli(["explain", "turned"], folder.path);
  expect(stdout).toMatch(/^x +-\d+/m);
  expect(stdout).not.toContain("█");
});

test("a run on texts, and a count of nothing, are refused", async () => {
  const recipe = writeTinyRecipe(folder.path, { steps: 1 });
  await runCli(["train", recipe, "--run-dir", "text"], folder.path);
  const text = await runCli(["explain", "text"], folder.path);
  expect(text.stderr).toContain("this run read no table");
  expect(text.code).toBe(2);
  const none = await runCli(["explain", "run", "--repeats", "0"], folder.path);
  expect(none.stderr).toContain("--repeats is not a positive whole number");
  expect(none.code).toBe(2);
  const missing = await runCli(["explain", "nowhere"], folder.path);
  expect(missing.stderr).toContain("there is no such folder");
});

// The programs of examples/strategies, run whole as a user would, and the numbers that they print: those of the corrected originals.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { afterAll, expect, test } from "vitest";
import { root } from "../documents.ts";

// Inside the package, so that `import ... from "athanor"` finds it as an installed one would.
const scratch = mkdtempSync(join(root, ".tmp-strategies-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const folder = join(root, "examples/strategies");

/** What a program prints, and the numbers in it. */
function run(name: string): { text: string; numbers: number[] } {
  const source = readFileSync(join(folder, name), "utf8");
  const script = join(scratch, name.replace(".ts", ".mjs"));
  const compilerOptions = { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext };
  writeFileSync(script, ts.transpileModule(source, { compilerOptions }).outputText);
  const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8", timeout: 240_000 });
  expect(stderr).toBe("");
  expect(status).toBe(0);
  return { text: stdout, numbers: (stdout.match(/-?\d+(\.\d+)?(e-?\d+)?/g) ?? []).map(Number) };
}

const checks: { readonly [name: string]: (printed: { text: string; numbers: number[] }) => void } = {
  "batch-size.ts": ({ text }) => {
    const means = [...text.matchAll(/batch (\d+): (\d+) steps, loss ([\d.]+)/g)].map(([, size, steps, loss]) => {
      expect(Number(size) * Number(steps)).toBe(2000);
      return Number(loss);
    });
    expect(means).toHaveLength(4);
    // at one rate and for equal rows, the larger batch comes less far; the smallest is at the noise of 0.01
    expect(means).toEqual(means.toSorted((a, b) => a - b));
    expect(means[0]).toBeLessThan(0.012);
  },
  "gradient-descent-forms.ts": ({ text }) => {
    const lines = text.trim().split("\n");
    const distinct = lines.map((line) => new Set(line.split(": ")[1]!.split(" ")).size);
    expect(distinct).toEqual([1, 3, 3]);
  },
  "hundred-rows.ts": ({ numbers: [weight, bias] }) => {
    expect(weight).toBeCloseTo(0.93693502, 8);
    expect(bias).toBeCloseTo(-1.77784892, 8);
  },
  "keras-loop.ts": ({ text }) => {
    const losses = [...text.matchAll(/epoch \d+\/10, loss ([\d.]+)/g)].map(([, loss]) => Number(loss));
    expect(losses).toHaveLength(10);
    expect(losses).toEqual(losses.toSorted((a, b) => b - a));
    expect(losses.at(-1)).toBeLessThan(0.1 * Math.log(10)); // a tenth of what guessing costs
    expect(text).toContain("row 0 is of class 0");
  },
  "learning-rates.ts": ({ text }) => {
    const rows = text
      .trim()
      .split("\n")
      .map((line) => line.split(": ")[1]!.split(" ").map(Number));
    expect(rows[0]![0]).toBeCloseTo(1.9926967095706, 12);
    expect(rows[0]![1]).toBeCloseTo(0.0214725644745, 12);
    expect(rows[0]![2]).toBeCloseTo(7.70045352e-5, 13);
    expect(rows[1]![0]).toBeCloseTo(1.9999999995967, 12);
    expect(rows[2]![0]).toBeCloseTo(1.9996521695259, 12);
    expect(rows[2]![1]).toBeCloseTo(0.0010226640105, 12);
  },
  "linear-regression.ts": ({ numbers: [weight, bias, loss] }) => {
    expect(weight).toBeCloseTo(1.9926967095706, 12);
    expect(bias).toBeCloseTo(0.0214725644745, 12);
    expect(loss).toBeCloseTo(7.70045352e-5, 13);
  },
  "losses.ts": ({ text }) => {
    const values = text
      .trim()
      .split("\n")
      .map((line) => Number(line.split(" ").at(-1)));
    expect(values[0]).toBe(7.5);
    expect(values[1]).toBeCloseTo(0.9587654910730045, 14);
    expect(values[2]).toBeCloseTo(0.9587654910730045, 14);
    expect(values[3]).toBeCloseTo(0, 15);
    expect(values[4]).toBeCloseTo(18.021826694558577, 12);
  },
  "torch-loops.ts": ({ text }) => {
    const losses = text
      .split("SGD")
      .slice(1)
      .map((part) => [...part.matchAll(/loss ([\d.]+)/g)].map((m) => Number(m[1])));
    expect(losses.map(({ length }) => length)).toEqual([5, 5, 5]);
    for (const path of losses) expect(path.at(-1)).toBeLessThan(path[0]!);
    // at one rate, momentum comes further in a hundred steps
    expect(losses[1]!.at(-1)).toBeLessThan(losses[0]!.at(-1)!);
  },
};

test("each program has its check", () => {
  expect(readdirSync(folder).toSorted()).toEqual(Object.keys(checks));
});

test.each(Object.entries(checks))("%s", (name, check) => check(run(name)));

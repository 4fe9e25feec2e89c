// The parts of bench/ beside the timing: fits, medians, the page made from raw results, and what is refused.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { lastWords, startLineProcess } from "../../bench/lib/line-process.mjs";
import { bestSetting, figure, renderLaw, renderResults } from "../../bench/lib/render.mjs";
import { readResults, writeResult } from "../../bench/lib/results.mjs";
import { takeTurns } from "../../bench/lib/rounds.mjs";
import { fitPowerLaw, median, spread } from "../../bench/lib/statistics.mjs";
import { workloads } from "../../bench/lib/workloads.mjs";

test("medians and spreads", () => {
  expect(median([9, 1, 5])).toBe(5);
  expect(median([1, 10, 4, 2])).toBe(3);
  expect(spread([8, 10, 14])).toBe(0.6);
});

test("a pure power is found again, without a constant", () => {
  const fit = fitPowerLaw([1, 2, 4, 8, 16].map((x) => [x, 3 * x ** 1.5]));
  expect(fit.a).toBeCloseTo(3, 10);
  expect(fit.b).toBeCloseTo(1.5, 10);
  expect(fit).toMatchObject({ c: 0 });
  expect(fit.error).toBeLessThan(1e-10);
});

test("a power above a constant is found again", () => {
  const { a, b, c } = fitPowerLaw([1, 2, 4, 8, 16, 32].map((x) => [x, 0.5 * x ** 1.2 + 7]));
  expect(a).toBeCloseTo(0.5, 2);
  expect(b).toBeCloseTo(1.2, 2);
  expect(c).toBeCloseTo(7, 2);
});

test("noise of a few percent does not bring a constant in", () => {
  const noise = [1.02, 0.98, 1.01, 0.99, 1.02];
  const fit = fitPowerLaw(noise.map((factor, at) => [2 ** at, factor * 2 ** at]));
  expect(fit.c).toBe(0);
  expect(Math.abs(fit.b - 1)).toBeLessThan(0.02);
});

test("figures keep three digits, laws their parts", () => {
  expect([0.01713, 2.346, 23.46, 708.4, 12345, 0, Number.NaN].map(figure)).toEqual([
    ...["0.0171", "2.35", "23.5", "708", "12345", "0.00", "–"],
  ]);
  expect(renderLaw({ a: 0.5, b: 1.2, c: 7, error: 0.021 })).toBe("0.50·x^1.20 + 7.00 (±2 %)");
  expect(renderLaw({ a: 3e-5, b: 2, c: 0, error: 0 })).toBe("0.000030·x^2.00 (±0 %)");
});

const system = (name: string, setting: string, times: number[]) => ({
  ...{ name, setting, ready: { version: "1.2", itemsPerStep: 2048, flopsPerStep: 1e11, elapsedMs: 2500 } },
  rounds: times.map((ms) => ({ medianMs: ms, bestMs: ms - 10, cpuMs: 2 * ms, steps: 5 })),
});

const machine = {
  ...{
    cpu: "A CPU",
    family: "26",
    cores: 2,
    instructions: ["avx2", "avx512f"],
    memoryGiB: 24,
    os: "Debian",
    kernel: "6.1",
  },
  ...{ node: "20.20.2", athanor: "0.1.0", commit: "abc" },
};

const c1 = {
  ...{ kind: "step", workload: "c1", precision: "f32", date: "2026-11-28T03:00", machine, missing: ["tfjs node"] },
  ...{ load: [0.4, 1.2], peakGflops: 250, failed: [{ name: "JAX", setting: "jit", why: "out of memory" }] },
  systems: [
    system("Athanor", "", [500, 520, 510]),
    system("PyTorch", "eager", [1000, 1100, 990]),
    system("PyTorch", "compiled", [800, 765, 760]),
  ],
};

test("the best setting is the one with the least median", () => {
  expect(bestSetting(c1.systems, "PyTorch")?.setting).toBe("compiled");
  expect(bestSetting(c1.systems, "tfjs")).toBeUndefined();
});

test("the page holds ratios, the share of peak, what is missing and what has not been measured", () => {
  const page = renderResults(new Map([["step-c1-f32", c1]]), "By hand.\n");
  expect(page).toContain("\nBy hand.\n");
  expect(page).toContain("2 × A CPU (family 26), avx2, avx512f; 24 GiB; Debian, kernel 6.1");
  const row = page.split("\n").find((line) => line.startsWith("| c1: "))!;
  // 765 / 510 and 750 / 490; 1e11 operations in 510 ms are 196 of 250 GFLOPS; 2048 tokens in 510 ms
  expect(row.split("|").map((cell) => cell.trim())).toEqual([
    ...["", "c1: GPT 6×384, context 256, batch 8", "510 (490)", "765 (750) compiled", "**1.50** (1.53)"],
    ...["", "", "", "78 %", "4016", "0.4–1.2", ""],
  ]);
  expect(page).toMatch(/\| c2: [^|]*\| not measured yet \|/);
  expect(page).toContain("- tfjs node was never installed.");
  expect(page).toContain("- c1 f32, JAX, jit: out of memory");
  expect(page.match(/^\| c1 f32 \| PyTorch/gm)).toHaveLength(2);
  for (const { name } of workloads) expect(page).toContain(`| ${name}: `);
});

test("a step that Athanor cannot take yet is named, and a disturbed row is marked", () => {
  const failed = [
    { name: "Athanor", setting: "", why: "it ended with status 1: Error: not there yet: no step of bert" },
  ];
  const bert = { ...c1, workload: "bert", failed, load: [2, 9], systems: c1.systems.slice(1) };
  const row = renderResults(new Map([["step-bert-f32", bert]]), "")
    .split("\n")
    .find((line) => line.startsWith("| bert: "));
  expect(row).toMatch(/\| not there yet \| 765 \(750\) compiled \|.*\| ~ 2\.0–9\.0 \|$/);
});

test("products of others stand in their own columns, whether ours ran or not", () => {
  const system = (name: string, ms: number) => {
    const products = [{ m: 100, n: 100, medianMs: ms, bestMs: ms }]; // 2 million operations
    return { name, rounds: [{ products }] };
  };
  const rowOf = (...systems: object[]) => {
    const matmul = { ...c1, kind: "matmul", systems };
    const lines = renderResults(new Map([["matmul-f32", matmul]]), "").split("\n");
    return lines.find((line) => line.startsWith("| 100 × "));
  };
  const torch = system("PyTorch", 0.02);
  expect(rowOf(system("Athanor", 0.01), torch)).toBe("| 100 × 100 × 100 | 200 (200) | 100 % | 100 (100); 2.00 |");
  expect(rowOf(torch)).toBe("| 100 × 100 × 100 | failed |  | 100 (100) |");
});

test("one result replaces its own file and no other", () => {
  const folder = mkdtempSync(join(tmpdir(), "athanor-bench-results-"));
  try {
    writeResult(folder, "step-c1-f32", { ms: 1.23456 });
    writeResult(folder, "step-c2-f32", { ms: 1 });
    writeResult(folder, "step-c2-f32", { ms: 2 });
    expect(readResults(folder)).toEqual(
      new Map([
        ["step-c1-f32", { ms: 1.235 }],
        ["step-c2-f32", { ms: 2 }],
      ]),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});

describe("requests to a benchmark", () => {
  const script = join(import.meta.dirname, "../../bench/peers.mjs");
  const bench = (...args: string[]) => spawnSync(process.execPath, [script, ...args], { encoding: "utf8" });

  test("--help names every flag", () => {
    const { status, stdout } = bench("--help");
    expect(stdout).toMatch(/--only c1,c2,.*matmul[\s\S]*--scaling[\s\S]*--python/);
    expect(status).toBe(0);
  });

  test.each([
    [["--bogus"], "--bogus"],
    [["--rounds"], "--rounds"],
    [["--rounds", "0"], '--rounds is a whole number from 1 on, not "0"'],
    [["--rounds", "many"], "--rounds is a whole number"],
    [["--precision", "f16"], '--precision is f32 or bf16, not "f16"'],
    [["--only", "c1,c9"], 'There is no workload "c9". There are c1, c2,'],
    [["--json", "no/such/folder/x.json"], "--json is a file in a folder that is there"],
    [["--output", "no/such/folder/x.md"], "--output is a file in a folder that is there"],
  ])("%j is refused in a line", (args, message) => {
    const { status, stderr } = bench("--render", ...args);
    expect(stderr).toContain(message);
    expect(stderr).not.toContain("    at ");
    expect(status).toBe(2);
  });

  test("what is quick stands beside no kept figures", () => {
    const { status, stderr } = bench("--render", "--quick");
    expect(stderr).toContain(`written: ${join(tmpdir(), "athanor-bench-quick")}`);
    expect(status).toBe(0);
  });
});

/** A system that counts its turns, and ends before its `until`th. */
const counter = (until: number) => [
  ...[process.execPath, "-e"],
  `console.log("hello"); console.log('{"ready":true}'); let turns = 0;
   require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
     if (++turns === ${until}) { console.error("Error: enough"); process.exit(3); }
     console.log(JSON.stringify({ turns, ...JSON.parse(line) }));
   });`,
];

test("systems take turns, and one that breaks off is named while the others go on", async () => {
  const systems = [
    { name: "steady", setting: "", command: counter(99) },
    { name: "weak", setting: "", command: counter(2) },
    { name: "absent", setting: "", command: [process.execPath, "-e", "throw new Error('no such thing')"] },
  ];
  const result = await takeTurns(systems, { rounds: 3, request: { seconds: 1 } });
  expect(result.systems.map(({ name, rounds }) => [name, rounds])).toEqual([
    ["steady", [1, 2, 3].map((turns) => ({ turns, seconds: 1 }))],
  ]);
  expect(result.failed).toEqual([
    { name: "absent", setting: "", why: expect.stringContaining("no such thing") },
    { name: "weak", setting: "", why: "it ended with status 3: Error: enough" },
  ]);
  expect(result.load).toHaveLength(4);
});

test("a program that is not there is an error, not a hang", async () => {
  await expect(startLineProcess(["/nowhere/at/all"])).rejects.toThrow("ENOENT");
});

test("of what a failed process said the error is kept", () => {
  expect(lastWords("Traceback:\n  File x\nModuleNotFoundError: No module named 'jax'\n")).toBe(
    "ModuleNotFoundError: No module named 'jax'",
  );
  expect(lastWords("Error: boom\n    at f (x.js:1)\n\nNode.js v20\n")).toBe("Error: boom");
  expect(lastWords("")).toBe("it said nothing");
});

// The fast proofs and the benchmarks through the command line, and every example as a program, with few steps.
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import ts from "typescript";
import { afterAll, afterEach, beforeEach, describe, expect, test } from "vitest";
import { root } from "../documents.ts";
import { runCli, scratchFolder } from "../support/cli.ts";

let folder: ReturnType<typeof scratchFolder>;
beforeEach(() => {
  folder = scratchFolder();
});
afterEach(() => folder.remove());

describe("athanor prove", () => {
  test("the fast proofs pass", async () => {
    const ids = [
      "gd.full",
      "gd.minibatch",
      "loss.mse",
      "loss.ce",
      "loss.log",
      "init.zeros",
      "opt.adam",
      "reg.dropout.mode",
      "eval.arf1",
    ];
    const { code, records, stderr } = await runCli(["prove", ...ids, "--json"], folder.path);
    expect(stderr).toBe("");
    expect(records.map(({ id, ok }) => [id, ok])).toEqual(ids.map((id) => [id, true]));
    for (const { figures, seconds } of records) {
      expect(seconds).toBeGreaterThan(0);
      expect(figures).not.toHaveLength(0);
    }
    expect(code).toBe(0);
  });

  test("a table of figures for people", async () => {
    const { code, stdout } = await runCli(["prove", "loss.mse"], folder.path);
    expect(stdout).toMatch(/mean squared error of .* 7\.5 .*7\.5/);
    expect(stdout).toContain("PASS  loss.mse");
    expect(code).toBe(0);
  });

  test.each([
    [["prove"], "cli/prove"],
    [["prove", "gd.full", "--all"], "cli/prove"],
    [["prove", "gd.ful"], "did you mean gd.full?"],
    [["prove", "gd.full", "--data", "x.csv"], "takes no data"],
    [["bench", "step", "--width", "100"], "a multiple of 6"],
    [["bench", "step", "--model", "bert", "--width", "100"], "a multiple of 12"],
    [["bench", "step", "--layers", "0"], "--layers"],
    [["bench", "step", "--layers", "1001"], "--layers is too large"],
    [["bench", "step", "--model", "logreg", "--layers", "3"], "logreg has no layers"],
    [["bench", "step", "--model", "mlp", "--heads", "3"], "mlp has no heads"],
    [["bench", "step", "--model", "lstm", "--heads", "3"], "lstm has no heads"],
    [["bench", "step", "--model", "constructor"], "no such model"],
    [["bench", "step", "--batch", "2147483647"], "plan/memory"],
    [["bench", "step", "--model", "bert", "--layers", "1", "--vocab", "2147483647"], "plan/memory"],
    [["bench", "step", "--model", "mlp", "--context", "2147483647", "--width", "2147483647"], "plan/memory"],
    [["bench", "matmul", "--sizes", "64,1000000"], "plan/memory"],
    [["bench", "update", "--width", "1000000"], "plan/memory"],
    [["bench", "update", "--layers", "1001"], "--layers is too large"],
    [["bench", "matmul", "--sizes", "64,"], '""'],
    [["bench", "step", "--dtype", "f16"], "cli/bench"],
    [["bench", "matmul", "--dtype", "f16"], "f32 or bf16"],
  ])("%s is refused", async (args, message) => {
    const { code, stderr } = await runCli(args, folder.path);
    expect(stderr).toContain(message);
    expect(code).toBe(2);
  });
});

describe("athanor bench", () => {
  test("times a step of BERT, whose head guesses the masked positions alone", async () => {
    const small = "--layers 1 --heads 2 --width 16 --context 20 --batch 2 --vocab 11 --rounds 1 --steps 3 --json";
    const { code, records } = await runCli(["bench", "step", "--model", "bert", ...small.split(" ")], folder.path);
    expect(code).toBe(0);
    const { parameters, msPerStep, itemsPerSecond, gflops } = records[0] as Record<string, number>;
    const words = 11 * 16;
    const block = 12 * 256 + (3 + 1 + 4 + 1) * 16 + 2 * 32; // matrices, their biases, two norms
    const head = 256 + 16 + 32 + 11; // without the table of words
    expect(parameters).toBe(words + (512 + 2) * 16 + 32 + block + head);
    expect(itemsPerSecond).toBeCloseTo((1000 * 2 * 20) / msPerStep!, 6);
    // 3 of 20 positions are guessed
    const flops = 2 * (20 * (6 * (32 + block) + 12 * 16 * 20) + 3 * 6 * (words + head));
    expect(gflops! * msPerStep! * 1e6).toBeCloseTo(flops, 3);
  });

  test("times a step of an LSTM, whose tokens are only looked up", async () => {
    const small = "--layers 1 --width 16 --context 20 --batch 2 --vocab 11 --rounds 1 --steps 3 --json";
    const { code, records } = await runCli(["bench", "step", "--model", "lstm", ...small.split(" ")], folder.path);
    expect(code).toBe(0);
    const { parameters, msPerStep, gflops } = records[0] as Record<string, number>;
    const layer = 4 * 16 * (16 + 16 + 2);
    const head = 11 * 17;
    expect(parameters).toBe(11 * 16 + layer + head);
    expect(gflops! * msPerStep! * 1e6).toBeCloseTo(2 * 20 * 6 * (layer + head), 3);
  });

  test("times a step and tells where its time went", async () => {
    const small = "--layers 1 --heads 2 --width 16 --context 8 --batch 2 --vocab 11 --rounds 1 --steps 3 --json";
    const { code, records } = await runCli(["bench", "step", ...small.split(" ")], folder.path);
    expect(code).toBe(0);
    const [figures] = records;
    // wte 11·16, wpe 8·16, a block of 12·16² with two norms, a last norm
    expect(figures).toMatchObject({ parameters: 11 * 16 + 8 * 16 + 12 * 256 + 5 * 2 * 16 - 2 * 2 * 16, steps: 3 });
    const { msPerStep, bestMsPerStep, itemsPerSecond } = figures as Record<string, number>;
    expect(bestMsPerStep).toBeGreaterThan(0);
    expect(msPerStep).toBeGreaterThanOrEqual(bestMsPerStep!);
    expect(itemsPerSecond).toBeCloseTo((1000 * 2 * 8) / msPerStep!, 6);
    const { ops, instructionMs } = figures!.profile as { ops: { ms: number; share: number }[]; instructionMs: number };
    expect(ops.reduce((sum, { share }) => sum + share, 0)).toBeCloseTo(1, 9);
    expect(ops.reduce((sum, { ms }) => sum + ms, 0)).toBeCloseTo(instructionMs, 9);
  });

  test("times products in either precision", async () => {
    for (const dtype of ["f32", "bf16"]) {
      const args = ["bench", "matmul", "--dtype", dtype, "--sizes", "8,17", "--rounds", "1", "--json"];
      const { code, records } = await runCli(args, folder.path);
      expect(code).toBe(0);
      expect(records.map(({ size }) => size)).toEqual([8, 17]);
      for (const { gflops } of records) expect(gflops).toBeGreaterThan(0);
    }
  });
});

// Inside the package, so that `import ... from "athanor"` finds it as an installed one would.
const scratch = mkdtempSync(join(root, ".tmp-examples-"));
afterAll(() => rmSync(scratch, { recursive: true }));

const expected: { readonly [file: string]: RegExp } = {
  "gradient-descent.ts": /\[ 1\.\d+, 0\.\d+ \] 0\.\d+/,
  "service.ts": /400 \{"label":"(up|down)"/,
  "spam.ts": /label: '(ham|spam)'/,
  "table-regression.ts": /value: -?\d/,
  "tiny-gpt.ts": /\d+ \d\.\d+\n/,
};

describe("examples", () => {
  test("each has its expectation", () => {
    expect(readdirSync(join(root, "examples")).filter((name) => name.endsWith(".ts"))).toEqual(Object.keys(expected));
  });

  test.each(Object.entries(expected))("%s", async (name, output) => {
    const source = readFileSync(join(root, "examples", name), "utf8");
    const { outputText } = ts.transpileModule(source, {
      compilerOptions: { target: ts.ScriptTarget.ES2023, module: ts.ModuleKind.ESNext },
    });
    const script = join(scratch, name.replace(".ts", ".mjs"));
    writeFileSync(script, outputText);
    const child = spawn(process.execPath, [script], {
      cwd: folder.path,
      env: { ...process.env, STEPS: "5", PORT: "0" },
    });
    let [stdout, stderr] = ["", ""];
    child.stderr.on("data", (data) => {
      stderr += data;
    });
    child.stdout.on("data", (data) => {
      stdout += data;
      // the service: an address that is none, a request, then the signal that ends it
      const port = /listening on (\d+)/.exec(String(data))?.[1];
      if (port !== undefined) {
        fetch(`http://localhost:${port}//`)
          .then(({ status }) => {
            stdout += `${status} `;
            return fetch(`http://localhost:${port}/?text=a+fine+day`);
          })
          .then((response) => response.text())
          .then((text) => {
            stdout += text;
          })
          .finally(() => child.kill("SIGTERM"));
      }
    });
    const code = await new Promise((resolve) => child.on("close", resolve));
    expect(stderr).toBe("");
    expect(code).toBe(0);
    expect(stdout).toMatch(output);
  });
});

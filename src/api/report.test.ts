// Times of stages: what is timed inside another stage is not that one's; and a report as a terminal and a page show it.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { expect, test } from "vitest";
import { type RunReport, renderReport, StageTimes, stageNames } from "./report.ts";
import { train } from "./train.ts";

test("inner stages are taken out of outer ones, also across awaits and errors", async () => {
  const times = new StageTimes();
  const started = performance.now();
  await times.time("preprocess", async () => {
    await setTimeout(10);
    times.time("optimizer", () => {
      const until = performance.now() + 20;
      while (performance.now() < until);
    });
    await expect(
      times.time("model", () => setTimeout(10).then(() => Promise.reject(new Error("x")))),
    ).rejects.toThrow();
  });
  const total = (performance.now() - started) / 1000;
  const [outer, inner, failed] = [times.of("preprocess"), times.of("optimizer"), times.of("model")];
  expect(inner).toBeGreaterThanOrEqual(0.02);
  expect(outer).toBeGreaterThan(0.005);
  expect(failed).toBeGreaterThan(0.005);
  expect(outer + inner + failed).toBeLessThanOrEqual(total);
  expect(times.of("loss")).toBe(0);
});

test("batches that are asked for count until the last, or until nobody asks", async () => {
  const times = new StageTimes();
  async function* slow() {
    for (const batch of [1, 2, 3]) {
      await setTimeout(5);
      yield batch;
    }
  }
  const seen: number[] = [];
  for await (const batch of times.each("evaluation", slow())) seen.push(batch);
  expect(seen).toEqual([1, 2, 3]);
  const whole = times.of("evaluation");
  expect(whole).toBeGreaterThan(0.01);
  for await (const _ of times.each("evaluation", slow())) break;
  expect(times.of("evaluation")).toBeGreaterThan(whole);
});

test("a terminal has two lines for each step, with settings that are too long cut", () => {
  const stages = stageNames.map((name) => ({ name, inputs: "i".repeat(500), outputs: "out", seconds: 1.5 }));
  const lines = renderReport({ run: "runs/x", stages }).split("\n");
  expect(lines).toHaveLength(16);
  expect(Math.max(...lines.map(({ length }) => length))).toBeLessThan(150);
  expect(lines[0]).toMatch(/^1 preprocess +1\.5s {2}i+…$/);
  expect(lines[12]).toMatch(/^ {2}evaluation/);
});

test("says whole how to call a model in a folder with spaces, and the share that is held out as it was written", async () => {
  const folder = mkdtempSync(join(tmpdir(), "athanor it's "));
  try {
    const rows = Array.from({ length: 50 }, (_, x) => ({ x, y: 2 * x }));
    const data = { rows, target: "y", heldOut: 0.29 };
    const recipe = { data, model: { mlp: { hidden: [] } }, steps: 1, engine: { name: "reference" } } as const;
    await train(recipe, { runDir: join(folder, "run") }).outcome;
    const { stages } = JSON.parse(readFileSync(join(folder, "run", "report.json"), "utf8")) as RunReport;
    const outputs = (name: string) => stages.find((stage) => stage.name === name)!.outputs;
    expect(outputs("deployment")).toContain(`athanor predict '${folder.replace("'", "'\\''")}/run' rows.csv`);
    expect(outputs("deployment")).toContain(`load("${folder}/run")`);
    expect(outputs("preprocess")).toContain(", 29 % held out");
  } finally {
    rmSync(folder, { recursive: true });
  }
});

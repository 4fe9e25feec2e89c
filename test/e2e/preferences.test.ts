// A model that learns from pairs of a file: killed on the way and started again, it ends in the same bytes, and is evaluated and used.
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, expect, test } from "vitest";
import { runCli, scratchFolder, startCli } from "../support/cli.ts";

const folder = scratchFolder();
afterAll(() => folder.remove());
const cli = (...args: string[]) => runCli([...args, "--json"], folder.path);
const letters = ["a", "b", "c", "d"];
const rows = Array.from({ length: 120 }, (_, at) => {
  const word = [at, at >> 2, at >> 3].map((one) => letters[one % 4]!);
  return {
    prompt: `${word.join("")}>`,
    chosen: `${word.toSorted().join("")}\n`,
    rejected: `${word.join("")}${word[0]}\n`,
  };
});
const recipe = {
  data: { path: "pairs.jsonl", heldOut: 0.2 },
  tokenizer: "char",
  model: { gpt: { layers: 2, heads: 2, width: 32, context: 16, dropout: 0.1 } },
  loss: "dpo",
  optimizer: { adamw: { lr: 3e-3 } },
  batch: { size: 16, lanes: 2 },
  steps: 200,
  eval: { every: 100 },
  checkpoint: { every: 20 },
};

test("a run that was killed goes on to the same bytes", async () => {
  writeFileSync(join(folder.path, "pairs.jsonl"), rows.map((row) => JSON.stringify(row)).join("\n"));
  writeFileSync(join(folder.path, "dpo.json"), JSON.stringify(recipe));
  const whole = await cli("train", "dpo.json", "--run-dir", "whole");
  expect(whole.code, whole.stderr).toBe(0);
  const end = whole.records.find(({ type }) => type === "end")!;

  const running = startCli(["train", "dpo.json", "--run-dir", "killed", "--json"], folder.path);
  const saved = () => existsSync(join(folder.path, "killed", "checkpoints", "step-20"));
  while (!saved()) await sleep(5);
  running.child.kill("SIGKILL");
  expect((await running.done).signal).toBe("SIGKILL");
  const rest = await cli("train", "dpo.json", "--run-dir", "killed", "--resume");
  expect(rest.code, rest.stderr).toBe(0);
  expect(rest.records[0]!.step).toBeGreaterThanOrEqual(20);
  expect(rest.records.find(({ type }) => type === "end")).toMatchObject({ hash: end.hash, evalLoss: end.evalLoss });

  const evaluated = await cli("eval", "killed");
  expect(evaluated.records[0]).toMatchObject({ loss: end.evalLoss, accuracy: expect.any(Number) });
  expect(evaluated.records[0]!.accuracy).toBeGreaterThan(0.9);
  expect(await cli("generate", "killed", "--prompt", "dab>", "--tokens", "4")).toMatchObject({ code: 0 });
});

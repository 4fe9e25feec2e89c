// A run through the command line: its events, its end, and that nothing stops it from ending in the same bytes.
import { cpSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runCli, scratchFolder, startCli, writeTinyRecipe } from "../support/cli.ts";

let folder: ReturnType<typeof scratchFolder>;
beforeEach(() => {
  folder = scratchFolder();
});
afterEach(() => {
  folder.remove();
});

const endOf = (records: readonly { readonly [key: string]: unknown }[]) => records.find(({ type }) => type === "end");

describe("athanor train", () => {
  test("tells its events and lowers the loss", async () => {
    const recipe = writeTinyRecipe(folder.path);
    const { code, records, stderr, stdout } = await runCli(
      ["train", recipe, "--run-dir", "run", "--json"],
      folder.path,
    );
    expect(stderr).not.toContain("internal");
    expect(code).toBe(0);
    expect(stdout.trimEnd().split("\n")).toHaveLength(records.length); // nothing but records
    const [start] = records;
    expect(start).toMatchObject({ type: "start", step: 0 });
    // two blocks of 12,352, 16 positions and a last norm of width 32, and a row of 32 per character
    expect(start?.parameters).toBe(25_248 + 32 * Number(vocabularyOf(folder.path)));
    expect(start?.peakBytes).toBeGreaterThan(100_000);
    const steps = records.filter(({ type }) => type === "step");
    expect(steps.map(({ step }) => step)).toEqual(Array.from({ length: 60 }, (_, at) => at + 1));
    expect(Object.keys(steps[0]!)).toEqual(
      expect.arrayContaining(["loss", "lr", "gradNorm", "tokens", "tokensPerSecond"]),
    );
    expect(Number(steps.at(-1)!.loss)).toBeLessThan(0.8 * Number(steps[0]!.loss));
    expect(records.filter(({ type }) => type === "eval").map(({ step }) => step)).toEqual([20, 40, 60]);
    expect(records.filter(({ type }) => type === "checkpoint").map(({ step }) => step)).toEqual([
      10, 20, 30, 40, 50, 60,
    ]);
    expect(endOf(records)).toMatchObject({ step: 60, hash: expect.stringMatching(/^[0-9a-f]{64}$/) });
  });

  test("ends in the same bytes after kill -9, with other threads, and when reproduced", async () => {
    const recipe = writeTinyRecipe(folder.path);
    const whole = await runCli(["train", recipe, "--run-dir", "whole", "--json"], folder.path);
    const hash = endOf(whole.records)?.hash;
    expect(hash).toBeDefined();

    const killed = startCli(["train", recipe, "--run-dir", "killed", "--json"], folder.path);
    await new Promise<void>((resolve) => {
      let seen = "";
      killed.child.stdout?.on("data", (data) => {
        seen += data;
        if (seen.includes('"step":23,')) resolve();
      });
    });
    killed.child.kill("SIGKILL");
    expect((await killed.done).signal).toBe("SIGKILL");
    const resumed = await runCli(
      ["train", recipe, "--run-dir", "killed", "--resume", "--json", "--set", "engine.threads=1"],
      folder.path,
    );
    expect(endOf(resumed.records)?.hash).toBe(hash);
    const log = readFileSync(join(folder.path, "killed", "metrics.ndjson"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const steps = log.filter(({ type }) => type === "step").map(({ step }) => step);
    expect(steps).toEqual(Array.from({ length: 60 }, (_, at) => at + 1));

    const again = await runCli(["reproduce", "whole", "--run-dir", "again", "--json"], folder.path);
    expect(again.code).toBe(0);
    expect(again.records.at(-1)).toMatchObject({ same: true, hash });
  });

  test.each([
    ["SIGINT", 130],
    ["SIGTERM", 75],
    ["SIGHUP", 75],
  ] as const)("%s saves and says how to go on", async (signal, code) => {
    const recipe = writeTinyRecipe(folder.path, { steps: 100_000, checkpoint: { every: 100_000 }, eval: { every: 0 } });
    const running = startCli(["train", recipe, "--run-dir", "run"], folder.path);
    await new Promise<void>((resolve) =>
      running.child.stderr?.on("data", (data) => /step \d+\//.test(String(data)) && resolve()),
    );
    running.child.kill(signal);
    const result = await running.done;
    expect(result.code).toBe(code);
    expect(result.stderr).toContain("stopping after this step and saving; once more to end now without saving\n");
    expect(result.stderr).toContain("--resume");
    const step = /stopped at step (\d+)/.exec(result.stderr)?.[1];
    expect(existsSync(join(folder.path, "run", "checkpoints", `step-${step}`, "manifest.json"))).toBe(true);
  });

  test("Ctrl-C while it compiles ends it at once, and nothing is begun", async () => {
    const deep = { layers: 400, heads: 1, width: 4, context: 4 };
    const recipe = writeTinyRecipe(folder.path, { model: { gpt: deep }, engine: { name: "reference" } });
    const running = startCli(["train", recipe, "--run-dir", "never"], folder.path);
    await new Promise<void>((resolve) =>
      running.child.stderr?.on("data", (data) => String(data).includes("compiling the step of 4,") && resolve()),
    );
    running.child.kill("SIGINT");
    expect((await running.done).signal).toBe("SIGINT");
    expect(existsSync(join(folder.path, "never"))).toBe(false);
  });

  test("says how to train again, with the changes that were made", async () => {
    const recipe = writeTinyRecipe(folder.path, { steps: 2, eval: { every: 0 } });
    const args = ["train", recipe, "--run-dir", "changed", "--set", "seed=8", "--set", "batch.size=4"];
    args.push("--set", `data.path=${join(folder.path, "corpus.txt")}`); // what is tried next names other data
    const { stdout } = await runCli(args, folder.path);
    expect(stdout).toContain("athanor train tiny.json --set seed=8 --set batch.size=4 --set data.path=YOUR-DATA");
  });

  test("evaluates, generates and lists what it trained", async () => {
    const recipe = writeTinyRecipe(folder.path);
    const trained = await runCli(["train", recipe, "--run-dir", "runs/tiny", "--json"], folder.path);
    const evaluated = await runCli(["eval", "runs/tiny", "--json"], folder.path);
    expect(evaluated.records[0]).toMatchObject({ step: 60, loss: endOf(trained.records)?.evalLoss });
    const [one, two] = await Promise.all(
      [1, 2].map(() => runCli(["generate", "runs/tiny", "--prompt", "the ", "--tokens", "40", "--json"], folder.path)),
    );
    expect(one?.records[0]?.tokens).toBe(40);
    expect(one?.records[0]?.text).toBe(two?.records[0]?.text);
    const listed = await runCli(["runs", "--json"], folder.path);
    expect(listed.records).toEqual([expect.objectContaining({ name: "tiny", status: "finished", step: 60 })]);
    cpSync(join(folder.path, "runs/tiny"), join(folder.path, "runs/cut"), { recursive: true });
    const record = join(folder.path, "runs/cut/run.json");
    writeFileSync(record, readFileSync(record, "utf8").replace('"finished"', '"running"'));
    writeFileSync(join(folder.path, "runs/cut/run.lock"), ""); // as a power cut leaves it
    const { code, records } = await runCli(["runs", "--json"], folder.path);
    expect([code, ...records.map(({ status }) => status)]).toEqual([0, "lock unreadable", "finished"]);
  });

  test("starts from the weights of another run", async () => {
    const recipe = writeTinyRecipe(folder.path);
    await runCli(["train", recipe, "--run-dir", "first"], folder.path);
    const second = await runCli(
      ["train", recipe, "--run-dir", "second", "--init-from", "first", "--json", "--set", "steps=20"],
      folder.path,
    );
    const first = Number(second.records.find(({ type }) => type === "step")?.loss);
    const fresh = await runCli(["train", recipe, "--run-dir", "third", "--json", "--set", "steps=20"], folder.path);
    expect(first).toBeLessThan(0.8 * Number(fresh.records.find(({ type }) => type === "step")?.loss));
  });
});

/** Distinct characters of the corpus. */
function vocabularyOf(path: string): number {
  return new Set(readFileSync(join(path, "corpus.txt"), "utf8")).size;
}

// A search of halving over TPE finds better settings than the recipe's own, in the steps of five runs. Killed at five random moments and
// gone on with, it ends with the same trials, figures and best as one that was never killed. The trials under way are left behind by the
// kill; they save and end by themselves.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { amount } from "../amount.ts";
import { randomMoments } from "../random-moments.ts";
import { runCli, scratchFolder, startCli, writeTinyRecipe } from "../support/cli.ts";

let folder: ReturnType<typeof scratchFolder>;
let recipe: string;
beforeAll(() => {
  folder = scratchFolder();
  recipe = writeTinyRecipe(folder.path, { steps: 54 });
});
afterAll(() => folder.remove());

const searchIn = (dir: string) => [
  ...["search", recipe, "--over", "optimizer.adamw.lr=log:1e-4..1e-1", "--over", "model.gpt.dropout=0.0..0.4"],
  ...["--over", "model.gpt.layers=1,2", "--scheduler", "halving", "--trials", "14", "--dir", dir, "--json"],
];

/** Points and figures of a search's trials, in order. */
function found(dir: string): Record<string, unknown>[] {
  const lines = readFileSync(join(folder.path, dir, "journal.ndjson"), "utf8")
    .trim()
    .split("\n");
  const events = lines.slice(1).map((line) => JSON.parse(line) as Record<string, unknown>);
  return events.map(({ seconds: _, ...event }) => event);
}

test("5 kills, one search", async () => {
  const started = performance.now();
  const whole = await runCli(searchIn("whole"), folder.path);
  const wholeMs = performance.now() - started;
  expect(whole.code, whole.stderr).toBe(0);
  const own = await runCli(["train", recipe, "--run-dir", "own", "--json"], folder.path);
  const { value } = whole.records.at(-1) as { value: number };
  const { evalLoss } = own.records.find(({ type }) => type === "end") as { evalLoss: number };
  expect(value).toBeLessThan(evalLoss);
  const reached = new Map(found("whole").map(({ trial, step = 0 }) => [trial, Number(step)])); // the last report's
  expect([...reached.values()].reduce((sum, step) => sum + step, 0)).toBeLessThanOrEqual(5 * 54);

  const moments = randomMoments("search kills");
  const kills = amount(5, 2);
  for (let done = 0; done < kills; ) {
    const dir = `killed-${done}`;
    // Each search is killed again and again until it gets through, so that kills fall on every phase, resuming included.
    for (let attempt = 0; ; attempt++) {
      const begun = existsSync(join(folder.path, dir, "journal.ndjson"));
      const args = begun ? ["search", "--resume", dir, "--json"] : searchIn(dir);
      const running = startCli(args, folder.path);
      const delay = 300 + moments.uniform(done, attempt) * wholeMs * 0.6;
      const timer = setTimeout(() => running.child.kill("SIGKILL"), done < kills ? delay : 2 ** 30);
      const result = await running.done;
      clearTimeout(timer);
      if (result.signal === "SIGKILL") {
        done++;
        continue;
      }
      expect(result.code, result.stderr).toBe(0);
      break;
    }
    expect(found(dir), dir).toEqual(found("whole"));
    expect(readFileSync(join(folder.path, dir, "best.yaml"))).toEqual(
      readFileSync(join(folder.path, "whole", "best.yaml")),
    );
  }
});

// R1: kill -9 at uniformly random moments, some inside a save. Resumed each time, a run ends in the same bytes as one that was
// never stopped, its log has each step once, and no more than one save interval is lost.
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { amount } from "../amount.ts";
import { randomMoments } from "../random-moments.ts";
import { runCli, scratchFolder, startCli, writeTinyRecipe } from "../support/cli.ts";

const saveEvery = 10;
let folder: ReturnType<typeof scratchFolder>;
let recipe: string;
beforeAll(() => {
  folder = scratchFolder();
  recipe = writeTinyRecipe(folder.path, { steps: 300, checkpoint: { every: saveEvery }, eval: { every: 100 } });
});
afterAll(() => folder.remove());

const argumentsOf = (run: string) => ["train", recipe, "--run-dir", run, "--json"];
const hashOf = (records: readonly { readonly [key: string]: unknown }[]) =>
  records.find(({ type }) => type === "end")?.hash;

test("25 kills, one hash", async () => {
  const started = performance.now();
  const whole = await runCli(argumentsOf("whole"), folder.path);
  const wholeMs = performance.now() - started;
  const hash = hashOf(whole.records);
  expect(hash).toBeDefined();

  const moments = randomMoments("kills");
  const kills = amount(25, 3);
  let insideSave = 0;
  for (let done = 0; done < kills; ) {
    const run = `killed-${done}`;
    // Each run is killed again and again until it gets through, so kills fall on every phase, resuming included.
    let seen = 0; // the last step that any of them told
    for (let attempt = 0; ; attempt++) {
      const resume = attempt > 0 ? await exists(run) : false;
      const running = startCli([...argumentsOf(run), ...(resume ? ["--resume"] : [])], folder.path);
      const delay = 150 + moments.uniform(done, attempt) * wholeMs * 0.8;
      const timer = setTimeout(() => running.child.kill("SIGKILL"), done < kills ? delay : 2 ** 30);
      const result = await running.done;
      clearTimeout(timer);
      const from = result.records.find(({ type }) => type === "start")?.step ?? seen;
      expect(from, `${run}, attempt ${attempt}`).toBeGreaterThanOrEqual(seen - saveEvery);
      seen = Math.max(seen, Number(result.records.findLast(({ type }) => type === "step")?.step ?? 0));
      if (result.signal === "SIGKILL") {
        done++;
        if (result.records.at(-1)?.type !== "step") insideSave++;
        continue;
      }
      expect(result.code, result.stderr).toBe(0);
      expect(hashOf(result.records)).toBe(hash);
      break;
    }
    const log = readFileSync(join(folder.path, run, "metrics.ndjson"), "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    const steps = log.filter(({ type }) => type === "step").map(({ step }) => step);
    expect(steps).toEqual(Array.from({ length: 300 }, (_, at) => at + 1));
  }
  console.info(`${kills} kills, ${insideSave} of them not right after a step`);
});

async function exists(run: string): Promise<boolean> {
  try {
    readFileSync(join(folder.path, run, "run.json"));
    return true;
  } catch {
    return false;
  }
}

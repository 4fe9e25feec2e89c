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
beforeAll(() => {
  folder = scratchFolder();
});
afterAll(() => folder.remove());

const adaptive = { from: 8, to: 32, every: 80, smoothing: 0.8 };
const plateau = { peak: 3e-3, patience: 1, threshold: 0.05 };
const hashOf = (records: readonly { readonly [key: string]: unknown }[]) =>
  records.find(({ type }) => type === "end")?.hash;

test.each<[string, number, { readonly [key: string]: unknown }]>([
  ["one size of batches", 25, { steps: 300, eval: { every: 100 } }],
  [
    "batches on a ramp and a rate on plateaus",
    6,
    {
      steps: 150,
      eval: { every: 15 },
      batch: { size: { ramp: { from: 8, to: 24, over: 2000 } }, lanes: 2 },
      optimizer: { adamw: { lr: { plateau } } },
    },
  ],
  [
    "two sources whose weights change",
    4,
    {
      steps: 100,
      eval: { every: 50 },
      data: { mix: [{ path: "corpus.txt" }, { path: "corpus.txt", weight: { linear: { from: 0, to: 2, end: 600 } } }] },
    },
  ],
  ["batches that adapt", 6, { steps: 150, eval: { every: 50 }, batch: { size: { adaptive }, microbatch: 4 } }],
])("%s: %i kills, one hash", async (what, most, changes) => {
  const name = what.replaceAll(" ", "-");
  const recipe = writeTinyRecipe(folder.path, { ...changes, checkpoint: { every: saveEvery } });
  const argumentsOf = (run: string) => ["train", recipe, "--run-dir", run, "--json"];
  const started = performance.now();
  const whole = await runCli(argumentsOf(`${name}-whole`), folder.path);
  const wholeMs = performance.now() - started;
  const hash = hashOf(whole.records);
  expect(hash).toBeDefined();

  const moments = randomMoments(`kills ${what}`);
  const kills = amount(most, Math.min(most, 3));
  let insideSave = 0;
  for (let done = 0, at = 0; done < kills; at++) {
    const run = `${name}-${at}`;
    // Each run is killed again and again until it gets through, so kills fall on every phase, resuming included.
    let seen = 0; // the last step that any of them told
    for (let attempt = 0; ; attempt++) {
      const resume = attempt > 0 ? await exists(run) : false;
      const running = startCli([...argumentsOf(run), ...(resume ? ["--resume"] : [])], folder.path);
      const delay = 150 + moments.uniform(at, attempt) * wholeMs * 0.8;
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
    expect(steps).toEqual(Array.from({ length: changes.steps as number }, (_, at) => at + 1));
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

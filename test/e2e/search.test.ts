// `athanor search` as its users run it: that trials which pause end with the bytes of runs that never did, that a search which
// was killed ends as one that was not, that a trial which fails ends nothing but itself, and what is refused.
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { RandomStream } from "../../src/base/index.ts";
import { runCli, scratchFolder, startCli } from "../support/cli.ts";

let folder: ReturnType<typeof scratchFolder>;
const at = (...names: string[]) => join(folder.path, ...names);
const run = (...args: string[]) => runCli([...args, "--json"], folder.path);

beforeAll(() => {
  folder = scratchFolder();
  const stream = new RandomStream(1, "rows");
  const rows = Array.from({ length: 240 }, (_, row) => {
    const [a, b] = [stream.normal(0, row), stream.normal(1, row)];
    return `${a.toFixed(4)},${b.toFixed(4)},${a * b + 0.3 * stream.normal(2, row) > 0 ? "yes" : "no"}`;
  });
  writeFileSync(at("table.csv"), `a,b,y\n${rows.join("\n")}\n`);
  const recipe = {
    data: { path: "table.csv", target: "y", heldOut: 0.3 },
    model: { mlp: { hidden: [8], dropout: 0.1 } },
    optimizer: { sgd: { lr: { cosine: { peak: 0.1 } }, momentum: 0.9 } },
    batch: { size: 16 },
    steps: 27,
    eval: { every: 7 },
    checkpoint: { every: 5 },
  };
  writeFileSync(at("recipe.json"), JSON.stringify(recipe));
});
afterAll(() => folder.remove());

interface Event {
  readonly event: string;
  readonly trial: number;
  readonly until?: number;
  readonly step?: number;
  readonly value?: number;
  readonly code?: string;
  readonly point?: { readonly [key: string]: unknown };
  readonly parent?: { readonly trial: number; readonly step: number };
}

const journalOf = (search: string): Event[] =>
  readFileSync(at(search, "journal.ndjson"), "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));

/** What was found, without what the clock says. */
const resultsOf = (search: string) =>
  journalOf(search)
    .filter(({ event }) => event === "report" || event === "fail")
    .map(({ event, trial, step, value, code }) => ({ event, trial, step, value, code }))
    .sort((a, b) => a.trial - b.trial || Number(a.step) - Number(b.step));

const recordOf = (run: string) => JSON.parse(readFileSync(at(run, "run.json"), "utf8"));
const hashOf = (run: string): string => recordOf(run).result.hash;

describe("halving", () => {
  const rate = "optimizer.sgd.lr.cosine.peak";
  const args = ["--over", `${rate}=log:1e-3..1.0`, "--over", "model.mlp.hidden=[4],[8,8]", "--scheduler", "halving"];
  const search = (dir: string) => ["search", "recipe.json", ...args, "--trials", "6", "--seed", "4", "--dir", dir];

  test("its best trial, which was paused, has the bytes of a run that never was, and so has best.yaml", async () => {
    const { code, records } = await run(...search("halving"));
    expect(code).toBe(0);
    const starts = journalOf("halving").filter(({ event }) => event === "start");
    expect(starts.map(({ until }) => until)).toEqual([9, 9, 9, 9, 9, 9, 27, 27]);
    const end = records.at(-1)! as { best: number; value: number; point: { [key: string]: unknown } };
    const trial = join("halving", "trials", String(end.best).padStart(4, "0"));
    expect(recordOf(trial).starts.map(({ step }: { step: number }) => step)).toEqual([0, 9]);
    const sets = Object.entries(end.point).flatMap(([key, value]) => ["--set", `${key}=${JSON.stringify(value)}`]);
    const whole = await run("train", "recipe.json", ...sets, "--run-dir", "whole");
    expect(hashOf("whole")).toBe(hashOf(trial));
    expect(whole.records.findLast(({ type }) => type === "eval")!.loss).toBe(end.value);
    await run("train", join("halving", "best.yaml"), "--run-dir", "best");
    expect(hashOf("best")).toBe(hashOf(trial));
    const reports = journalOf("halving").filter(({ event }) => event === "report");
    const least = Math.min(...reports.filter(({ step }) => step === 27).map(({ value }) => value!));
    expect(end.value).toBe(least);
  });

  test("killed with its trials again and again, and gone on with, it finds the same", async () => {
    for (let kills = 0; ; kills++) {
      const begun = existsSync(at("killed", "journal.ndjson"));
      const words = begun ? ["search", "--resume", "killed"] : search("killed");
      const running = startCli([...words, "--json"], folder.path);
      const timer = setTimeout(() => running.child.kill("SIGKILL"), kills < 3 ? 900 + 500 * kills : 2 ** 30);
      const { signal, code } = await running.done;
      clearTimeout(timer);
      if (signal === null) {
        expect(code).toBe(0);
        expect(kills).toBeGreaterThan(0);
        break;
      }
    }
    expect(resultsOf("killed")).toEqual(resultsOf("halving"));
    expect(readFileSync(at("killed", "best.yaml"))).toEqual(readFileSync(at("halving", "best.yaml")));
    // what has ended is told again, and nothing is run
    const { records } = await run("search", "--resume", "killed");
    expect(records).toHaveLength(1);
  });

  test("stopped by a signal it lets its trials save, and goes on", async () => {
    const running = startCli([...search("stopped"), "--json"], folder.path);
    while (!existsSync(at("stopped", "trials", "0001"))) await sleep(20);
    running.child.kill("SIGINT");
    const { code, stderr } = await running.done;
    expect(stderr).toContain("npx athanor search --resume");
    expect(code).toBe(130);
    expect((await run("search", "--resume", "stopped")).code).toBe(0);
    expect(resultsOf("stopped")).toEqual(resultsOf("halving"));
  });
});

test("a grid from a study file, two at a time: the trial that diverges is told, and the others are judged", async () => {
  const study = {
    recipe: "recipe.json",
    set: ["steps=8", "engine.threads=4"],
    over: { "optimizer.sgd.lr": [1e30, 0.1, 0.01], "batch.size": "8,16" },
    sampler: "grid",
    metric: "accuracy",
    parallel: 2,
  };
  writeFileSync(at("study.yaml"), JSON.stringify(study));
  const { code, records, stdout } = await run("search", "study.yaml", "--dir", "grid");
  expect(code).toBe(0);
  expect(stdout).not.toContain("internal");
  const events = journalOf("grid");
  expect(resultsOf("grid").filter(({ event }) => event === "fail")).toMatchObject([
    { trial: 0, code: "train/non-finite" },
    { trial: 1, code: "train/non-finite" },
  ]);
  const values = events.flatMap(({ event, value }) => (event === "report" ? [value!] : []));
  expect(values).toHaveLength(4);
  const end = records.at(-1) as unknown as { best: number; value: number };
  expect(end.value).toBe(Math.max(...values)); // accuracy: more is better
  expect(parse(readFileSync(at("grid", "best.yaml"), "utf8")).optimizer.sgd.lr).toBe(end.best < 4 ? 0.1 : 0.01);
  expect(recordOf(join("grid", "trials", "0002")).recipe.engine.threads).toBe(2); // half of them each
});

test("a population: forks begin where their parents stood, and their runs tell it", async () => {
  const args = ["--over", "optimizer.sgd.lr.cosine.peak=log:1e-3..1.0", "--scheduler", "population"];
  const { code } = await run("search", "recipe.json", ...args, "--trials", "4", "--min-steps", "9", "--dir", "people");
  expect(code).toBe(0);
  const forks = journalOf("people").filter(({ parent }) => parent !== undefined);
  expect(forks.map(({ parent }) => parent!.step)).toEqual([9, 18]);
  for (const { trial, parent } of forks) {
    const record = recordOf(join("people", "trials", String(trial).padStart(4, "0")));
    const from = join("trials", String(parent!.trial).padStart(4, "0"), "checkpoints", `step-${parent!.step}`);
    expect(record.forked).toEqual({ from: at("people", from), step: parent!.step });
    expect(record.starts.at(-1).step).toBe(parent!.step === 9 && record.step === 27 ? 18 : parent!.step);
  }
  const refused = await run("reproduce", join("people", "trials", String(forks[0]!.trial).padStart(4, "0")));
  expect([refused.code, refused.records.at(-1)!.code]).toEqual([2, "reproduce/forked"]);
});

describe("is refused before anything is started", () => {
  const peak = "optimizer.sgd.lr.cosine.peak=log:1e-3..1.0";
  test.each([
    [["recipe.json"], "config/over", "the search has nothing to try"],
    [["recipe.json", "--over", "batch.size"], "config/over", "not a setting and its values"],
    [["recipe.json", "--over", "batch.size=0,8"], "config/search", "1 of 2 points"],
    [["recipe.json", "--over", "optimizer.rate=0.0..1.0"], "config/search", "unknown key"],
    [["recipe.json", "--over", "steps=10,20"], "config/search", "different length"],
    [["recipe.json", "--over", peak, "--set", "eval.every=0"], "config/search", "held-out data"],
    [["recipe.json", "--over", "batch.size=8,16", "--scheduler", "population"], "config/search", "can change there"],
    [["recipe.json", "--over", peak, "--sampler", "grid"], "config/over", "a range has too many"],
    [
      ["recipe.json", "--over", "batch.size=8,16", "--sampler", "grid", "--trials", "3"],
      "config/search",
      "fewer points",
    ],
    [["recipe.json", "--over", peak, "--eta", "1"], "config/invalid", "eta: must be at least 2"],
    [["recipe.json", "--over", peak, "--set", "data.path=none.csv"], "data/no-file", "none.csv"],
    [["none.yaml", "--over", peak], "config/read", "cannot be read"],
    [["recipe.json", "--over", peak, "--dir", "."], "run/exists", "already holds something"],
    [["recipe.json", "--resume", "halving"], "cli/argument", "--resume <folder> alone"],
    [[], "cli/argument", "no recipe to search over"],
    [["--resume", "."], "search/missing", "there is no search here"],
  ])("%j", async (args, code, words) => {
    const result = await run("search", ...args);
    expect(result.records.at(-1)).toMatchObject({ event: "error", code });
    expect(result.stderr).toContain(words);
    for (const label of ["at  ", "got  ", "fix  "]) expect(result.stderr).toContain(label);
    expect(result.code).toBe(2);
    expect(existsSync(at("runs"))).toBe(false);
  });
});

test("a figure that the trials will not have is refused before there is one, with those that they will", async () => {
  const args = [
    "--over",
    "batch.size=8,16",
    "--sampler",
    "grid",
    "--set",
    "steps=2",
    "--metric",
    "acuracy",
    "--dir",
    "figure",
  ];
  const { code, records } = await run("search", "recipe.json", ...args);
  expect([code, records.at(-1)!.code]).toEqual([2, "config/metric"]);
  expect(records.at(-1)).toMatchObject({ expected: "loss, accuracy", fix: "did you mean accuracy?" });
  expect(existsSync(at("figure"))).toBe(false);
});

test("a recipe that was changed since is another search; where every trial fails there is no best", async () => {
  writeFileSync(at("changed.json"), readFileSync(at("recipe.json")));
  const args = ["--over", "optimizer.sgd.lr=1e30,1e31", "--sampler", "grid", "--set", "steps=4"];
  const failed = await run("search", "changed.json", ...args, "--dir", "changed");
  expect([failed.code, failed.records.at(-1)!.code]).toEqual([1, "search/no-trial"]);
  expect(failed.stderr).toContain("trial 1: train/non-finite");
  writeFileSync(at("changed.json"), readFileSync(at("recipe.json"), "utf8").replace('"size":16', '"size":24'));
  const { code, records } = await run("search", "--resume", "changed");
  expect([code, records.at(-1)!.code]).toEqual([2, "resume/recipe"]);
  expect(records.at(-1)!.got).toBe("batch.size: 16 → 24");
});

// Comparing runs: figures and means against those by hand, damaged logs, what is refused, and the page as XML.
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { elements } from "../../test/support/xml.ts";
import { parseRecipe, recipeJson } from "../recipe/index.ts";
import { createRun, type Environment, encodeEvent, metricsName, type RunRecord, updateRun } from "../track/index.ts";
import { comparisonPage } from "./compare-page.ts";
import { type Comparison, compareRuns } from "./compare-runs.ts";
import { escapeXml } from "./page.ts";

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "athanor-compare-"));
});
afterEach(async () => await rm(folder, { recursive: true }));

const recipe = {
  data: { path: "x.txt" },
  model: { gpt: { layers: 1, heads: 1, width: 4, context: 4 } },
  steps: 3,
} as const;
const environment = { athanor: "0", node: "0", os: "", cpu: "", cores: 1, memoryBytes: 1, isa: "", threads: 1 };

interface Planned {
  readonly set?: readonly string[];
  /** Of steps 1, 2, …: 10 tokens and `pace` seconds each. */
  readonly losses: readonly number[];
  readonly pace?: number;
  readonly evals?: readonly (readonly [step: number, loss: number])[];
  readonly result?: RunRecord["result"];
}

async function makeRun(name: string, { set = [], losses, pace = 1, evals = [], result }: Planned): Promise<string> {
  const path = join(folder, name);
  await createRun(
    { folder: path },
    {
      recipe: recipeJson(parseRecipe(recipe, { set })),
      recipeHash: "",
      dataHash: "0".repeat(64),
      environment: environment as Environment,
    },
  );
  await updateRun(path, { status: "finished", step: losses.length, ...(result === undefined ? {} : { result }) });
  const lines = losses.flatMap((loss, at) => {
    const [step, seconds] = [at + 1, (at + 1) * pace];
    const line = encodeEvent({
      type: "step",
      step,
      loss,
      lr: 0.1,
      gradNorm: 1,
      tokens: 10 * step,
      tokensPerSecond: 1,
      seconds,
    });
    const found = evals.filter(([when]) => when === step);
    const metrics = { accuracy: loss / 8 };
    return [
      line,
      ...found.map(([, held]) => encodeEvent({ type: "eval", step, loss: held, metrics, seconds: seconds + 0.5 })),
    ];
  });
  await writeFile(join(path, metricsName), lines.join(""));
  return path;
}

test("figures of each run, settings that differ, and means over seeds with their intervals", async () => {
  const paths = [
    await makeRun("a", {
      set: ["seed=1"],
      losses: [4, 3, 2],
      evals: [
        [2, 3.5],
        [3, 2.5],
      ],
      pace: 1,
    }),
    await makeRun("b", {
      set: ["seed=2"],
      losses: [6, 5, 4],
      evals: [
        [2, 4.5],
        [3, 4.5],
      ],
      pace: 3,
      result: { loss: 4, evalLoss: 4.5, hash: "" },
    }),
    await makeRun("c", { set: ["optimizer.adamw.lr=0.5"], losses: [5, 1] }),
  ];
  const { unit, stepsPerPoint, keys, runs, groups, problems } = await compareRuns([...paths, join(paths[0]!, ".")]);
  expect([unit, stepsPerPoint, problems]).toEqual(["tokens", 1, []]);
  expect(keys).toEqual(["optimizer.adamw.lr", "seed"]);
  expect(runs.map(({ curves: _, ...run }) => run)).toEqual([
    {
      folder: paths[0],
      name: "a",
      status: "finished",
      steps: 3,
      items: 30,
      seconds: 3.5,
      loss: 2,
      evalLoss: 2.5,
      metrics: { accuracy: 0.25 },
      settings: { "optimizer.adamw.lr": "0.001", seed: "1" },
    },
    {
      folder: paths[1],
      name: "b",
      status: "finished",
      steps: 3,
      items: 30,
      seconds: 9.5,
      loss: 4,
      evalLoss: 4.5,
      metrics: { accuracy: 0.5 },
      settings: { "optimizer.adamw.lr": "0.001", seed: "2" },
    },
    {
      folder: paths[2],
      name: "c",
      status: "finished",
      steps: 2,
      items: 20,
      seconds: 2,
      loss: 1,
      metrics: {},
      settings: { "optimizer.adamw.lr": "0.5", seed: "1" },
    },
  ]);
  expect(groups.map(({ label, runs: own }) => [label, own])).toEqual([
    ["optimizer.adamw.lr = 0.001", [0, 1]],
    ["optimizer.adamw.lr = 0.5", [2]],
  ]);
  // losses that are 2 apart: s = √2, and √2 · t / √2 = t with one degree of freedom
  const t = 12.706204736174694;
  const [seeds, single] = groups;
  expect(seeds!.loss).toEqual({ mean: 3, half: expect.closeTo(t, 9), count: 2 });
  expect(seeds!.evalLoss).toEqual({ mean: 3.5, half: expect.closeTo(t, 9), count: 2 });
  expect(seeds!.curves.training).toEqual(
    [1, 2, 3].map((step) => ({
      step,
      items: 10 * step,
      seconds: 2 * step,
      loss: 6 - step,
      half: expect.closeTo(t, 9),
    })),
  );
  expect(seeds!.curves.heldOut).toEqual([
    { step: 2, items: 20, seconds: 4.5, loss: 4, half: expect.closeTo(t / 2, 9) },
    { step: 3, items: 30, seconds: 6.5, loss: 3.5, half: expect.closeTo(t, 9) },
  ]);
  expect(single).toMatchObject({ loss: { mean: 1, count: 1 }, curves: { heldOut: [] } });
  expect(single!.curves.training).toEqual([
    { step: 1, items: 10, seconds: 1, loss: 5 },
    { step: 2, items: 20, seconds: 2, loss: 1 },
  ]);
  expect(single).not.toHaveProperty("evalLoss");
});

test("a mean goes as far as all of its runs, and a seed that comes again is no second draw", async () => {
  const paths = [
    await makeRun("a", { losses: [4, 3, 2] }),
    await makeRun("b", { set: ["seed=2"], losses: [6, 5] }),
    await makeRun("again", { set: ["name=other"], losses: [4, 3, 2] }),
  ];
  const { groups, keys } = await compareRuns(paths);
  expect(keys).toEqual(["seed", "name"]);
  expect(groups.map(({ label, runs }) => [label, runs])).toEqual([
    ["a", [0, 1]],
    ["again", [2]],
  ]);
  expect(groups[0]!.curves.training.map(({ step, loss }) => [step, loss])).toEqual([
    [1, 5],
    [2, 4],
  ]);
});

test("a long log becomes means over windows of steps, the same for all runs", async () => {
  const rising = Array.from({ length: 201 }, (_, at) => at + 1);
  const paths = [
    await makeRun("long", { losses: rising }),
    await makeRun("short", { set: ["steps=4"], losses: [1, 2, 3, 7] }),
  ];
  const { stepsPerPoint, runs } = await compareRuns(paths);
  expect(stepsPerPoint).toBe(3);
  expect(runs[0]!.curves.training).toHaveLength(67);
  expect(runs[0]!.curves.training.at(-1)).toEqual({ step: 201, items: 2000, seconds: 200, loss: 200 });
  expect(runs[1]!.curves.training).toEqual([
    { step: 3, items: 20, seconds: 2, loss: 2 },
    { step: 6, items: 40, seconds: 4, loss: 7 },
  ]);
});

describe("logs and folders that are not as they should be", () => {
  test("damaged lines are told and left out, and so is a log that cannot be read or tells nothing", async () => {
    const [damaged, blocked, empty] = [
      await makeRun("damaged", { losses: [4, 3, 2] }),
      await makeRun("blocked", { set: ["seed=2"], losses: [1] }),
      await makeRun("empty", { set: ["seed=3"], losses: [] }),
    ];
    const line = (step: number) =>
      encodeEvent({
        type: "step",
        step,
        loss: step,
        lr: 0,
        gradNorm: 0,
        tokens: step,
        tokensPerSecond: 1,
        seconds: step,
      });
    await writeFile(join(damaged, metricsName), `${line(1)}{"type":"step","st\0\n${line(3)}{"type":"st`);
    await rm(join(blocked, metricsName));
    await mkdir(join(blocked, metricsName));
    const { runs, problems, groups } = await compareRuns([damaged, blocked, empty]);
    expect(runs.map(({ curves }) => curves.training.map(({ step }) => step))).toEqual([[1, 3], [], []]);
    expect(groups[0]).not.toHaveProperty("loss"); // only one of the three has one
    const byCode = (a: { code: string }, b: { code: string }) => a.code.localeCompare(b.code);
    const file = (path: string) => join(path, metricsName);
    expect([...problems].sort(byCode)).toMatchObject([
      { code: "run/log", where: file(blocked), got: expect.stringContaining("EISDIR") },
      { code: "run/log-damaged", where: file(damaged), what: "1 damaged line of a run's log left out", got: "line 2" },
      { code: "run/no-steps", where: file(empty), got: "none" },
    ]);
    for (const { expected, fix } of problems) expect([expected, fix]).not.toContain(undefined);
    expect(comparisonPage(await compareRuns([empty]))).toContain("No figures.");
  });

  test.each([
    ["config/runs", () => []],
    ["path/missing", () => [join(folder, "absent")]],
    ["run/missing", () => [folder]],
  ])("%s has all five fields", async (code, folders) => {
    const error = await compareRuns(folders()).catch((caught: unknown) => caught);
    const text = expect.stringMatching(/./);
    expect(error).toMatchObject({ code, what: text, where: text, expected: text, got: text, fix: text });
  });
});

describe("the page", () => {
  const evil = `</title><script>alert("1")</script>&amp;'\0`;
  const made = async () => {
    const paths = [
      await makeRun("a", { losses: [4, Number.NaN, 2, 3], evals: [[4, 5]] }),
      await makeRun("b", { set: ["seed=2"], losses: [4, 2, 2, 3] }),
      await makeRun("c", { set: ["steps=9"], losses: [0.001, 2, 3e9], pace: 2 }),
    ];
    const comparison = await compareRuns(paths);
    const runs = comparison.runs.map((run) => ({ ...run, name: evil, metrics: { [evil]: 1 } }));
    const groups = comparison.groups.map((group) => ({ ...group, label: evil }));
    return { ...comparison, keys: [...comparison.keys, evil], runs, groups };
  };

  test("is well-formed XML, whatever the runs are called, and fetches nothing", async () => {
    const page = comparisonPage(await made());
    expect(elements(page).filter((name) => name === "figure")).toHaveLength(4);
    expect(elements(page)).not.toContain("script");
    expect(page).toContain("&#60;/title&#62;&#60;script&#62;alert(&#34;1&#34;)&#60;/script&#62;&#38;amp;&#39;\ufffd");
    expect(page.replace('xmlns="http://www.w3.org/1999/xhtml"', "")).not.toMatch(
      /https?:|url\(|@import|\b(src|href|on\w+)=/,
    );
    expect(page).not.toMatch(/NaN [\d-]|Infinity|undefined/);
    expect(() => elements(page.replace("</figure>", ""))).toThrow("</div> closes figure");
  });

  test("every character that XML cannot hold is replaced", () => {
    expect(escapeXml("a\u0000\u001b\ud800\uffff\t火😀")).toBe("a\ufffd\ufffd\ufffd\ufffd\t火😀");
  });

  test("points lie where their figures say, and a gap is no line", async () => {
    const comparison = await compareRuns([await makeRun("a", { losses: [4, 3, Number.NaN, 2] })]);
    const page = comparisonPage(comparison);
    // 488 × 274 for 0 to 40 tokens, and for losses of 2 to 4
    expect(page).toContain('<path class="mean g0" d="M122 0L244 137M488 274h0"><title>a</title></path>');
  });

  test("a loss over many powers of ten is drawn by its logarithm", async () => {
    const page = comparisonPage(await compareRuns([await makeRun("a", { losses: [1000, 100, 10, 1] })]));
    expect(page).toMatch(/d="M122 0L244 91\.3L366 182\.7L488 274"/);
    for (const tick of ["1", "10", "100", "1000"]) expect(page).toContain(`text-anchor="end">${tick}</text>`);
  });

  test("the cliff that a training begins with leaves the frame, and runs on tables count samples", async () => {
    const losses = [100, ...Array.from({ length: 39 }, (_, at) => 3 - at / 39)];
    const table = { set: ["model={ mlp: {} }"], losses };
    const { unit } = await compareRuns([await makeRun("a", table)]);
    expect(unit).toBe("samples");
    const mixed = await compareRuns([join(folder, "a"), await makeRun("b", { losses })]);
    expect(mixed.unit).toBe("tokens or samples");
    const page = comparisonPage(mixed);
    expect(page).toContain('text-anchor="end">2.4</text>');
    expect(page).not.toContain('text-anchor="end">50</text>');
    expect(page).toContain('d="M12.2 -548L'); // two heights above it, no further
  });

  test("an interval is drawn above and below its mean, in the colour of its group", async () => {
    const comparison: Comparison = await compareRuns([await makeRun("a", { losses: [4, 2] })]);
    const [group] = comparison.groups;
    const training = group!.curves.training.map((point) => ({ ...point, half: 0.5 }));
    const page = comparisonPage({ ...comparison, groups: [{ ...group!, curves: { training, heldOut: [] } }] });
    expect(page).toContain('<path class="band g0" d="M244 -68.5L488 205.5L488 342.5L244 68.5Z" />');
  });
});

// `athanor tune` on a recipe: that what it finds trains, that what it suggests can be pasted, and what it refuses.
import { afterAll, beforeAll, expect, test } from "vitest";
import { runCli, scratchFolder, writeTinyRecipe } from "../support/cli.ts";

let folder: ReturnType<typeof scratchFolder>;
let recipe: string;
beforeAll(() => {
  folder = scratchFolder();
  recipe = writeTinyRecipe(folder.path);
});
afterAll(() => folder.remove());

test("lr: a sweep, an edge, and a change of the recipe that trains", async () => {
  const { code, records } = await runCli(
    ["tune", "lr", recipe, "--from", "1e-4", "--to", "1e4", "--json"],
    folder.path,
  );
  expect(code).toBe(0);
  const [found] = records as [
    { points: { lr: number }[]; stable: number; unstable: number; suggestion: number; change: string },
  ];
  expect(found.points[0]!.lr).toBe(1e-4);
  expect(found.unstable).toBeGreaterThan(found.stable);
  expect(found.suggestion).toBeLessThanOrEqual(found.stable / 2);
  expect(found.change).toMatch(/^optimizer\.adamw\.lr(\.\w+\.peak)?=/);
  const trained = await runCli(["train", recipe, "--set", found.change, "--json"], folder.path);
  expect(trained.code).toBe(0);
  const steps = trained.records.filter(({ event }) => event === "step");
  expect(Number(steps.at(-1)!.loss)).toBeLessThan(Number(steps[0]!.loss));

  const people = await runCli(
    ["tune", "lr", recipe, "--from", "1e-3", "--to", "1", "--steps", "20", "--trial-steps", "8"],
    folder.path,
  );
  expect(people.stdout).toMatch(/trains? at |every rate up to/);
  expect(people.stdout).toContain("--set optimizer.adamw.lr");
});

test("batch: the noise of the gradient, in rows and tokens", async () => {
  const { code, records } = await runCli(
    ["tune", "batch", recipe, "--after", "5", "--rounds", "4", "--json"],
    folder.path,
  );
  expect(code).toBe(0);
  const [found] = records as [Record<string, number> & { sizes: object }];
  expect(found).toMatchObject({ after: 5, pairs: 4, sizes: { small: 1, large: 8 }, itemsPerRow: 16 });
  expect(found.low).toBeLessThanOrEqual(found.scale!);
  const people = await runCli(["tune", "batch", recipe, "--after", "5", "--rounds", "4"], folder.path);
  expect(people.stdout).toMatch(/gradient noise scale after 5 steps: .* rows|more than can be told/);
});

test("optimizer: a ranking, each at its own rate, and a change of the recipe that repeats its first", async () => {
  const schedule = "optimizer.adamw.lr={ cosine: { peak: 1e-3, warmup: 2, floor: 1e-4 } }";
  const less = ["--set", "steps=8", "--set", "eval.every=8", "--set", schedule];
  const args = ["tune", "optimizer", recipe, ...less, "--optimizers", "momentum,adamw", "--seeds", "2", "--rates", "3"];
  const { code, records, stderr } = await runCli([...args, "--json"], folder.path);
  expect(code, stderr).toBe(0);
  const [found] = records as [
    { ranking: Ranked[]; steps: number; samples: number; seeds: number[]; tuningSeed: number },
  ];
  expect(found).toMatchObject({ steps: 8, samples: 64, seeds: [8, 9], tuningSeed: 7 });
  expect(found.ranking.map(({ name }) => name).sort()).toEqual(["adamw", "momentum"]);
  const [first, second] = found.ranking as [Ranked, Ranked];
  expect(first.loss.mean).toBeCloseTo((first.losses[0]! + first.losses[1]!) / 2, 12);
  expect(second.behind!.mean).toBeCloseTo(second.loss.mean - first.loss.mean, 12);
  expect(second.behind!.mean).toBeGreaterThanOrEqual(0);
  for (const { name, change, rate, tried } of found.ranking) {
    expect(rate).toBe(tried.reduce((best, one) => (one.loss < best.loss ? one : best)).rate);
    const { sgd, adamw } = JSON.parse(change.replace("optimizer=", ""));
    const { lr, ...settings } = sgd ?? adamw;
    expect(lr.cosine).toEqual({ peak: rate, warmup: 2, floor: Number((rate / 10).toPrecision(6)), unit: "steps" });
    expect(settings).toEqual(name === "momentum" ? { clip: 1, momentum: 0.9 } : { clip: 1 });
  }
  const again = ["train", recipe, ...less, "--set", first.change, "--set", "seed=8", "--json"];
  const trained = (await runCli(again, folder.path)).records.find(({ event }) => event === "eval")!;
  expect(trained.loss).toBeCloseTo(first.losses[0]!, 6);

  const people = await runCli(args, folder.path);
  expect(people.stdout).toMatch(/^optimizer +rate +tried +held-out loss +above the first$/m);
  expect(people.stdout).toContain(`--set '${first.change}'`);
});

test("batch --sizes: the same samples in batches of several sizes, by samples seen", async () => {
  const args = ["tune", "batch", recipe, "--sizes", "2,8", "--samples", "32", "--seeds", "2"];
  const { code, stdout, records } = await runCli([...args, "--json"], folder.path);
  expect(code, stdout).toBe(0);
  const [found] = records as unknown as [
    { samples: number; seeds: number[]; compared: { losses: { count: number }[] }[] },
  ];
  expect(found).toMatchObject({
    samples: 32,
    seeds: [7, 8],
    compared: [
      { size: 2, steps: 16 },
      { size: 8, steps: 4 },
    ],
  });
  for (const { losses } of found.compared) expect(losses.map(({ count }) => count)).toEqual([2, 2, 2, 2]);
  const people = await runCli(args, folder.path);
  expect(people.stdout).toMatch(/^ +rows of a step +updates +8 +16 +24 +32$/m);
});

interface Ranked {
  readonly name: string;
  readonly rate: number;
  readonly tried: { readonly rate: number; readonly loss: number }[];
  readonly losses: number[];
  readonly loss: { readonly mean: number };
  readonly behind?: { readonly mean: number };
  readonly change: string;
}

test.each([
  [["tune", "lr"], "no recipe is named"],
  [["tune", "lr", "recipe", "--from", "10", "--to", "1"], "0 < from < to"],
  [["tune", "lr", "recipe", "--to", "0", "--set", "data.path=nowhere.txt"], "0 < from < to"], // before the data is looked for
  [["tune", "batch", "recipe", "--rounds", "1", "--set", "data.path=nowhere.txt"], "two pairs or more"],
  [["tune", "lr", "recipe", "--steps", "x"], "--steps is not a positive whole number"],
  [["tune", "batch", "recipe", "--set", "batch.size=1", "--set", "batch.lanes=1"], "1 <= small < large"],
  [["tune", "batch", "recipe", "--rounds", "1"], "two pairs or more"],
  [["tune", "optimizer", "recipe", "--optimizers", "adan,adamm"], "did you mean adam"],
  [["tune", "batch", "recipe", "--sizes", "3,8", "--samples", "32"], "sizes that all divide the number of samples"],
  [["tune", "optimizer", "recipe", "--rates", "2"], "3 rates or more"],
  [["tune", "optimizer", "recipe", "--set", "optimizer.adamw.lr={ plateau: { peak: 1e-3 } }"], "known before the run"],
  [["tune", "rate"], "unknown command 'rate'"],
])("%s is refused", async (args, message) => {
  const { code, stderr } = await runCli(
    args.map((word) => (word === "recipe" ? recipe : word)),
    folder.path,
  );
  expect(stderr).toContain(message);
  expect(code).toBe(2);
});

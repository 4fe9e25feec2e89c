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

test.each([
  [["tune", "lr"], "missing required argument 'recipe'"],
  [["tune", "lr", "recipe", "--from", "10", "--to", "1"], "0 < from < to"],
  [["tune", "lr", "recipe", "--steps", "x"], "--steps is not a number"],
  [["tune", "batch", "recipe", "--set", "batch.size=1", "--set", "batch.lanes=1"], "1 <= small < large"],
  [["tune", "batch", "recipe", "--rounds", "1"], "two pairs or more"],
  [["tune", "rate"], "unknown command 'rate'"],
])("%s is refused", async (args, message) => {
  const { code, stderr } = await runCli(
    args.map((word) => (word === "recipe" ? recipe : word)),
    folder.path,
  );
  expect(stderr).toContain(message);
  expect(code).toBe(2);
});

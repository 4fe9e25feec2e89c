// What a search is asked for: one schema for study files, flags and programs; and what follows from it for a recipe.
import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { z } from "zod";
import { AthanorError, fail, parseConfig } from "../../base/index.ts";
import { parseOptimizer } from "../../optim/index.ts";
import { forkKeys, type Recipe, readRecipe, yaml } from "../../recipe/index.ts";
import { population } from "./population.ts";
import { gridSampler, randomSampler, type Sampler } from "./sampler.ts";
import { asha, halving, rungsOf, type Scheduler } from "./scheduler.ts";
import { changesOf, combinations, edgesOf, type Point, parseSpace, type Space } from "./space.ts";
import { tpeSampler } from "./tpe.ts";

const positive = z.number().int().positive();

export const planSchema = z.strictObject({
  recipe: z.string().min(1).describe("recipe file; in a study file relative to it"),
  set: z.array(z.string()).default([]).describe("changes of the recipe, as --set takes them"),
  over: z
    .record(z.string(), z.union([z.string(), z.array(z.json())]))
    .describe("settings to try, each with values or a range: [64, 128], 0.0..0.5, 16..64, log:1e-4..1e-1"),
  sampler: z.enum(["tpe", "random", "grid"]).default("tpe").describe("where new trials look"),
  scheduler: z
    .enum(["none", "halving", "asha", "population"])
    .default("none")
    .describe(
      "none: every trial runs whole; halving, asha: only the best of every eta go on; population: forks of the best",
    ),
  trials: positive.optional().describe("trials with settings of their own; left out, 20, or the whole grid"),
  metric: z
    .string()
    .min(1)
    .default("loss")
    .describe("held-out figure to judge by: loss, perplexity, or a metric such as accuracy"),
  goal: z
    .enum(["min", "max"])
    .optional()
    .describe("left out, min for losses and errors, max for accuracy and its like"),
  eta: z.number().min(2).default(3).describe("halving, asha: one of so many goes on, to so many times the steps"),
  minSteps: positive
    .optional()
    .describe(
      "halving, asha: no trial is judged before; population: steps between comparisons, left out a tenth of all",
    ),
  parallel: positive.max(64).default(1).describe("trials at a time; they share the threads"),
  seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(1).describe("of the search itself"),
});

/** A validated search, every default filled in. */
export type SearchPlan = z.output<typeof planSchema>;
export type SearchPlanInput = z.input<typeof planSchema>;

/** A study file, which names its recipe, or a recipe; with what flags say instead. Errors with `config/*`. */
export async function readPlan(path: string, flags: Partial<SearchPlanInput>): Promise<SearchPlan> {
  const file = (await readStudy(path)) ?? { recipe: resolve(path) };
  const { set = [], over = {}, ...rest } = flags;
  const merged = { ...file, ...rest, set: [...(file.set ?? []), ...set], over: { ...file.over, ...over } };
  return parseConfig(planSchema, merged, path);
}

/** The settings of a study file, or `undefined` where the file is something else: a recipe, which has faults of its own. */
async function readStudy(path: string): Promise<Partial<SearchPlanInput> | undefined> {
  if (!/\.(ya?ml|json)$/.test(path)) return undefined;
  const document = yaml().parseDocument(await readFile(path, "utf8").catch(() => ""));
  const value: unknown = document.errors.length > 0 ? undefined : document.toJS();
  if (typeof value !== "object" || value === null || !("recipe" in value)) return undefined;
  const { recipe } = value;
  return {
    ...(value as Partial<SearchPlanInput>),
    ...(typeof recipe === "string" ? { recipe: resolve(dirname(path), recipe) } : {}),
  };
}

/** A search made ready: the parts that decide. */
export interface Search {
  readonly plan: SearchPlan;
  readonly space: Space;
  readonly goal: "min" | "max";
  readonly steps: number;
  readonly scheduler: Scheduler;
  /** The recipe of a point. Errors with `config/*`. */
  readonly recipeAt: (point: Point) => Promise<Recipe>;
  /** The first point, or the space's first corner: what stands for all trials. */
  readonly first: Recipe;
}

/** Metrics of which more is better, by their names in src/metrics. */
const rising = /accuracy|precision|recall|^f\d|fBeta|area$|rSquared|correlation|kappa/i;

/**
 * Builds samplers and schedulers, and checks points as whole recipes before any trial: all of them where they are known,
 * the edges of the space where they are not. Errors with `config/*`.
 */
export async function makeSearch(plan: SearchPlan, cwd: string): Promise<Search> {
  const space = parseSpace(plan.over);
  const { seed, parallel, eta, metric } = plan;
  const sampler = {
    grid: () => gridSampler(space),
    random: () => randomSampler(space, seed),
    tpe: () => tpeSampler(space, seed),
  }[plan.sampler]();
  const count = plan.trials ?? sampler.size ?? 20;
  if (count > (sampler.size ?? count))
    fail("config/search", "the grid has fewer points than trials are asked for", {
      where: "trials",
      expected: `at most ${sampler.size}`,
      got: String(count),
      fix: "leave --trials out, or give more values",
    });
  const recipeAt = (point: Point) => readRecipe(plan.recipe, { set: [...plan.set, ...changesOf(point)], cwd });
  const recipes = await checkPoints(pointsToCheck(space, sampler, count), recipeAt, plan.recipe);
  const [first] = recipes as [Recipe];
  const { steps } = first;
  if (recipes.some((recipe) => recipe.steps !== steps))
    fail("config/search", "trials of different length cannot be compared step by step", {
      where: "over steps",
      expected: "the same steps in every trial",
      got: [...new Set(recipes.map((recipe) => recipe.steps))].join(", "),
      fix: "take steps out of the search",
    });
  requireJudgeable(first, plan);
  const goal = plan.goal ?? (rising.test(metric) ? "max" : "min");
  const options = { sampler, count, steps, goal, parallel };
  const least = plan.minSteps ?? Math.round(steps / eta ** Math.floor(Math.log(count) / Math.log(eta) + 1e-9));
  const rungs = rungsOf(steps, least, eta);
  const scheduler = {
    none: () => halving([steps], eta, options),
    halving: () => halving(rungs, eta, options),
    asha: () => asha(rungs, eta, options),
    population: () =>
      population({ ...options, space, seed, interval: plan.minSteps ?? Math.max(1, Math.ceil(steps / 10)) }),
  }[plan.scheduler]();
  return { plan, space, goal, steps, scheduler, recipeAt, first };
}

/** A trial needs data on disk, a held-out figure, and for a population something to change. */
function requireJudgeable(recipe: Recipe, { scheduler, over, recipe: path }: SearchPlan): void {
  const refuse = (what: string, where: string, expected: string, got: string, fix: string) =>
    fail("config/search", what, { where, expected, got, fix });
  if (recipe.data.path === undefined)
    refuse(
      "trials are processes of their own, and data in memory is none of theirs",
      path,
      "data.path",
      "data.rows",
      "write the data to a file",
    );
  if (recipe.eval.every === 0)
    refuse(
      "trials are judged on held-out data, and this recipe evaluates nothing",
      "eval.every",
      "1 or more",
      "0",
      "give --set eval.every=250",
    );
  if (recipe.steps === 0) refuse("there is no step to learn in", "steps", "1 or more", "0", "give --set steps=1000");
  if (scheduler === "population" && !Object.keys(over).some((key) => forkKeys.test(key)))
    refuse(
      "a population changes settings of runs under way, and none of these can change there",
      "over",
      "a setting of optimizer or loss, or a dropout",
      Object.keys(over).join(", "),
      "add one, or choose --scheduler halving",
    );
}

const mostCorners = 512;

function pointsToCheck(space: Space, sampler: Sampler, count: number): Point[] {
  if (sampler.isFixed) return Array.from({ length: count }, (_, trial) => sampler.suggest(trial, []));
  const edges = new Map([...space].map(([key, domain]) => [key, edgesOf(domain)]));
  const corners = [...edges.values()].reduce((product, { length }) => product * length, 1);
  if (corners <= mostCorners) return [...combinations(edges)];
  // too many: each edge by itself, beside the first ones of the others
  const base = Object.fromEntries([...edges].map(([key, [value]]) => [key, value!]));
  return [...edges].flatMap(([key, values]) => values.map((value) => ({ ...base, [key]: value })));
}

async function checkPoints(
  points: readonly Point[],
  recipeAt: (point: Point) => Promise<Recipe>,
  where: string,
): Promise<Recipe[]> {
  const recipes: Recipe[] = [];
  const faults: string[] = [];
  for (const point of points) {
    try {
      const recipe = await recipeAt(point);
      parseOptimizer(recipe.optimizer, { steps: recipe.steps });
      recipes.push(recipe);
    } catch (error) {
      if (!(error instanceof AthanorError)) throw error;
      if (["config/read", "config/syntax", "config/set"].includes(error.code)) throw error; // of the recipe, not of a point
      faults.push(`${changesOf(point).join(" ")}\n  ${(error.got ?? error.what).replaceAll("\n", "\n  ")}`);
    }
  }
  if (faults.length === 0) return recipes;
  const shown = faults.slice(0, 4);
  return fail("config/search", `${faults.length} of ${points.length} points that were looked at are no valid recipes`, {
    where,
    expected: "a valid recipe at every point of the search",
    got: [...shown, ...(faults.length > shown.length ? [`and ${faults.length - shown.length} more`] : [])].join("\n"),
    fix: "mend --over; nothing has been started",
  });
}

// A search: trials of one recipe under other settings, each a run of its own, told in a journal. What runs next, the scheduler
// says from the journal alone; this is the loop around it.
import { randomInt } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, extname, join, resolve } from "node:path";
import { findRun } from "../../api/index.ts";
import { AthanorError, didYouMean, fail } from "../../base/index.ts";
import { findCheckpoints, lockRun } from "../../checkpoint/index.ts";
import { prepare, type Recipe, readRecipe, recipeJson, recipeSettings, yaml } from "../../recipe/index.ts";
import { makeFolders, readRun, requireFree, runName } from "../../track/index.ts";
import { figureNames, StepGraphs } from "../../train/index.ts";
import { forkRun } from "./fork.ts";
import { Journal, type JournalHead, journalName } from "./journal.ts";
import { makeSearch, type Search, type SearchPlan } from "./plan.ts";
import { searchPage } from "./search-page.ts";
import { runPiece, waitForFree } from "./trial-run.ts";
import { type Job, leader, type Trial, type TrialEvent, withEvent } from "./trials.ts";

export interface SearchOptions {
  /** The program of the command line, `bin/athanor.mjs`: trials are processes of it. */
  readonly program: string;
  /** Default: a new folder under `runs`. */
  readonly folder?: string;
  /** Folder that paths in changes are relative to; default the working folder. */
  readonly cwd?: string;
  /** Lets the trials under way save, and ends the search; it can be gone on with. */
  readonly signal?: AbortSignal;
  readonly onEvent?: (event: TrialEvent, trials: readonly Trial[]) => void;
}

export interface SearchOutcome {
  readonly folder: string;
  readonly ending: "finished" | "interrupted";
  readonly search: Search;
  readonly trials: readonly Trial[];
  /** The best of the trials that got furthest; not there while no trial got anywhere. */
  readonly best?: Trial;
}

/** Starts a search. Everything that can be refused is refused before there is a folder. Errors with `config/*`, `data/*`, `run/exists`. */
export async function runSearch(plan: SearchPlan, options: SearchOptions): Promise<SearchOutcome> {
  const { cwd = process.cwd() } = options;
  const search = await makeSearch(plan, cwd);
  const folder = resolve(options.folder ?? join("runs", searchName(plan)));
  await requireFree(folder);
  const { description, close } = await prepare(search.first); // data and model as the first trial will find them
  await close?.();
  requireFigure(plan.metric, figureNames(new StepGraphs(description)));
  await makeFolders(folder);
  const lock = await lockRun(folder);
  try {
    const head: JournalHead = { at: new Date().toISOString(), plan, cwd, first: recipeJson(search.first) };
    const journal = await Journal.create(join(folder, journalName), head);
    try {
      return await new Study(folder, search, journal, options).run();
    } finally {
      await journal.close();
    }
  } finally {
    await lock.release();
  }
}

/** Goes on with a search that was stopped or killed. Errors with `search/*`, `resume/recipe`, `run/locked`, `path/missing`. */
export async function resumeSearch(
  folder: string,
  options: Omit<SearchOptions, "folder" | "cwd">,
): Promise<SearchOutcome> {
  const path = resolve(await findRun(folder));
  const lock = await lockRun(path); // before the journal: another search may be writing it
  try {
    const journal = await Journal.open(join(path, journalName));
    try {
      const { plan, cwd, first } = journal.head;
      const search = await makeSearch(plan, cwd);
      requireSameRecipe(first, search.first, path);
      return await new Study(path, search, journal, options).run();
    } finally {
      await journal.close();
    }
  } finally {
    await lock.release();
  }
}

/** Errors with `config/metric` for a figure that no trial will tell. */
function requireFigure(metric: string, known: readonly string[]): void {
  if (known.includes(metric)) return;
  const near = didYouMean(metric, known);
  fail("config/metric", "the trials will have no such figure", {
    where: "metric",
    expected: known.join(", "),
    got: metric,
    fix: near === undefined ? "name one of them: --metric" : `did you mean ${near}?`,
  });
}

function searchName({ recipe }: SearchPlan): string {
  return runName(`search-${basename(recipe, extname(recipe))}`, new Date(), randomInt(2 ** 32) / 2 ** 32);
}

function requireSameRecipe(earlier: unknown, now: Recipe, where: string): void {
  const [before, after] = [recipeSettings(earlier), recipeSettings(recipeJson(now))];
  const keys = [...new Set([...before.keys(), ...after.keys()])].filter((key) => before.get(key) !== after.get(key));
  if (keys.length === 0) return;
  fail("resume/recipe", "the recipe is not the one that this search was started with", {
    where,
    expected: "the same settings",
    got: keys.map((key) => `${key}: ${before.get(key) ?? "(unset)"} → ${after.get(key) ?? "(unset)"}`).join("\n"),
    fix: "undo these changes, or start a new search",
  });
}

class Study {
  private readonly folder: string;
  private readonly search: Search;
  private readonly journal: Journal;
  private readonly options: SearchOptions;
  private readonly running = new Map<number, Promise<void>>();
  private trials: readonly Trial[];
  /** What ends the search itself. */
  private fault: unknown;

  constructor(folder: string, search: Search, journal: Journal, options: SearchOptions) {
    this.folder = folder;
    this.search = search;
    this.journal = journal;
    this.options = options;
    this.trials = journal.events.reduce(withEvent, [] as readonly Trial[]);
  }

  async run(): Promise<SearchOutcome> {
    const { signal } = this.options;
    await mkdir(join(this.folder, "trials"), { recursive: true });
    try {
      // what an earlier process was at, before anything new: the order of the journal is the order of the work
      for (const { until, ...trial } of this.trials) if (until !== undefined) await this.launch({ ...trial, until });
      for (;;) {
        while (this.running.size < this.search.plan.parallel && signal?.aborted !== true && this.fault === undefined) {
          const job = this.search.scheduler.next(this.trials);
          if (job === undefined) break;
          await this.tell({ event: "start", ...job });
          await this.launch(job);
        }
        if (this.running.size === 0) break;
        await Promise.race(this.running.values());
      }
    } finally {
      await Promise.allSettled(this.running.values());
    }
    if (this.fault !== undefined) throw this.fault;
    return await this.conclude();
  }

  private async conclude(): Promise<SearchOutcome> {
    const { folder, search, trials } = this;
    const best = leader(trials, search.goal);
    const ending = this.options.signal?.aborted === true ? "interrupted" : "finished";
    await writeFile(join(folder, "report.html"), searchPage(search, trials));
    if (best !== undefined)
      await writeFile(join(folder, "best.yaml"), yaml().stringify(recipeJson(await search.recipeAt(best.point))));
    else if (ending === "finished") failWithout(trials, folder);
    return { folder, ending, search, trials, ...(best === undefined ? {} : { best }) };
  }

  private async tell(event: TrialEvent): Promise<void> {
    await this.journal.append(event);
    this.trials = withEvent(this.trials, event);
    this.options.onEvent?.(event, this.trials);
  }

  /** Starts a trial's next piece; returns once its run stands where it is to begin. */
  private async launch(job: Job): Promise<void> {
    const { trial, until } = job;
    const folder = trialFolder(this.folder, trial);
    await waitForFree(folder);
    const recipe = `${folder}.json`;
    try {
      await this.writeRecipe(recipe, job);
      if (job.parent !== undefined) await this.fork(folder, job.parent, recipe);
    } catch (error) {
      if (!(error instanceof AthanorError)) throw error;
      await this.tell({ event: "fail", trial, code: error.code, message: error.what });
      return;
    }
    const { program, signal } = this.options;
    const work = runPiece({ program, folder, recipe, until, metric: this.search.plan.metric, signal })
      .then(async (result) => {
        if (result.ending === "reached") await this.tell({ event: "report", trial, ...result.report });
        if (result.ending === "failed")
          await this.tell({ event: "fail", trial, code: result.code, message: result.message });
      })
      .catch((error: unknown) => {
        this.fault ??= error;
      })
      .finally(() => this.running.delete(trial));
    this.running.set(trial, work);
  }

  /** What the trial's process reads: the recipe of its point, with its share of the threads. */
  private async writeRecipe(path: string, { trial }: Job): Promise<void> {
    const { plan, recipeAt } = this.search;
    const recipe = await recipeAt(this.trials[trial]!.point);
    const { threads } = recipe.engine;
    const all = threads === "auto" ? availableParallelism() : threads;
    const share = plan.parallel === 1 ? threads : Math.max(1, Math.floor(all / plan.parallel));
    const own = { ...recipe, engine: { ...recipe.engine, threads: share } };
    await writeFile(path, JSON.stringify(recipeJson(own), null, 1));
  }

  /** Makes a fork's run, unless an earlier process has; one that it only began is made again. */
  private async fork(folder: string, parent: NonNullable<Job["parent"]>, recipe: string): Promise<void> {
    const made = await readRun(folder).catch(() => undefined);
    if (made?.record.forked !== undefined) return;
    await rm(folder, { recursive: true, force: true });
    const run = trialFolder(this.folder, parent.trial);
    const checkpoint = (await findCheckpoints(run)).findLast(({ step }) => step === parent.step);
    if (checkpoint === undefined)
      fail("search/fork", "the state that the fork was to begin with is gone", {
        where: run,
        expected: `a checkpoint of step ${parent.step}`,
        got: "none",
        fix: "set checkpoint.keep higher, and start the search anew",
      });
    await forkRun(folder, { run, checkpoint: checkpoint.path, recipe: await readRecipe(recipe) });
  }
}

/** The run folder of a trial: `trials/0007`. */
export function trialFolder(folder: string, trial: number): string {
  return join(folder, "trials", String(trial).padStart(4, "0"));
}

function failWithout(trials: readonly Trial[], where: string): never {
  const failures = trials.flatMap(({ trial, failure }) =>
    failure === undefined ? [] : `trial ${trial}: ${failure.code}: ${failure.message}`,
  );
  return fail("search/no-trial", "no trial got anywhere", {
    where,
    expected: "a trial that trains",
    got: [...failures.slice(0, 5), ...(failures.length > 5 ? [`and ${failures.length - 5} more`] : [])].join("\n"),
    fix: "mend what they tell, or narrow the search: a learning rate that is too high ends like this",
  });
}

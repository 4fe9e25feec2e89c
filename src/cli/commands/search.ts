// athanor search: many short runs of a recipe under other settings, and the best of them.
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { Option } from "commander";
import pc from "picocolors";
import { fail, formatDuration, shellWord } from "../../base/index.ts";
import {
  changesOf,
  parseOver,
  rankTrials,
  readPlan,
  resumeSearch,
  runSearch,
  type SearchOptions,
  type SearchOutcome,
  type SearchPlanInput,
  type SearchTrial,
  type TrialEvent,
  trialFolder,
} from "../../study/index.ts";
import { type CommandContext, type DefineCommand, packageRoot } from "../command.ts";
import { numberOption, pathOption, wholeOption } from "../options.ts";
import { exitCodes, stoppedCode } from "../output.ts";
import { collect } from "../recipe-options.ts";

type PlanFlags = Pick<
  SearchPlanInput,
  "sampler" | "scheduler" | "trials" | "metric" | "goal" | "eta" | "minSteps" | "parallel" | "seed" | "set"
>;

interface SearchFlags extends PlanFlags {
  readonly over?: readonly string[];
  readonly dir?: string;
  readonly resume?: string;
}

export const defineSearch: DefineCommand = (program, run) => {
  program
    .command("search")
    .description("try settings of a recipe in many runs, and find the best")
    .argument("[recipe]", "recipe file, or a study file that names one and what to try")
    .option(
      "--over <key=values>",
      "what to try, such as optimizer.adamw.lr=log:1e-4..1e-1 or batch.size=16,32 (repeatable)",
      collect,
    )
    .option("--set <key=value>", "change a setting of all trials (repeatable)", collect)
    .addOption(new Option("--sampler <name>", "where to look (default: tpe)").choices(["tpe", "random", "grid"]))
    .addOption(
      new Option("--scheduler <name>", "who goes on (default: none)").choices([
        "none",
        "halving",
        "asha",
        "population",
      ]),
    )
    .option("--trials <n>", "trials with settings of their own (default: 20)", wholeOption("--trials"))
    .option("--metric <name>", "held-out figure to judge by, such as accuracy (default: loss)")
    .addOption(new Option("--goal <way>", "whether less or more of it is better").choices(["min", "max"]))
    .option("--eta <n>", "halving: one of so many goes on (default: 3)", numberOption("--eta"))
    .option(
      "--min-steps <n>",
      "no trial is judged before; population: steps between comparisons",
      wholeOption("--min-steps"),
    )
    .option("--parallel <n>", "trials at a time (default: 1)", wholeOption("--parallel", 64))
    .option("--seed <n>", "of the search (default: 1)", numberOption("--seed"))
    .option("--dir <folder>", "folder of the search (default: a new one under runs/)", pathOption("--dir"))
    .option("--resume <folder>", "go on with a search that was stopped or killed", pathOption("--resume"))
    .addHelpText("after", "\nHow to choose among these: docs/search.md.")
    .action(run(search));
};

const trialProgram = fileURLToPath(new URL("bin/athanor.mjs", packageRoot));

async function search(context: CommandContext, path: string | undefined, flags: SearchFlags): Promise<number> {
  const { output, signal } = context;
  const onEvent = (event: TrialEvent, trials: readonly SearchTrial[]) => {
    output.record(event);
    const line = progress(event, trials);
    if (!output.json && line !== undefined) output.note(line);
  };
  signal.addEventListener("abort", () => output.note("stopping: the trials under way save and end"));
  const outcome = await start(path, flags, { program: trialProgram, signal, onEvent });
  const { trials, best, search: made } = outcome;
  const folder = relative("", outcome.folder) || ".";
  if (outcome.ending === "interrupted") {
    output.note(
      `${pc.yellow("stopped; everything is saved.")} Go on with:\n  npx athanor search --resume ${shellWord(folder)}`,
    );
    return stoppedCode(context.stoppedBy());
  }
  for (const line of table(outcome)) output.print(line);
  output.record({
    event: "end",
    folder: outcome.folder,
    trials: trials.length,
    best: best?.trial,
    ...last(best),
    point: best?.point,
  });
  const changes = [...made.plan.set, ...changesOf(best!.point)].map((change) => ` --set ${shellWord(change)}`);
  output.print(
    `\nbest: trial ${best!.trial}, ${made.plan.metric} ${format(last(best)?.value)}, in ${trialFolder(folder, best!.trial)}`,
  );
  output.print(`  npx athanor train ${shellWord(relative("", made.plan.recipe))}${changes.join("")}`);
  output.print(`written: ${join(folder, "best.yaml")}, ${join(folder, "report.html")}`);
  return exitCodes.done;
}

async function start(
  path: string | undefined,
  { over, dir, resume, ...flags }: SearchFlags,
  options: SearchOptions,
): Promise<SearchOutcome> {
  if (resume !== undefined) {
    if (path === undefined && dir === undefined && over === undefined && Object.keys(flags).length === 0)
      return await resumeSearch(resume, options);
    fail("cli/argument", "a search that goes on has its recipe and settings in its folder", {
      where: "--resume",
      expected: "--resume <folder> alone",
      got: "further arguments",
      fix: "leave them out, or start a new search without --resume",
    });
  }
  if (path === undefined)
    fail("cli/argument", "there is no recipe to search over", {
      where: "search",
      expected: "a recipe or a study file, or --resume <folder>",
      got: "neither",
      fix: "give one: npx athanor search recipe.yaml --over optimizer.adamw.lr=log:1e-4..1e-1",
    });
  const plan = await readPlan(path, { ...flags, ...(over && { over: Object.fromEntries(over.map(parseOver)) }) });
  return await runSearch(plan, { ...options, ...(dir === undefined ? {} : { folder: dir }) });
}

const last = (trial: SearchTrial | undefined) => trial?.reports.at(-1);
const format = (value: number | undefined): string => (value === undefined ? "" : value.toPrecision(5));

function progress(event: TrialEvent, trials: readonly SearchTrial[]): string | undefined {
  const { point } = trials[event.trial]!;
  if (event.event === "start")
    return (
      event.point &&
      `trial ${event.trial}${event.parent ? `, forked from ${event.parent.trial}` : ""}: ${changesOf(point).join(" ")}`
    );
  if (event.event === "fail") return pc.yellow(`trial ${event.trial} failed: ${event.code}: ${event.message}`);
  return `trial ${event.trial} at step ${event.step}: ${format(event.value)} after ${formatDuration(event.seconds)}`;
}

/** The trials, the best first. */
function table({ trials, search: { goal, space } }: SearchOutcome): string[] {
  const rows = rankTrials(trials, goal).map((trial) => [
    String(trial.trial),
    trial.failure === undefined ? "" : "failed",
    String(last(trial)?.step ?? 0),
    format(last(trial)?.value),
    formatDuration(last(trial)?.seconds ?? 0),
    ...[...space.keys()].map((key) => JSON.stringify(trial.point[key])),
  ]);
  const head = ["trial", "", "steps", "value", "time", ...space.keys()];
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => row[at]!.length)));
  const line = (row: readonly string[]) =>
    row
      .map((text, at) => text.padEnd(widths[at]!))
      .join("  ")
      .trimEnd();
  return [pc.bold(line(head)), ...rows.map(line)];
}

// athanor train: runs a recipe, shows how it goes, saves when stopped.
import pc from "picocolors";
import { measurePeak, renderReport, runTraining } from "../../api/index.ts";
import { formatBytes, formatCount, formatDuration, shellWord } from "../../base/index.ts";
import { modelFamily } from "../../models/index.ts";
import type { Recipe } from "../../recipe/index.ts";
import type { RunEvent } from "../../track/index.ts";
import { tellTrained } from "../../train/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { pathOption, wholeOption } from "../options.ts";
import { exitCodes, stoppedCode } from "../output.ts";
import { changesAgain, type RecipeOptions, recipeOf, withRecipe } from "../recipe-options.ts";
import { StatusLine } from "../status-line.ts";

interface TrainFlags extends RecipeOptions {
  readonly runDir?: string;
  readonly resume?: boolean;
  readonly initFrom?: string;
  readonly until?: number;
}

export const defineTrain: DefineCommand = (program, run) => {
  withRecipe(program.command("train").description("train a model from a recipe"))
    .option("--run-dir <folder>", "folder of the run (default: a new one under runs/)", pathOption("--run-dir"))
    .option("--resume", "go on from the newest good checkpoint of --run-dir")
    .option("--init-from <run>", "start from the weights of another run or checkpoint", pathOption("--init-from"))
    .option(
      "--until <step>",
      "pause there, evaluated and saved; the rest follows with --resume",
      wholeOption("--until"),
    )
    .action(run(train));
};

async function train(context: CommandContext, path: string, flags: TrainFlags): Promise<number> {
  const { output } = context;
  const recipe = await recipeOf(path, flags);
  const started = performance.now();
  let status: StatusLine | undefined;
  const show = async (event: RunEvent) => {
    output.record({ event: event.type, ...event, ...("metrics" in event ? event.metrics : {}) });
    if (event.type === "start") {
      context.signal.addEventListener("abort", () => {
        // a reader that went away ends the run too, with nobody to tell
        if (context.stoppedBy() !== undefined)
          say("stopping after this step and saving; once more to end now without saving");
      });
      output.note(
        `${formatCount(event.parameters)} parameters, planned peak ${formatBytes(event.peakBytes)}, engine ${event.engine}${event.step > 0 ? `, from step ${event.step}` : ""}`,
      );
      if (event.trained !== undefined) output.note(tellTrained(event.trained, event.parameters));
      status = new StatusLine({
        steps: recipe.steps,
        flopsPerStep: event.flopsPerStep,
        peakFlopsPerSecond: output.json ? undefined : await measurePeak(recipe),
        stream: process.stderr,
      });
    }
    status?.event(event);
  };
  const say = (text: string) => (status === undefined ? output.note(text) : status.line(text));
  const outcome = await runTraining(recipe, {
    ...(flags.runDir === undefined ? {} : { runDir: flags.runDir }),
    ...(flags.initFrom === undefined ? {} : { initFrom: flags.initFrom }),
    ...(flags.until === undefined ? {} : { until: flags.until }),
    resume: flags.resume ?? false,
    // read when there is something to save: until then Ctrl-C ends the command at once, also while it compiles
    get signal() {
      return context.signal;
    },
    onEvent: show,
    onNote: say,
  }).finally(() => status?.end());
  const { folder, step } = outcome;
  if (outcome.ending !== "finished") {
    const word = outcome.ending === "paused" ? "paused" : "stopped";
    output.note(
      `${pc.yellow(`${word} at step ${step}; everything is saved.`)} Go on with:\n  npx athanor train ${shellWord(path)} --run-dir ${shellWord(folder)} --resume${changesAgain(flags)}`,
    );
    return outcome.ending === "paused" ? exitCodes.done : stoppedCode(context.stoppedBy());
  }
  const seconds = (performance.now() - started) / 1000;
  output.print(`${pc.green("done")} in ${formatDuration(seconds)}: ${folder}`);
  if (outcome.reason !== undefined && outcome.reason !== "steps") output.print(endings[outcome.reason](step));
  output.print(
    `${Number.isNaN(outcome.loss) ? "no step was made" : `loss ${outcome.loss.toFixed(4)}`}${outcome.evalLoss === undefined ? "" : `, held-out ${outcome.evalLoss.toFixed(4)}`}\nhash ${outcome.hash}`,
  );
  if (!Number.isNaN(outcome.stall))
    output.print(`steps waited for data ${(100 * outcome.stall).toFixed(1)} % of their time`);
  if (outcome.report !== undefined) {
    output.record({ event: "report", ...outcome.report });
    output.print(`\n${renderReport(outcome.report)}`);
  }
  const others = (flags.set ?? []).filter((change) => !/^data\.path\s*=/.test(change)); // the hint changes it
  output.print(nextCommands(`${shellWord(path)}${changesAgain({ set: others })}`, outcome, recipe));
  return exitCodes.done;
}

/** Why a run ended before its steps were done. */
const endings = {
  tolerance: (step: number) => `ended at step ${step}: the gradient's norm is within stop.tolerance`,
  patience: (step: number) =>
    `ended early, eval.patience being spent, with the state of its best evaluation (now at step ${step})`,
  time: (step: number) => `ended at step ${step}: stop.minutes are over`,
};

/** Three things worth trying with a finished run of a recipe, named with its changes. */
function nextCommands(named: string, { folder }: { folder: string }, { model, samples, data, loss }: Recipe): string {
  const run = shellWord(folder);
  const isScorer = loss?.bradleyTerry !== undefined || data.task !== undefined;
  const writesText =
    !isScorer && Object.keys(model).some((family) => modelFamily(family).tasks.includes("language-model"));
  // one of ours might have a character that the data has not
  const prompt = samples?.prompt.trim() ?? (data.chat === undefined ? "" : "Hello");
  const asked = data.chat === undefined ? "" : " --chat";
  const use = writesText
    ? `npx athanor generate ${run}${asked}${prompt === "" ? "" : ` --prompt ${shellWord(prompt)}`}`
    : `npx athanor predict ${run} YOUR-ROWS`;
  return [
    "\ntry next:",
    `  ${use}`,
    `  npx athanor eval ${run}`,
    `  npx athanor train ${named} --set data.path=YOUR-DATA`,
  ].join("\n");
}

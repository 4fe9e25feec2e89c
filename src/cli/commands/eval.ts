// athanor eval: the held-out loss of a trained model, or what a task in a file says of a model.
import { readFile } from "node:fs/promises";
import { evaluateRun, load, readLabelledTask } from "../../api/index.ts";
import { fail } from "../../base/index.ts";
import { parseTask } from "../../eval/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { rawHelp, wholeOption } from "../options.ts";
import { collect, type RecipeOptions } from "../recipe-options.ts";

export const defineEval: DefineCommand = (program, run) => {
  program
    .command("eval")
    .description("evaluate a run's newest checkpoint on its held-out data, or a model on a task")
    .argument("<run>", "folder of a run; with --task, of a saved model too")
    .option(
      "--task <file>",
      "JSON lines of { question, choices, answer }, { prompt, answer } or { text }; questions about texts, or labelled words",
    )
    .option("--batch <n>", "rows of a task scored at once; changes no score", wholeOption("--batch"))
    .option("--stride <n>", "tokens from window to window over a text", wholeOption("--stride"))
    .option("--set <key=value>", "change a setting, such as data.path=other.txt (repeatable)", collect)
    .option("--raw", rawHelp)
    .action(run(evaluate));
};

interface EvalFlags extends RecipeOptions {
  readonly raw?: boolean;
  readonly task?: string;
  readonly batch?: number;
  readonly stride?: number;
}

async function evaluate(context: CommandContext, folder: string, flags: EvalFlags): Promise<undefined> {
  const { output } = context;
  const { set = [], raw } = flags;
  if (flags.task !== undefined) return await evaluateTask(context, folder, flags.task, flags);
  const options = { set, weights: raw ? "raw" : "averaged", onNote: output.note } as const;
  const { step, loss, perplexity, metrics, count } = await evaluateRun(folder, options);
  output.record({ type: "eval", step, loss, perplexity, count, ...metrics });
  output.print(
    `step ${step}: loss ${loss.toFixed(4)}${perplexity === undefined ? "" : `, perplexity ${perplexity.toFixed(3)}`}, over ${count.toLocaleString("en")} items`,
  );
  for (const [name, value] of Object.entries(metrics)) output.print(`${name} ${value.toFixed(4)}`);
  return undefined;
}

async function evaluateTask(
  { output }: CommandContext,
  folder: string,
  file: string,
  flags: EvalFlags,
): Promise<undefined> {
  const { batch, stride, raw } = flags;
  const model = await load(folder, { weights: raw ? "raw" : "averaged", onNote: output.note });
  const task = (await readLabelledTask(file, model.description.task)) ?? parseTask(await readText(file), file);
  const figures = await model.evaluateOn(task, {
    ...(batch === undefined ? {} : { batch }),
    ...(stride === undefined ? {} : { stride }),
  });
  output.record({ type: "task", task: file, kind: task.kind, ...figures });
  for (const [name, value] of Object.entries(figures))
    output.print(`${name} ${Number.isInteger(value) ? value.toLocaleString("en") : value.toFixed(4)}`);
  return undefined;
}

async function readText(file: string): Promise<string> {
  return await readFile(file, "utf8").catch((error: Error) =>
    fail("path/missing", "the task cannot be read", {
      where: "--task",
      expected: "a file of JSON lines",
      got: error.message,
      fix: "give the path of a file that is there",
    }),
  );
}

// athanor eval: the held-out loss of a trained model, or what a task in a file says of a model.
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import { evaluateRun, heldOutTask, isOfColumns, load, taskOfFile } from "../../api/index.ts";
import { fail, shellWord } from "../../base/index.ts";
import { parseTask } from "../../eval/index.ts";
import { type BleuTokenization, bleuTokenizations } from "../../metrics/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { adapterHelp, choiceOption, numberOption, pathOption, rawHelp, refuseUnused, wholeOption } from "../options.ts";
import { collect, type RecipeOptions } from "../recipe-options.ts";

export const defineEval: DefineCommand = (program, run) => {
  program
    .command("eval")
    .description("evaluate a run's newest checkpoint on its held-out data, or a model on a task")
    .argument("<run>", "folder of a run; with --task, of a saved model too")
    .option(
      "--task <file>",
      `JSON lines of { question, choices, answer }, { prompt, answer } or { text }; questions about texts, labelled words, pairs of texts, texts with numbers, or ${heldOut}`,
    )
    .option("--batch <n>", "rows of a task scored at once; changes no score", wholeOption("--batch"))
    .option("--stride <n>", "tokens from window to window over a text", wholeOption("--stride"))
    .option("--beams <n>", "pairs: sequences followed at once", wholeOption("--beams"), 1)
    .option("--length-penalty <p>", "pairs: more favours longer texts", numberOption("--length-penalty"), 1)
    .option("--tokenization <name>", "pairs: words of BLEU", choiceOption("--tokenization", bleuTokenizations))
    .option("--set <key=value>", "change a setting, such as data.path=other.txt (repeatable)", collect)
    .option("--adapter <folder>", `with --task: ${adapterHelp}`, pathOption("--adapter"))
    .option("--raw", rawHelp)
    .action(run(evaluate));
};

/** In place of a file: the rows that the run held out. */
const heldOut = "held-out";

const ofTasks = ["batch", "stride", "beams", "lengthPenalty", "tokenization", "adapter"];

interface EvalFlags extends RecipeOptions {
  readonly raw?: boolean;
  readonly adapter?: string;
  readonly task?: string;
  readonly batch?: number;
  readonly stride?: number;
  readonly beams: number;
  readonly lengthPenalty: number;
  readonly tokenization?: BleuTokenization;
}

async function evaluate(
  context: CommandContext,
  folder: string,
  flags: EvalFlags,
  command: Command,
): Promise<undefined> {
  const { output } = context;
  const { set = [], raw } = flags;
  if (flags.task !== undefined) return await evaluateTask(context, folder, flags.task, flags, command);
  refuseUnused(command, ofTasks, "there is no --task");
  const options = { set, weights: raw ? "raw" : "averaged", onNote: output.note } as const;
  const { step, loss, perplexity, metrics, count, unit } = await evaluateRun(folder, options);
  output.record({ type: "eval", step, loss, perplexity, count, unit, ...metrics });
  output.print(
    `step ${step}: loss ${loss.toFixed(4)}${perplexity === undefined ? "" : `, perplexity ${perplexity.toFixed(3)}`}, over ${count.toLocaleString("en")} ${unit}`,
  );
  for (const [name, value] of Object.entries(metrics)) output.print(`${name} ${value.toFixed(4)}`);
  return undefined;
}

async function evaluateTask(
  { output }: CommandContext,
  folder: string,
  file: string,
  flags: EvalFlags,
  command: Command,
): Promise<undefined> {
  const { batch, stride, tokenization, adapter, raw, set = [], beams, lengthPenalty } = flags;
  const model = await load(folder, { adapter, weights: raw ? "raw" : "averaged", onNote: output.note });
  const kind = model.description.task;
  if (kind === "classification" || model.encoder !== undefined)
    fail("model/task", "a task in a file is for models of texts that do not only name a class", {
      where: folder,
      expected:
        "a language model, or one that makes texts or vectors, answers, labels words, chooses or tells a number",
      got: model.encoder === undefined ? `a model for ${kind}` : "a model of tables",
      fix: `npx athanor eval ${shellWord(folder)}${file === heldOut ? "" : ` --set data.heldOutPath=${shellWord(file)}`}, on rows like those it was trained on`,
    });
  if (kind !== "sequence-to-sequence")
    refuseUnused(command, ["beams", "lengthPenalty", "tokenization"], "this model writes no texts from texts");
  if (!isOfColumns(kind) && file !== heldOut) refuseUnused(command, ["set"], "a task is run on the model as it is");
  const readTask = async () => {
    if (file === heldOut) return await heldOutTask(folder, { set, onNote: output.note });
    return (await taskOfFile(folder, file, { task: kind, set })) ?? parseTask(await readText(file), file);
  };
  const task = await readTask();
  if (task.kind !== "text") refuseUnused(command, ["stride"], "it is of windows over texts");
  const figures = await model.evaluateOn(task, {
    writing: { beams, lengthPenalty },
    ...(batch === undefined ? {} : { batch }),
    ...(stride === undefined ? {} : { stride }),
    ...(tokenization === undefined ? {} : { tokenization }),
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

// athanor runs compare: runs side by side, as a table, as data, and as a page of curves. Recipes are trained first.
import { statSync } from "node:fs";
import { join } from "node:path";
import pc from "picocolors";
import { fail, shellWord } from "../../base/index.ts";
import {
  type Comparison,
  compareRuns,
  comparisonPage,
  figuresOf,
  formatFigure,
  formatInterval,
  trainRecipes,
} from "../../study/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { requireFilePlace, writeNamedFile } from "../named-file.ts";
import { pathOption, wholeOption } from "../options.ts";
import { stoppedCode } from "../output.ts";
import { collect } from "../recipe-options.ts";

interface CompareFlags {
  readonly html?: string;
  readonly seeds?: number;
  readonly set?: readonly string[];
  readonly dir?: string;
}

/** Declared on the command `runs`. */
export const defineCompare: DefineCommand = (runs, run) => {
  runs
    .command("compare")
    .description("runs side by side: figures, settings in which they differ, means over seeds")
    .argument("[runs...]", "folders of runs, and recipes, which are trained first")
    .option("--html <file>", "also write a page of curves", pathOption("--html"))
    .option("--seeds <n>", "runs of each recipe, from its own seed on (default: 1)", wholeOption("--seeds"))
    .option("--set <key=value>", "change a setting of the recipes (repeatable)", collect)
    .option("--dir <folder>", "where recipes' runs lie, or go on (default: runs/compare)", pathOption("--dir"))
    .action(run(compare));
};

async function compare(context: CommandContext, named: string[], flags: CompareFlags): Promise<number | undefined> {
  const { output } = context;
  if (flags.html !== undefined) requireFilePlace("html", flags.html);
  const recipes = named.filter(isFile);
  const trained = await train(context, recipes, flags);
  if (trained === undefined) return stoppedCode(context.stoppedBy());
  const comparison = await compareRuns([...named.filter((path) => !recipes.includes(path)), ...trained]);
  for (const problem of comparison.problems) output.note(pc.yellow(problem.message));
  output.record({ ...comparison });
  for (const line of renderTable(comparison)) output.print(line);
  for (const { label, runs, loss, evalLoss } of comparison.groups) {
    if (runs.length === 1) continue;
    const figures = [loss && `loss ${formatInterval(loss)}`, evalLoss && `held-out ${formatInterval(evalLoss)}`];
    output.print(`${runs.length} seeds, ${label}: ${figures.filter(Boolean).join(", ")} (95 % of the mean)`);
  }
  if (flags.html === undefined) return undefined;
  await writeNamedFile("html", flags.html, comparisonPage(comparison));
  output.note(`written: ${flags.html}`);
  return undefined;
}

/** The folders of the recipes' runs; `undefined` where a signal ended one. */
async function train(
  context: CommandContext,
  recipes: readonly string[],
  { seeds, set, dir: folder = join("runs", "compare") }: CompareFlags,
): Promise<readonly string[] | undefined> {
  if (recipes.length === 0 && (seeds ?? set) !== undefined)
    fail("cli/argument", "there is no recipe to train", {
      where: seeds === undefined ? "--set" : "--seeds",
      expected: "a recipe among what is compared",
      got: "runs alone",
      fix: "name a recipe, or leave the option out",
    });
  if (recipes.length === 0) return [];
  const { output, signal } = context;
  const options = { folder, signal, onNote: output.note, ...(seeds && { seeds }), ...(set && { set }) };
  const { folders, ending } = await trainRecipes(recipes, options);
  if (ending === "finished") return folders;
  output.note(
    `${pc.yellow("stopped; everything is saved.")} The same command goes on, with --dir ${shellWord(folder)}`,
  );
  return undefined;
}

/** A recipe: runs are folders. */
const isFile = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;

const mostLetters = 32;

function renderTable({ runs, unit, keys }: Comparison): string[] {
  const metrics = [...new Set(runs.flatMap((run) => Object.keys(run.metrics)))];
  const head = ["run", "status", "steps", unit, "time", "loss", "held-out", ...metrics, ...keys];
  const rows = runs.map((run) => [
    ...figuresOf(run),
    ...metrics.map((name) => formatFigure(run.metrics[name])),
    ...keys.map((key) => run.settings[key]!),
  ]);
  const short = (text: string) => (text.length > mostLetters ? `${text.slice(0, mostLetters - 1)}…` : text);
  const cells = rows.map((row) => row.map(short));
  const widths = head.map((title, at) => Math.max(title.length, ...cells.map((row) => row[at]!.length)));
  const line = (row: readonly string[]) =>
    row
      .map((text, at) => text.padEnd(widths[at]!))
      .join("  ")
      .trimEnd();
  return [pc.bold(line(head)), ...cells.map(line)];
}

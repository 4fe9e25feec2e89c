// athanor runs compare: runs side by side, as a table, as data, and as a page of curves.
import pc from "picocolors";
import {
  type Comparison,
  compareRuns,
  comparisonPage,
  figuresOf,
  formatFigure,
  formatInterval,
} from "../../study/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { requireFilePlace, writeNamedFile } from "../named-file.ts";
import { pathOption } from "../options.ts";

/** Declared on the command `runs`. */
export const defineCompare: DefineCommand = (runs, run) => {
  runs
    .command("compare")
    .description("runs side by side: figures, settings in which they differ, means over seeds")
    .argument("[runs...]", "folders of runs")
    .option("--html <file>", "also write a page of curves", pathOption("--html"))
    .action(run(compare));
};

async function compare({ output }: CommandContext, folders: string[], flags: { html?: string }): Promise<undefined> {
  if (flags.html !== undefined) requireFilePlace("html", flags.html);
  const comparison = await compareRuns(folders);
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

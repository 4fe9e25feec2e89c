// athanor explain: what a trained model goes by.
import pc from "picocolors";
import { heldOutRows, load } from "../../api/index.ts";
import { formatFigure, formatInterval, permutationImportance } from "../../study/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { wholeOption } from "../options.ts";
import { collect, type RecipeOptions } from "../recipe-options.ts";

interface ExplainFlags extends RecipeOptions {
  readonly importance?: true;
  readonly repeats?: number;
}

export const defineExplain: DefineCommand = (program, run) => {
  program
    .command("explain")
    .description("what a model of a table goes by, on its held-out rows")
    .argument("<run>", "folder of a run")
    .option("--importance", "how much worse it is without what each column says (what is shown unless asked otherwise)")
    .option("--repeats <n>", "times that each column is permuted (default: 10)", wholeOption("--repeats"))
    .option("--set <key=value>", "change a setting, such as data.path=other.csv (repeatable)", collect)
    .action(run(explain));
};

async function explain({ output }: CommandContext, folder: string, flags: ExplainFlags): Promise<undefined> {
  const { set = [], repeats } = flags;
  const rows = await heldOutRows(folder, { set, onNote: output.note });
  const found = await permutationImportance(await load(folder), rows, repeats === undefined ? {} : { repeats });
  output.record({ ...found });
  const { loss, columns } = found;
  const width = Math.max(...columns.map(({ column }) => column.length));
  const longest = Math.max(0, ...columns.map(({ rise }) => rise.mean)); // where no column helps, none has a bar
  output.print(
    `loss ${formatFigure(loss)} on ${found.rows} held-out rows; by how much it rises when a column is permuted`,
  );
  for (const { column, rise } of columns) {
    const bar = "█".repeat(Math.max(0, Math.round((40 * rise.mean) / longest)));
    const line = `${column.padEnd(width)}  ${formatInterval(rise).padStart(17)}  ${bar}`.trimEnd();
    output.print(rise.mean - rise.half! > 0 ? line : pc.dim(`${line}${bar === "" ? "  " : " "}(0 is in the interval)`));
  }
  output.print("columns that say the same share their importance: either may look small while the other is there");
  return undefined;
}

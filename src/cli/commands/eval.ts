// athanor eval: the held-out loss of a trained model.
import { evaluateRun } from "../../api/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { rawHelp } from "../options.ts";
import { collect, type RecipeOptions } from "../recipe-options.ts";

export const defineEval: DefineCommand = (program, run) => {
  program
    .command("eval")
    .description("evaluate a run's newest checkpoint on its held-out data")
    .argument("<run>", "folder of a run")
    .option("--set <key=value>", "change a setting, such as data.path=other.txt (repeatable)", collect)
    .option("--raw", rawHelp)
    .action(run(evaluate));
};

interface EvalFlags extends RecipeOptions {
  readonly raw?: boolean;
}

async function evaluate({ output }: CommandContext, folder: string, { set = [], raw }: EvalFlags): Promise<undefined> {
  const options = { set, weights: raw ? "raw" : "averaged", onNote: output.note } as const;
  const { step, loss, perplexity, metrics, count } = await evaluateRun(folder, options);
  output.record({ type: "eval", step, loss, perplexity, count, ...metrics });
  output.print(
    `step ${step}: loss ${loss.toFixed(4)}${perplexity === undefined ? "" : `, perplexity ${perplexity.toFixed(3)}`}, over ${count.toLocaleString("en")} items`,
  );
  for (const [name, value] of Object.entries(metrics)) output.print(`${name} ${value.toFixed(4)}`);
  return undefined;
}

// athanor data: what is trained on. preview shows the first rows of a language model, coloured by what is learnt; tokenize is a file of its own.
import pc from "picocolors";
import { previewRecipe } from "../../api/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";
import { defineTokenize } from "../data-tokenize.ts";
import { wholeOption } from "../options.ts";
import { type RecipeOptions, recipeOf, withRecipe } from "../recipe-options.ts";

interface PreviewFlags extends RecipeOptions {
  readonly rows: number;
}

export const defineData: DefineCommand = (program, run) => {
  const data = program.command("data").description("look at what a recipe trains on, tokenize documents");
  withRecipe(
    data.command("preview").description("the first rows of text: what is learnt of them, and what is only read"),
  )
    .option("--rows <n>", "rows to show", wholeOption("--rows"), 3)
    .action(run(preview));
  defineTokenize(data, run);
};

async function preview({ output }: CommandContext, path: string, flags: PreviewFlags): Promise<undefined> {
  const rows = await previewRecipe(await recipeOf(path, flags), { rows: flags.rows, onNote: output.note });
  output.record({ rows });
  output.print(`learnt: ${mark("like this", true)}, only read: ${mark("like this", false)}`);
  rows.forEach(({ documents, context, filled }, row) => {
    const learnt = documents.flat().reduce((sum, { tokens, trained }) => sum + (trained ? tokens : 0), 0);
    output.print(pc.bold(`\nrow ${row + 1}: ${filled} of ${context} positions, ${learnt} tokens to learn`));
    documents.forEach((parts, at) => {
      if (documents.length > 1) output.print(pc.cyan(`── document ${at + 1}`));
      output.print(parts.map(({ text, trained }) => mark(text, trained)).join(""));
    });
  });
  return undefined;
}

/** Coloured, or in brackets where there are no colours. Control characters are shown, not obeyed. */
function mark(text: string, trained: boolean): string {
  const shown = text.replaceAll(/\p{Cc}/gu, (one) =>
    one === "\n" || one === "\t" ? one : `\\x${one.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  if (!pc.isColorSupported) return trained ? `⟦${shown}⟧` : shown;
  return shown
    .split("\n")
    .map(trained ? pc.green : pc.dim)
    .join("\n");
}

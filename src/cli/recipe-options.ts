// The options that every command with a recipe shares, and the recipe of a folder where none is named.
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Command } from "commander";
import { fail, shellWord } from "../base/index.ts";
import { type Recipe, readRecipe } from "../recipe/index.ts";

export interface RecipeOptions {
  readonly set?: readonly string[];
}

/** Adds `[recipe]` and `--set`. */
export function withRecipe(command: Command): Command {
  return command
    .argument(
      "[recipe]",
      "recipe file: .yaml, .json or .ts (default: the athanor.yaml here, or in the one folder that has it)",
    )
    .option("--set <key=value>", "change a setting, such as model.gpt.layers=4 (repeatable)", collect)
    .hook("preAction", (_, { processedArgs }) => {
      processedArgs[0] ??= recipeHere();
    })
    .addHelpText("after", "\nThe keys of a recipe: docs/recipes.md, or `npx athanor schema`.");
}

export function collect(value: string, earlier: readonly string[] = []): string[] {
  return [...earlier, value];
}

export async function recipeOf(path: string, options: RecipeOptions): Promise<Recipe> {
  return await readRecipe(path, { set: options.set ?? [] });
}

/** The changes of a command, for the next that it names. */
export function changesAgain({ set = [] }: RecipeOptions): string {
  return set.map((change) => ` --set ${shellWord(change)}`).join("");
}

const usualName = "athanor.yaml";

/** The recipe of the project here. Errors with `cli/recipe` where there is none, or several. */
function recipeHere(): string {
  if (existsSync(usualName)) return usualName;
  const found = readdirSync(".")
    .map((folder) => join(folder, usualName))
    .filter((one) => existsSync(one));
  if (found.length === 1) return found[0]!;
  return fail("cli/recipe", "no recipe is named", {
    expected: `a recipe file, or ${usualName} here`,
    got: found.length === 0 ? `no ${usualName} here` : found.join(", "),
    fix: found.length === 0 ? "npx athanor init demo makes a project with one" : "name one of them",
  });
}

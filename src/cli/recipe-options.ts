// The options that every command with a recipe shares.
import type { Command } from "commander";
import { type Recipe, readRecipe } from "../recipe/index.ts";

export interface RecipeOptions {
  readonly set?: readonly string[];
}

/** Adds `<recipe>` and `--set`. */
export function withRecipe(command: Command): Command {
  return command
    .argument("<recipe>", "recipe file: .yaml, .json or .ts")
    .option("--set <key=value>", "change a setting, such as model.gpt.layers=4 (repeatable)", collect)
    .addHelpText("after", "\nThe keys of a recipe: docs/recipes.md, or `npx athanor schema`.");
}

export function collect(value: string, earlier: readonly string[] = []): string[] {
  return [...earlier, value];
}

export async function recipeOf(path: string, options: RecipeOptions): Promise<Recipe> {
  return await readRecipe(path, { set: options.set ?? [] });
}

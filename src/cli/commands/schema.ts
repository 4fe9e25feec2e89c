// athanor schema: what a recipe may hold, as JSON Schema, for editors.
import { z } from "zod";
import { recipeSchema } from "../../recipe/index.ts";
import type { CommandContext, DefineCommand } from "../command.ts";

export const defineSchema: DefineCommand = (program, run) => {
  program
    .command("schema")
    .description("print every key of a recipe, with types and defaults, as JSON Schema for editors")
    .action(run(schema));
};

async function schema({ output }: CommandContext): Promise<undefined> {
  const json = z.toJSONSchema(recipeSchema, { io: "input", unrepresentable: "any" });
  output.record(json);
  output.print(JSON.stringify(json, null, 1));
  return undefined;
}

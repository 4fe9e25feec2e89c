// The key `from`: a model that is there already, in a folder. What the folder says of it stands in for what the recipe leaves out.
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fail } from "../base/index.ts";
import { readHubConfig } from "../hub/index.ts";

type Raw = Record<string, unknown>;
const isRecord = (value: unknown): value is Raw => typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * Gives a recipe the model of its `from`, with whatever settings the recipe has of its own, and its tokenizer. A recipe that has both, as a
 * run's record has, needs no folder for that. Errors with `config/from`, `hub/*`.
 */
export function completeFrom(raw: Raw): void {
  const { from } = raw;
  if (typeof from !== "string" || (!existsSync(from) && isRecord(raw.model) && "tokenizer" in raw)) return;
  const { family, config } = modelIn(from);
  const given = typeof raw.model === "string" ? { [raw.model]: {} } : (raw.model ?? { [family]: {} });
  const settings = isRecord(given) ? given[family] : undefined;
  if (!isRecord(settings))
    fail("config/from", "the recipe names another family than the folder's model is of", {
      where: from,
      expected: `model: ${family}, or no model`,
      got: JSON.stringify(given),
      fix: `leave out model, or name ${family} there with what is to differ`,
    });
  const known = Object.entries(config).filter(([key, value]) => key !== "outputs" && value !== undefined); // classes are the data's
  raw.model = { [family]: { ...Object.fromEntries(known), ...settings } };
  const tokenizer = join(from, "tokenizer.json");
  if (existsSync(tokenizer)) raw.tokenizer ??= tokenizer;
}

/** A run that begins needs the folder of its `from`, whatever the recipe says itself. Errors as `completeFrom`. */
export function requireFrom({ from }: { readonly from?: string | undefined }): void {
  if (from !== undefined) modelIn(from);
}

/** Of a Hugging Face folder, or of a model that `save` or `export` wrote. */
function modelIn(folder: string): { family: string; config: Raw } {
  const own = join(folder, "model.json");
  if (!existsSync(own) && existsSync(join(folder, "config.json")))
    return readHubConfig(folder) as { family: string; config: Raw };
  if (!existsSync(own))
    return fail("config/from", "there is no model in this folder", {
      where: folder,
      expected: "config.json of a Hugging Face folder, or model.json of an exported model",
      got: existsSync(join(folder, "run.json")) ? "a run" : existsSync(folder) ? "neither" : "no such folder",
      fix: "check the path, which counts from the recipe; npx athanor pull brings a model of the Hub; of a run, npx athanor export RUN FOLDER makes one, or --init-from RUN takes its weights",
    });
  try {
    const { family, config } = JSON.parse(readFileSync(own, "utf8"));
    if (typeof family === "string" && isRecord(config)) return { family, config };
  } catch {
    // said below
  }
  return fail("config/from", "model.json does not tell what model it is of", {
    where: own,
    expected: "a folder that `athanor export` or save() wrote",
    got: "no family and config",
    fix: "export the model again",
  });
}

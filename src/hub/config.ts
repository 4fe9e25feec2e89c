// config.json: from its text to a layout and our configuration, and back.
import { didYouMean, fail, parseConfig } from "../base/index.ts";
import { gpt2Layout } from "./gpt2.ts";
import type { HubConfig, HubLayout } from "./layout.ts";
import { llamaLayouts } from "./llama.ts";

const layouts = [gpt2Layout, ...llamaLayouts] as readonly HubLayout[];

/** Model types that can be read and written. */
export const hubModelTypes: readonly string[] = layouts.map(({ modelType }) => modelType);

/** Errors with `hub/config`, `hub/model-type`, and `config/invalid`, which lists all that is wrong. */
export function readConfig(text: string, where: string): { readonly layout: HubLayout; readonly config: unknown } {
  const raw = parseJson(text, where);
  const type = raw.model_type;
  const layout = layouts.find(({ modelType }) => modelType === type);
  if (layout === undefined) {
    const near = typeof type === "string" ? didYouMean(type, hubModelTypes) : undefined;
    return fail("hub/model-type", "a model of this type cannot be read yet", {
      where,
      expected: `model_type ${hubModelTypes.join(", ")}`,
      got: typeof type === "string" ? type.slice(0, 100) : String(type),
      fix: near === undefined ? "choose a model of one of these types" : `did you mean ${near}?`,
    });
  }
  return { layout, config: layout.read(parseConfig(layout.schema, raw, where)) };
}

/** The layout that holds a model of ours, and its `config.json`. Errors with `hub/export`. */
export function writeConfig(family: string, config: unknown, dtype: string): { layout: HubLayout; json: HubConfig } {
  const layout = layouts.find((one) => one.family === family && one.holds(config));
  if (layout === undefined) {
    return fail("hub/export", "no published layout holds this model", {
      where: family,
      expected: `settings of ${hubModelTypes.join(", ")}`,
      got: JSON.stringify(config).slice(0, 300),
      fix: "train with the settings of one of these, such as biases everywhere for gpt2; or save in Athanor's own layout",
    });
  }
  const { modelType: model_type, architecture } = layout;
  return { layout, json: { architectures: [architecture], model_type, ...layout.write(config), dtype } };
}

export function parseJson(text: string, where: string): { readonly [key: string]: unknown } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return fail("hub/config", "the file is not JSON", {
      where,
      got: (cause as Error).message.slice(0, 200),
      fix: "download the folder again",
      cause,
    });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return fail("hub/config", "the file is of another kind", { where, expected: "a JSON object", got: typeof value });
}

// config.json: from its text to a layout and our configuration, and back.
import { didYouMean, fail, parseConfig } from "../base/index.ts";
import type { TaskName } from "../models/index.ts";
import { bertLayouts } from "./bert.ts";
import { scoreLayouts } from "./classifiers.ts";
import { gpt2Layout } from "./gpt2.ts";
import type { HubConfig, HubLayout } from "./layout.ts";
import { llamaLayouts } from "./llama.ts";
import { t5Layout } from "./t5.ts";

const layouts = [
  ...[gpt2Layout, ...llamaLayouts, ...bertLayouts, t5Layout],
  ...[...scoreLayouts(gpt2Layout), ...llamaLayouts.flatMap(scoreLayouts)],
] as readonly HubLayout[];

/** Model types that can be read and written. */
export const hubModelTypes: readonly string[] = [...new Set(layouts.map(({ modelType }) => modelType))];

export interface ReadConfig {
  readonly layout: HubLayout;
  readonly config: unknown;
  /** Of a classifier. */
  readonly classes: readonly string[] | undefined;
}

/** Errors with `hub/config`, `hub/model-type`, and `config/invalid`, which lists all that is wrong. */
export function readConfig(text: string, where: string): ReadConfig {
  const raw = parseJson(text, where);
  const { model_type: type, architectures, id2label: names, problem_type } = raw;
  // Transformers takes one class for a number
  const problem = problem_type ?? (Object.keys(names ?? {}).length === 1 ? "regression" : undefined);
  const ofType = layouts.filter(({ modelType }) => modelType === type);
  const named = Array.isArray(architectures)
    ? ofType.filter(({ architecture }) => architectures.includes(architecture))
    : [];
  const layout = named.find(({ task }) => task === problem) ?? named[0] ?? ofType[0];
  if (layout === undefined) {
    const near = typeof type === "string" ? didYouMean(type, hubModelTypes) : undefined;
    return fail("hub/model-type", "a model of this type cannot be read yet", {
      where,
      expected: `model_type ${hubModelTypes.join(", ")}`,
      got: typeof type === "string" ? type.slice(0, 100) : String(type),
      fix: near === undefined ? "choose a model of one of these types" : `did you mean ${near}?`,
    });
  }
  const theirs = parseConfig(layout.schema, raw, where);
  return { layout, config: layout.read(theirs), classes: layout.classes?.(theirs) };
}

/** A model of ours that is to be written. */
export interface Written {
  readonly family: string;
  readonly config: unknown;
  /** Left out, it writes text. */
  readonly task?: TaskName;
  readonly classes?: readonly string[] | undefined;
}

/** The layout that holds a model of ours, and its `config.json`. Errors with `hub/export`. */
export function writeConfig(
  { family, config, task = "language-model", classes }: Written,
  dtype: string,
): { layout: HubLayout; json: HubConfig } {
  const layout = layouts.find(
    (one) => one.family === family && (one.task ?? "language-model") === task && one.holds(config),
  );
  if (layout === undefined) {
    return fail("hub/export", "no published layout holds this model", {
      where: family,
      expected: `settings of ${hubModelTypes.join(", ")}`,
      got: JSON.stringify(config).slice(0, 300),
      fix: "train with the settings of one of these, such as biases everywhere for gpt2, pooling: pooler for bert; or save in Athanor's own layout",
    });
  }
  const { modelType: model_type, architecture } = layout;
  return { layout, json: { architectures: [architecture], model_type, ...layout.write(config, classes), dtype } };
}

export function parseJson(text: string, where: string): { readonly [key: string]: unknown } {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    return fail("hub/config", "the file is not JSON", {
      where,
      expected: "a JSON object",
      got: (cause as Error).message.slice(0, 200),
      fix: "download the folder again",
      cause,
    });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  return fail("hub/config", "the file is of another kind", { where, expected: "a JSON object", got: typeof value });
}

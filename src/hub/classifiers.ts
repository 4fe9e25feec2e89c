// Classes of texts in a folder: their names in config.json, and the layouts of classifiers that are built on models which write text.
import { z } from "zod";
import type { Shape } from "../base/index.ts";
import type { GptConfig, LlamaConfig } from "../models/index.ts";
import type { HubConfig, HubLayout } from "./layout.ts";

/** Classes beside each other are another computation of probabilities. */
const problems = z.enum(["single_label_classification", "regression"], {
  error: "classes that do not exclude each other are not known here",
});

export const namedClasses = {
  id2label: z.record(z.string(), z.string()).optional(),
  problem_type: problems.nullish(),
};
type Named = z.output<z.ZodObject<typeof namedClasses>>;

/** Names by id; a file without them has two classes, by Transformers' default. */
export function classesOf({ id2label = { 0: "LABEL_0", 1: "LABEL_1" } }: Named): string[] {
  return Object.entries(id2label)
    .sort(([a], [b]) => Number(a) - Number(b))
    .map(([, name]) => name);
}

/** The names as a file has them; left out, numbered as Transformers does. */
export function labels(
  outputs = 0,
  classes: readonly string[] = Array.from({ length: outputs }, (_, id) => `LABEL_${id}`),
): HubConfig {
  return {
    id2label: Object.fromEntries(classes.map((name, id) => [id, name])),
    label2id: Object.fromEntries(classes.map((name, id) => [name, id])),
  };
}

/** `…ForSequenceClassification` beside a model that writes text: scores of classes, or one score, are read off a text's last token. */
export function scoreLayouts<Ours extends GptConfig | LlamaConfig, Theirs>(
  layout: HubLayout<Ours, Theirs>,
): HubLayout<Ours, Theirs & Named>[] {
  const both = {
    ...layout,
    architecture: layout.architecture.replace(/LMHeadModel$|ForCausalLM$/, "ForSequenceClassification"),
    schema: layout.schema.and(z.looseObject(namedClasses)),
    holds: (config: Ours) => layout.holds(config) && (config.pooling ?? "last") === "last",
    fileName: (name: string) => (name === "score.weight" ? name : layout.fileName(name)),
    isTransposed: (name: string, shape: Shape) => name === "score.weight" || layout.isTransposed(name, shape),
    isIgnored: (name: string) => name === "lm_head.weight" || layout.isIgnored(name),
    copyOf: () => undefined,
  } satisfies HubLayout<Ours, Theirs & Named>;
  return [
    {
      ...both,
      task: "classification",
      read: (config) => ({ ...layout.read(config), outputs: classesOf(config).length }),
      classes: classesOf,
      write: (config, classes) => ({ ...layout.write(config), ...labels(config.outputs, classes) }),
    },
    {
      ...both,
      task: "regression",
      write: (config) => ({ ...layout.write(config), ...labels(1), problem_type: "regression" }),
    },
  ];
}

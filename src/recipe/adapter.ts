// The key `adapter`: what is trained beside a model that stays as it is.
import { z } from "zod";
import { AthanorError, oneOf } from "../base/index.ts";
import { quantizedFormats } from "../core/index.ts";
import { addPrefix, addPrompt, headNames, modelFamily } from "../models/index.ts";
import { addLora, frozenBesideLora, loraInits, type Module, promptName, quantizeLayers } from "../nn/index.ts";
import { type OptimizerConfig, parseOptimizer } from "../optim/index.ts";
import type { StepDescription } from "../train/index.ts";
import type { Prepared } from "./prepare.ts";

const loraSchema = z
  .strictObject({
    rank: z.number().int().positive().max(4096).default(8).describe("columns of the narrow matrices"),
    alpha: z.number().positive().optional().describe("scale of the adapter, over the rank; left out, twice the rank"),
    rankStabilized: z.boolean().default(false).describe("the scale is over the root of the rank (rsLoRA)"),
    dropout: z.number().min(0).lt(1).default(0).describe("of what enters the adapters, in training"),
    magnitude: z
      .boolean()
      .default(false)
      .describe("lengths of the weights' columns are trained too, apart from their directions (DoRA)"),
    init: z
      .enum(loraInits)
      .default("zero")
      .describe(
        "what the product begins as: zero, or pissa: the largest singular vectors of the weight, which are taken off it",
      ),
    ratio: z
      .number()
      .positive()
      .default(1)
      .describe("learning rate of the second narrow matrix over that of the first (LoRA+)"),
    base: z
      .enum(quantizedFormats)
      .optional()
      .describe(
        "how the weights of linear layers, the head's apart, are kept: int8, or nf4 in some four bits (QLoRA); left out, as they are",
      ),
    targets: z
      .array(z.string().min(1))
      .min(1)
      .describe("linear layers that get an adapter, by path; * stands for any characters, as in *.q_proj"),
  })
  .transform(({ alpha, ...given }) => ({ ...given, alpha: alpha ?? 2 * given.rank }));

const promptSchema = z.strictObject({
  tokens: z.number().int().positive().max(4096).describe("trained vectors before every text, of gpt and llama"),
  text: z
    .string()
    .regex(/\S/, "a text with more than spaces")
    .optional()
    .describe("they begin as the rows of this text's tokens, over and over; left out, uniform in ±0.5"),
});

const prefixSchema = z.strictObject({
  tokens: z
    .number()
    .int()
    .positive()
    .max(4096)
    .describe("places before every text of which each layer trains keys and values, of gpt and llama"),
  projection: z
    .number()
    .int()
    .positive()
    .max(65536)
    .optional()
    .describe("channels within two layers that make them, in training alone; left out, they are trained themselves"),
});

export const adapterSchema = oneOf({ lora: loraSchema, prompt: promptSchema, prefix: prefixSchema });
export type AdapterConfig = z.output<typeof adapterSchema>;

/**
 * Gives a model its adapters, and its layers the form in which they are kept. Gives the names of the parameters of a head, which is trained
 * whole beside them. Errors with `nn/lora`, `nn/quantize`, `model/prompt`.
 */
export function adapt(model: Module, adapter: AdapterConfig | undefined, family: string, task: string): string[] {
  if (adapter?.prompt !== undefined) addPrompt(model, adapter.prompt.tokens);
  if (adapter?.prefix !== undefined) addPrefix(model, adapter.prefix);
  if (adapter?.lora === undefined) return [];
  const heads = headNames(family, task, model.parameters().keys());
  if (adapter.lora.base !== undefined) quantizeLayers(model, adapter.lora.base, (name) => heads.includes(name));
  addLora(model, adapter.lora);
  return heads;
}

/** The steps of a prepared run with another adapter, or with none: the whole model is trained then. */
export function variantOf(
  { recipe, files, description }: Pick<Prepared, "recipe" | "files" | "description">,
  adapter: AdapterConfig | undefined,
): StepDescription {
  const { family, config, task } = JSON.parse(files["model.json"]!);
  const { module: model } = modelFamily(family).build(config, { task });
  const heads = adapt(model, adapter, family, task);
  const optimizer = parseOptimizer(freezeBeside(adapter, recipe.optimizer, heads), { steps: recipe.steps });
  return { ...description, model, optimizer };
}

/** What looks wrong in a run that begins with random weights. */
export const adapterWarnings = (adapter: AdapterConfig | undefined): AthanorError[] =>
  adapter === undefined
    ? []
    : [
        new AthanorError("model/random-base", "an adapter is trained beside random weights, which stay as they are", {
          where: "adapter",
          expected: "weights to begin with",
          got: "none",
          fix: "--init-from a run or the folder of a model; or take out adapter, to train the model itself",
        }),
      ];

/**
 * The optimizer's settings, by which the adapters and the head alone are trained, unless they say what is frozen themselves; with the rates
 * of the adapters' parts (LoRA+: Hayou et al. 2024).
 */
export function freezeBeside(
  adapter: AdapterConfig | undefined,
  optimizer: OptimizerConfig,
  heads: readonly string[],
): OptimizerConfig {
  if (adapter === undefined) return optimizer;
  const { lora, prompt } = adapter;
  const { ratio = 1 } = lora ?? {};
  const adapters = lora !== undefined ? frozenBesideLora : prompt !== undefined ? [`!${promptName}`] : ["!prefix.*"];
  return Object.fromEntries(
    Object.entries(optimizer).map(([name, settings]) => {
      const given = settings as { readonly freeze?: unknown; readonly rates?: readonly object[] } | undefined;
      if (given === undefined) return [name, given];
      const freeze = given.freeze === "none" ? [...adapters, ...heads.map((name) => `!${name}`)] : given.freeze;
      const faster = { select: ["*.lora.B"], by: ratio };
      return [name, { ...given, freeze, ...(ratio === 1 ? {} : { rates: [faster, ...(given.rates ?? [])] }) }];
    }),
  ) as OptimizerConfig;
}

// Settings of the encoder–decoder Transformer: the published sizes, what a recipe may write, and the family's entry.
import { z } from "zod";
import { parseConfig, varyingSchema } from "../base/index.ts";
import { activationNames } from "../nn/index.ts";
import type { ModelFamily } from "./family.ts";
import { halvesSettings, sequenceInputs, sequenceSettings, settleSequence } from "./sequence.ts";
import { Transformer, type TransformerConfig } from "./transformer.ts";

const published = {
  context: 256,
  targetContext: 256,
  encoderLayers: 6,
  decoderLayers: 6,
  activation: "relu",
  preNorm: false,
  tiedHead: true,
  eps: 1e-5,
} as const;

/** The two sizes of the paper's table 3. What depends on the tokenizer is not theirs. */
export const transformerPresets = {
  base: { ...published, width: 512, hidden: 2048, heads: 8, dropout: 0.1 },
  big: { ...published, width: 1024, hidden: 4096, heads: 16, dropout: 0.3 },
} as const satisfies { readonly [name: string]: Omit<TransformerConfig, "vocab" | "start" | "end"> };

export type TransformerPreset = keyof typeof transformerPresets;
const presetNames = Object.keys(transformerPresets) as [TransformerPreset, ...TransformerPreset[]];

const size = z.number().int().positive();

const transformerSchema = z
  .strictObject({
    preset: z.enum(presetNames).optional().describe("a published size, whose numbers stand where none are given"),
    ...sequenceSettings,
    ...halvesSettings,
    heads: size.optional(),
    width: size.optional().describe("channels of the residual stream; a multiple of heads"),
    hidden: size.optional().describe("channels of the feed-forward parts; left out, 4 times width"),
    dropout: varyingSchema(z.number().min(0).lt(1)).optional(),
    activation: z.enum(activationNames).optional().describe("of the feed-forward parts; left out, relu"),
    preNorm: z.boolean().optional().describe("norms before each part, which trains without long warm-up"),
    tiedHead: z.boolean().optional().describe("the output head is the token table"),
    eps: z.number().positive().optional().describe("of the norms"),
  })
  .transform(({ preset, layers, ...given }, { addIssue }) => {
    const base: Partial<TransformerConfig> = preset === undefined ? { dropout: 0 } : transformerPresets[preset];
    const { encoderLayers = layers ?? base.encoderLayers, decoderLayers = layers ?? base.decoderLayers } = given;
    const { width = base.width, heads = base.heads, context = base.context } = given;
    const { hidden = base.hidden ?? 4 * (width ?? 0), targetContext = given.context ?? base.targetContext } = given;
    const needed = { encoderLayers, decoderLayers, width, heads, context };
    for (const [name, value] of Object.entries(needed)) {
      if (value === undefined)
        addIssue({ code: "custom", path: [name], message: "missing; a positive whole number, or give a preset" });
    }
    if (width !== undefined && heads !== undefined && width % heads !== 0)
      addIssue({ code: "custom", path: ["width"], message: `must be a multiple of heads (${heads}), got ${width}` });
    const plain = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    const settled = { ...published, ...base, ...plain, ...needed, hidden, targetContext: targetContext! };
    return settled as Omit<TransformerConfig, "vocab" | "start" | "end"> & Partial<TransformerConfig>;
  });

/** What a recipe may write under `model.transformer`. */
export type TransformerInput = z.input<typeof transformerSchema>;

/** The encoder–decoder Transformer, for texts that are made from texts. */
export const transformerFamily: ModelFamily<TransformerConfig> = {
  name: "transformer",
  doc: "encoder–decoder transformer, for texts that are made from texts: translation, summaries",
  tasks: ["sequence-to-sequence"],
  reads: "texts",
  schema: transformerSchema,
  build: (config, facts) => {
    const parsed = parseConfig(transformerSchema, config, "model.transformer");
    const complete: TransformerConfig = { ...parsed, ...settleSequence("model.transformer", parsed, facts) };
    return {
      module: new Transformer(complete),
      config: complete,
      inputs: sequenceInputs(complete),
    };
  },
};

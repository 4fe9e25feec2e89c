// Settings of T5: the published sizes, what a recipe may write, and the family's entry. The model is in t5.ts.
import { z } from "zod";
import { parseConfig, varyingSchema } from "../base/index.ts";
import { activationNames } from "../nn/index.ts";
import type { ModelFamily } from "./family.ts";
import { halvesSettings, sequenceInputs, sequenceSettings, settleSequence } from "./sequence.ts";
import { T5, type T5Config } from "./t5.ts";

const first = {
  context: 512,
  targetContext: 512,
  headWidth: 64,
  buckets: 32,
  maxDistance: 128,
  activation: "relu",
  gated: false,
  dropout: 0.1,
  tiedHead: true,
  scaledHead: true,
  eps: 1e-6,
} as const;
const second = { ...first, activation: "geluTanh", gated: true, tiedHead: false, scaledHead: false } as const;

/** Published sizes; `v1.1` are those of version 1.1 and of Flan. What depends on the tokenizer is not theirs. */
export const t5Presets = {
  "t5-small": { ...first, width: 512, hidden: 2048, heads: 8, encoderLayers: 6, decoderLayers: 6 },
  "t5-base": { ...first, width: 768, hidden: 3072, heads: 12, encoderLayers: 12, decoderLayers: 12 },
  "t5-large": { ...first, width: 1024, hidden: 4096, heads: 16, encoderLayers: 24, decoderLayers: 24 },
  "t5-v1.1-small": { ...second, width: 512, hidden: 1024, heads: 6, encoderLayers: 8, decoderLayers: 8 },
  "t5-v1.1-base": { ...second, width: 768, hidden: 2048, heads: 12, encoderLayers: 12, decoderLayers: 12 },
} as const satisfies { readonly [name: string]: Omit<T5Config, "vocab" | "start" | "end"> };

export type T5Preset = keyof typeof t5Presets;
const presetNames = Object.keys(t5Presets) as [T5Preset, ...T5Preset[]];

const size = z.number().int().positive();

const t5Schema = z
  .strictObject({
    preset: z.enum(presetNames).optional().describe("a published size, whose numbers stand where none are given"),
    ...sequenceSettings,
    ...halvesSettings,
    heads: size.optional(),
    width: size.optional().describe("channels of the residual stream"),
    headWidth: size.optional().describe("channels of a head; left out, 64"),
    hidden: size.optional().describe("channels of the feed-forward parts; left out, 4 times width"),
    buckets: size.min(4).optional().describe("rows of the table of biases by distance; left out, 32"),
    maxDistance: size.optional().describe("distance from which on all are one; left out, 128"),
    activation: z.enum(activationNames).optional().describe("of the feed-forward parts; left out, relu"),
    gated: z.boolean().optional().describe("feed-forward parts have a gate, as version 1.1"),
    dropout: varyingSchema(z.number().min(0).lt(1)).optional().describe("left out, 0.1"),
    tiedHead: z.boolean().optional().describe("the output head is the token table"),
    scaledHead: z.boolean().optional().describe("what enters the head is divided by the root of width; left out, true"),
    eps: z.number().positive().optional().describe("of the norms"),
  })
  .transform(({ preset, layers, ...given }, { addIssue }) => {
    const base: Partial<T5Config> = preset === undefined ? {} : t5Presets[preset];
    const { encoderLayers = layers ?? base.encoderLayers, decoderLayers = layers ?? base.decoderLayers } = given;
    const { width = base.width, heads = base.heads } = given;
    const { hidden = base.hidden ?? 4 * (width ?? 0), targetContext = given.context ?? first.targetContext } = given;
    const needed = { encoderLayers, decoderLayers, width, heads };
    for (const [name, value] of Object.entries(needed)) {
      if (value === undefined)
        addIssue({ code: "custom", path: [name], message: "missing; a positive whole number, or give a preset" });
    }
    const plain = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
    const settled = { ...first, ...base, ...plain, ...needed, hidden, targetContext };
    return settled as Omit<T5Config, "vocab" | "start" | "end"> & Partial<T5Config>;
  });

/** What a recipe may write under `model.t5`. */
export type T5Input = z.input<typeof t5Schema>;

/** T5, for texts that are made from texts. */
export const t5Family: ModelFamily<T5Config> = {
  name: "t5",
  doc: "encoder–decoder transformer with biases by distance, for texts that are made from texts",
  tasks: ["sequence-to-sequence"],
  reads: "texts",
  schema: t5Schema,
  build: (config, facts) => {
    const parsed = parseConfig(t5Schema, config, "model.t5");
    const complete: T5Config = { ...parsed, ...settleSequence("model.t5", parsed, facts) };
    return {
      module: new T5(complete),
      config: complete,
      inputs: sequenceInputs(complete),
    };
  },
};

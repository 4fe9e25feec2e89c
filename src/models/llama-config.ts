// Settings of the Llama family: the published sizes, what a recipe may write, and the family's entry. The model is in llama.ts.
import { z } from "zod";
import { parseConfig } from "../base/index.ts";
import { poolings, type RotaryScaling } from "../nn/index.ts";
import type { ModelFamily } from "./family.ts";
import { Llama, type LlamaConfig, LlamaForChoices, LlamaForScores } from "./llama.ts";
import { settleOutputs, settleVocab, textShape } from "./tokens.ts";

const plain = { window: 0, attentionBias: false, headNorm: false, tiedHead: false, eps: 1e-5 } as const;
const llama3 = { type: "llama3", lowFrequency: 1, highFrequency: 4, originalContext: 8192 } as const;

/** Published sizes; `nano` is a toy. */
export const llamaPresets = {
  nano: sized({ layers: 3, heads: 4, keyValueHeads: 2, width: 64, hidden: 176, context: 256, vocab: 32000 }),
  "tinyllama-1.1b": sized({ layers: 22, heads: 32, keyValueHeads: 4, width: 2048, hidden: 5632, vocab: 32000 }),
  "llama-2-7b": sized({
    layers: 32,
    heads: 32,
    keyValueHeads: 32,
    width: 4096,
    hidden: 11008,
    context: 4096,
    vocab: 32000,
  }),
  "llama-3-8b": sized({ ...{ layers: 32, heads: 32, keyValueHeads: 8, width: 4096, hidden: 14336 }, ...third(8192) }),
  "llama-3.1-8b": sized({
    ...{ layers: 32, heads: 32, keyValueHeads: 8, width: 4096, hidden: 14336 },
    ...third(131072, { ...llama3, factor: 8 }),
  }),
  "llama-3.2-1b": sized({
    ...{ layers: 16, heads: 32, keyValueHeads: 8, width: 2048, hidden: 8192, tiedHead: true },
    ...third(131072, { ...llama3, factor: 32 }),
  }),
  "mistral-7b": sized({
    ...{ layers: 32, heads: 32, keyValueHeads: 8, width: 4096, hidden: 14336, context: 32768, vocab: 32000 },
    window: 4096,
  }),
  "mixtral-8x7b": sized({
    ...{ layers: 32, heads: 32, keyValueHeads: 8, width: 4096, hidden: 14336, context: 32768, vocab: 32000 },
    ...{ rotary: { base: 1e6 }, experts: { count: 8, chosen: 2, balance: 0.02, z: 0 } },
  }),
  "qwen2-0.5b": sized({
    ...{ layers: 24, heads: 14, keyValueHeads: 2, width: 896, hidden: 4864, context: 131072, vocab: 151936 },
    ...{ attentionBias: true, tiedHead: true, eps: 1e-6, rotary: { base: 1e6 } },
  }),
  "qwen3-0.6b": sized({
    ...{
      layers: 28,
      heads: 16,
      keyValueHeads: 8,
      width: 1024,
      headWidth: 128,
      hidden: 3072,
      context: 40960,
      vocab: 151936,
    },
    ...{ headNorm: true, tiedHead: true, eps: 1e-6, rotary: { base: 1e6 } },
  }),
  "qwen3-30b-a3b": sized({
    ...{ layers: 48, heads: 32, keyValueHeads: 4, width: 2048, headWidth: 128, hidden: 768, context: 40960 },
    ...{ vocab: 151936, headNorm: true, eps: 1e-6, rotary: { base: 1e6 } },
    experts: { count: 128, chosen: 8, normalized: true, balance: 0.001, z: 0 },
  }),
} as const satisfies { readonly [name: string]: LlamaConfig };

type Size = Partial<LlamaConfig> &
  Pick<LlamaConfig, "layers" | "heads" | "keyValueHeads" | "width" | "hidden" | "vocab">;

function sized(size: Size): LlamaConfig {
  return { ...plain, context: 2048, headWidth: size.width / size.heads, rotary: { base: 10000 }, ...size };
}

/** What Llama 3 changed. */
function third(context: number, scaling?: RotaryScaling): Pick<LlamaConfig, "context" | "vocab" | "rotary"> {
  return { context, vocab: 128256, rotary: { base: 500000, ...(scaling === undefined ? {} : { scaling }) } };
}

export type LlamaPreset = keyof typeof llamaPresets;
const presetNames = Object.keys(llamaPresets) as [LlamaPreset, ...LlamaPreset[]];

const size = z.number().int().positive();
const factor = z.number().min(1).describe("the longer context over the original one");
const originalContext = size.describe("context of the first training");

const scalingSchema = z.discriminatedUnion("type", [
  z.strictObject({ type: z.literal("linear"), factor }),
  z.strictObject({
    ...{ type: z.literal("llama3"), factor, originalContext },
    lowFrequency: z.number().positive().default(1),
    highFrequency: z.number().positive().default(4),
  }),
  z.strictObject({
    ...{ type: z.literal("yarn"), factor, originalContext },
    fast: z.number().positive().optional(),
    slow: z.number().positive().optional(),
    magnitude: z.number().positive().optional(),
  }),
]);

const weight = z.number().nonnegative();
const expertsSchema = z.strictObject({
  count: size.describe("feed-forward parts of a block"),
  chosen: size.default(2).describe("how many of them a token goes through"),
  normalized: z.boolean().optional().describe("the weights of a token's experts add up to 1; left out, true"),
  balance: weight.default(0.01).describe("of the loss that keeps their loads alike"),
  z: weight.default(0.001).describe("of the loss that keeps the router's logits small"),
});

const llamaSchema = z
  .strictObject({
    preset: z.enum(presetNames).optional().describe("a published size, whose numbers stand where none are given"),
    layers: size.optional(),
    heads: size.optional().describe("heads of queries"),
    keyValueHeads: size.optional().describe("heads of keys and values, a divisor of heads; left out, heads"),
    width: size.optional().describe("channels of the residual stream"),
    headWidth: size.optional().describe("channels of a head, an even number; left out, width / heads"),
    hidden: size
      .optional()
      .describe("channels of the feed-forward part; left out, 8/3 of width, up to a multiple of 32"),
    context: size.optional().describe("longest sequence, in tokens"),
    vocab: size.optional().describe("rows of the token table; left out, the tokenizer's"),
    window: z
      .number()
      .int()
      .nonnegative()
      .optional()
      .describe("how many tokens, itself included, a token sees; 0 for all"),
    attentionBias: z.boolean().optional().describe("biases for queries, keys and values"),
    headNorm: z.boolean().optional().describe("norms for the queries and keys of each head"),
    tiedHead: z.boolean().optional().describe("the output head is the token table"),
    eps: z.number().positive().optional().describe("of the norms"),
    rotary: z
      .strictObject({ base: z.number().gt(1).default(10000), scaling: scalingSchema.optional() })
      .optional()
      .describe("rotary positions: base, and scaling for contexts beyond that of the first training"),
    experts: expertsSchema.optional().describe("feed-forward parts of which each token goes through a few"),
    pooling: z.enum(poolings).optional().describe("classes of texts: how a text becomes one vector; left out, last"),
    outputs: size.optional().describe("classes of texts; left out, the data's"),
  })
  .transform(({ preset, vocab, ...given }, { addIssue }) => {
    const { vocab: presetVocab, ...base }: Partial<LlamaConfig> = preset === undefined ? {} : llamaPresets[preset];
    const numbers = { ...plain, rotary: { base: 10000 }, ...base, ...withoutUndefined(given) } as Partial<LlamaConfig>;
    for (const name of ["layers", "heads", "width", "context"] as const) {
      if (numbers[name] === undefined)
        addIssue({ code: "custom", path: [name], message: "missing; a positive whole number, or give a preset" });
    }
    const { width = 0, heads = 1, keyValueHeads = heads, headWidth = width / heads } = numbers;
    const { hidden = Math.ceil((8 * width) / 3 / 32) * 32 } = numbers;
    if (heads % keyValueHeads !== 0)
      addIssue({
        code: "custom",
        path: ["keyValueHeads"],
        message: `must divide heads (${heads}), got ${keyValueHeads}`,
      });
    if (headWidth % 2 !== 0)
      addIssue({ code: "custom", path: ["headWidth"], message: `must be an even whole number, got ${headWidth}` });
    const { count = 1, chosen = 1 } = numbers.experts ?? {};
    if (chosen > count)
      addIssue({
        code: "custom",
        path: ["experts", "chosen"],
        message: `must be at most count (${count}), got ${chosen}`,
      });
    const settled = { ...numbers, keyValueHeads, headWidth, hidden, vocab, presetVocab };
    return settled as Omit<LlamaConfig, "vocab"> & { vocab: number | undefined; presetVocab: number | undefined };
  });

function withoutUndefined<T extends object>(value: T): Partial<T> {
  return Object.fromEntries(Object.entries(value).filter(([, one]) => one !== undefined)) as Partial<T>;
}

/** What a recipe may write under `model.llama`. */
export type LlamaInput = z.input<typeof llamaSchema>;

/** Llama and what is shaped like it, for language modelling and classes, numbers and choices of texts. */
export const llamaFamily: ModelFamily<LlamaConfig> = {
  name: "llama",
  doc: "decoder-only transformer with rotary positions, gated feed-forward parts and shared key and value heads, for text",
  tasks: ["language-model", "classification", "regression", "multiple-choice"],
  isHead: (name) => /^(score|lm_head)\./.test(name),
  reads: "texts",
  packs: true,
  schema: llamaSchema,
  build: (config, facts) => {
    const { presetVocab, vocab: given, ...rest } = parseConfig(llamaSchema, config, "model.llama");
    const vocab = settleVocab("model.llama.vocab", { given, preset: presetVocab, tokenizer: facts.vocab });
    const outputs =
      facts.task === "classification" ? settleOutputs("model.llama.outputs", rest.outputs, facts.outputs) : undefined;
    const Head = facts.task === "multiple-choice" ? LlamaForChoices : LlamaForScores;
    const complete: LlamaConfig = { vocab, ...rest, ...(outputs === undefined ? {} : { outputs }) };
    return {
      module: facts.task === "language-model" ? new Llama(complete) : new Head(complete, outputs),
      config: complete,
      inputs: { tokens: { dtype: "i32", shape: textShape(facts, complete.context) } },
    };
  },
};

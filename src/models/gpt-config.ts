// Settings of the GPT family: the published sizes, what a recipe may write, and the family's entry. The model is in gpt.ts.
import { z } from "zod";
import { parseConfig, varyingSchema } from "../base/index.ts";
import { activationNames, poolings } from "../nn/index.ts";
import type { ModelFamily } from "./family.ts";
import { Gpt, type GptConfig, GptForChoices, GptForScores } from "./gpt.ts";
import { settleOutputs, settleVocab, textShape } from "./tokens.ts";

const published = {
  vocab: 50257,
  context: 1024,
  bands: 0,
  dropout: 0,
  bias: true,
  normBias: true,
  activation: "geluTanh",
  tiedHead: true,
  eps: 1e-5,
} as const;

/** GPT-3 (Brown et al. 2020, table 2.1). The paper does not say how wide its bands are: here they are 256 tokens. */
const third = { ...published, context: 2048, bands: 256 } as const;

/**
 * Published sizes; `nano` is the smallest of Karpathy's minGPT. Two rows of GPT-3's table cannot be as printed: 1.3B has heads that
 * divide its width, 13B the width of its heads.
 */
export const gptPresets = {
  nano: { ...published, layers: 3, heads: 3, width: 48 },
  gpt2: { ...published, layers: 12, heads: 12, width: 768 },
  "gpt2-medium": { ...published, layers: 24, heads: 16, width: 1024 },
  "gpt2-large": { ...published, layers: 36, heads: 20, width: 1280 },
  "gpt2-xl": { ...published, layers: 48, heads: 25, width: 1600 },
  "gpt3-125m": { ...third, layers: 12, heads: 12, width: 768 },
  "gpt3-350m": { ...third, layers: 24, heads: 16, width: 1024 },
  "gpt3-760m": { ...third, layers: 24, heads: 16, width: 1536 },
  "gpt3-1.3b": { ...third, layers: 24, heads: 16, width: 2048 },
  "gpt3-2.7b": { ...third, layers: 32, heads: 32, width: 2560 },
  "gpt3-6.7b": { ...third, layers: 32, heads: 32, width: 4096 },
  "gpt3-13b": { ...third, layers: 40, heads: 40, width: 5120 },
  "gpt3-175b": { ...third, layers: 96, heads: 96, width: 12288 },
} as const satisfies { readonly [name: string]: GptConfig };

export type GptPreset = keyof typeof gptPresets;
const presetNames = Object.keys(gptPresets) as [GptPreset, ...GptPreset[]];

const size = z.number().int().positive();

const gptSchema = z
  .strictObject({
    preset: z.enum(presetNames).optional().describe("a published size, whose numbers stand where none are given"),
    layers: size.optional(),
    heads: size.optional(),
    width: size.optional().describe("channels of the residual stream; a multiple of heads"),
    context: size.optional().describe("longest sequence, in tokens"),
    vocab: size.optional().describe("rows of the token table; left out, the tokenizer's"),
    bands: z
      .number()
      .int()
      .nonnegative()
      .optional()
      .describe(
        "every second layer sees only so many tokens, itself included, as in GPT-3; left out, a preset's, else 0: all",
      ),
    dropout: varyingSchema(z.number().min(0).lt(1)).default(published.dropout),
    bias: z.boolean().default(published.bias).describe("biases in the linear layers"),
    normBias: z.boolean().optional().describe("biases in the norms; left out, as bias"),
    activation: z.enum(activationNames).default(published.activation),
    tiedHead: z.boolean().default(published.tiedHead).describe("the output head is the token table"),
    eps: z.number().positive().default(published.eps).describe("of the norms"),
    pooling: z.enum(poolings).optional().describe("classes of texts: how a text becomes one vector; left out, last"),
    outputs: size.optional().describe("classes of texts; left out, the data's"),
  })
  .transform(({ preset, ...given }, { addIssue }) => {
    const base: Partial<GptConfig> = preset === undefined ? {} : gptPresets[preset];
    const { layers = base.layers, heads = base.heads, width = base.width, context = base.context } = given;
    const { vocab, normBias = given.bias, bands = base.bands ?? 0 } = given;
    const needed = { layers, heads, width, context };
    for (const [name, value] of Object.entries(needed)) {
      if (value === undefined)
        addIssue({ code: "custom", path: [name], message: `missing; a positive whole number, or give a preset` });
    }
    if (width !== undefined && heads !== undefined && width % heads !== 0)
      addIssue({ code: "custom", path: ["width"], message: `must be a multiple of heads (${heads}), got ${width}` });
    // A preset's vocabulary gives way to the tokenizer's: it stands only where nothing else is known.
    const settled = {
      ...given,
      ...(needed as Required<typeof needed>),
      vocab,
      normBias,
      bands,
      presetVocab: base.vocab,
    };
    return settled as Omit<GptConfig, "vocab"> & { vocab: number | undefined; presetVocab: number | undefined };
  });

/** What a recipe may write under `model.gpt`. */
export type GptInput = z.input<typeof gptSchema>;

/** GPT-2 and its sizes, for language modelling and classes, numbers and choices of texts. */
export const gptFamily: ModelFamily<GptConfig> = {
  name: "gpt",
  doc: "decoder-only transformer of the GPT-2 family, for text",
  tasks: ["language-model", "classification", "regression", "multiple-choice"],
  isHead: (name) => /^(score|lm_head)\./.test(name),
  positionTable: "wpe.weight",
  reads: "texts",
  packs: true,
  schema: gptSchema,
  build: (config, facts) => {
    const { presetVocab, vocab: given, ...rest } = parseConfig(gptSchema, config, "model.gpt");
    const vocab = settleVocab("model.gpt.vocab", { given, preset: presetVocab, tokenizer: facts.vocab });
    const outputs =
      facts.task === "classification" ? settleOutputs("model.gpt.outputs", rest.outputs, facts.outputs) : undefined;
    const Head = facts.task === "multiple-choice" ? GptForChoices : GptForScores;
    const complete: GptConfig = { vocab, ...rest, ...(outputs === undefined ? {} : { outputs }) };
    return {
      module: facts.task === "language-model" ? new Gpt(complete) : new Head(complete, outputs),
      config: complete,
      inputs: { tokens: { dtype: "i32", shape: textShape(facts, complete.context) } },
    };
  },
};

// The recipe: the typed description of a run. This one schema gives the type, the defaults, the validation, the help and the
// JSON Schema for editors. Models and optimizers are checked by the folders that own them.
import { z } from "zod";
import { AthanorError, oneOf, parseBytes, varyingSchema } from "../base/index.ts";
import { modelFamilies, taskNames } from "../models/index.ts";
import { batchSizeSchema, optimizerSchema } from "../optim/index.ts";
import { anomalyPolicies, recomputeModes } from "../train/index.ts";
import { adapterSchema } from "./adapter.ts";
import { chatSchema } from "./chat.ts";
import { lossSchema } from "./loss.ts";
import { initSchema, mupSchema } from "./starts.ts";
import { tokenizerSchema } from "./tokenizer.ts";

const positive = z.number().int().positive();
const share = z.number().gt(0).lt(1);

/** Rows of a step, and padded lengths, where a recipe says nothing. */
export const usualSize = 32;
const usualLengths = 4;

const batchSchema = z
  .strictObject({
    size: z
      .union([z.literal("all"), ...batchSizeSchema.options])
      .optional()
      .meta({
        description: "rows of one step: all of them in their order, a number, or a schedule, see below",
        default: usualSize,
      }),
    tokens: positive
      .optional()
      .describe(
        "tokens of one step, padding counted, in place of size: texts of similar length share a batch, whose rows are as many as find room",
      ),
    lengths: positive.max(64).default(usualLengths).describe("padded lengths that batches of tokens have at most"),
    lanes: positive
      .default(1)
      .describe("pieces in which a batch is summed; fixes the bytes for any number of processes"),
    microbatch: positive
      .optional()
      .describe("rows that are computed at once, of which a lane has several; left out, a lane of the smallest batch"),
    coupling: z
      .enum(["none", "linear", "sqrt"])
      .default("none")
      .describe("what a learning rate does as batches change: nothing, as they do, as their root does"),
  })
  .check(({ value: { tokens, size, lengths, microbatch, coupling }, issues }) => {
    const beside = { size: size !== undefined, microbatch: microbatch !== undefined, coupling: coupling !== "none" };
    const isSet = tokens === undefined ? { lengths: lengths !== usualLengths } : beside;
    const message = tokens === undefined ? "has no meaning without tokens" : "has no meaning beside tokens";
    for (const [key] of Object.entries(isSet).filter(([, set]) => set))
      issues.push({ code: "custom", path: [key], message, input: key });
  })
  .transform(({ size, ...rest }) => ({ ...(rest.tokens === undefined ? { size: size ?? usualSize } : {}), ...rest }));
/** `batch: 64` and `batch: all` name the size. */
const sizeAlone = (value: unknown): unknown =>
  typeof value === "number" || typeof value === "string" ? { size: value } : value;

const maskingSchema = z.strictObject({
  share: share.default(0.15).describe("masked-language-model: tokens of a window that are to be guessed"),
  wholeWords: z.boolean().default(true).describe("all tokens of a word, or none"),
  hidden: z.number().min(0).max(1).default(0.8).describe("of these, behind [MASK]"),
  random: z
    .number()
    .min(0)
    .max(1)
    .default(0.1)
    .describe("of these, another token in their place; the rest is left as it is"),
});

const spansSchema = z.strictObject({
  noise: share.max(0.9).default(0.15).describe("span-corruption: share of a text's tokens that is hidden"),
  meanLength: z.number().min(1).default(3).describe("mean length of a hidden span, in tokens"),
});

/** What may be learnt of texts beside each next token. */
export const textObjectives = ["span-corruption", "prefix"] as const;

/** Value types a table's column may be given. */
export const columnTypes = ["number", "category", "text", "boolean", "ignore"] as const;

export const dataSchema = z
  .strictObject({
    path: z
      .string()
      .min(1)
      .optional()
      .describe(
        "file, .gz, folder or glob; relative to the recipe. A folder may be shards of tokens; a file of images, train-images-idx3-ubyte, has its labels beside it",
      ),
    mix: z
      .array(
        z.strictObject({
          path: z.string().min(1).describe("file, .gz, folder or glob"),
          weight: varyingSchema(z.number().min(0))
            .default(1)
            .describe("share of the rows, beside the other weights; a course over samples, tokens or epochs"),
        }),
      )
      .min(2)
      .optional()
      .describe(
        "texts, conversations, masked-language-model: several sources in place of path, each { path, weight }, drawn from by weights",
      ),
    source: z
      .string()
      .min(1)
      .optional()
      .describe("where to get the data, in words for people: shown when there is nothing at path"),
    rows: z
      .custom<Iterable<unknown> | AsyncIterable<unknown>>(isIterable, "expected an array or an iterable")
      .optional()
      .describe("data in memory instead of a path, from code: texts, or records"),
    cache: z
      .string()
      .min(1)
      .optional()
      .describe(
        "language models: folder where tokens and trained tokenizers are kept, so that a text is tokenized once; needed above 1 GiB of tokens",
      ),
    format: z
      .enum(["csv", "jsonl"])
      .optional()
      .describe("table, labelled texts, pairs: how the files are read; left out, by their ending"),
    context: varyingSchema(positive)
      .optional()
      .describe(
        "language models: tokens of the pieces that training rows are cut into, such as piecewise: { values: [64, 128, 256], … }, each a divisor of the model's context; left out, rows stay whole",
      ),
    heldOut: share.default(0.1).describe("share of the data kept for evaluation"),
    heldOutPath: z
      .string()
      .min(1)
      .optional()
      .describe(
        "table, images, labelled texts, token-classification, question-answering, multiple-choice, pairs: other data to evaluate on, instead of a share",
      ),
    invalid: z.enum(["error", "skip", "replace"]).default("error").describe("what to do with text that is not UTF-8"),
    target: z
      .union([z.string(), z.number().int()])
      .optional()
      .describe(
        "column to predict: of a table by name or position, left out the last; of labelled texts by name, left out label; of pairs of texts what is written, left out target",
      ),
    text: z
      .string()
      .optional()
      .describe(
        "labelled and packed texts: column of the text, left out text; pairs of texts: column of what is read, left out source",
      ),
    header: z
      .union([z.boolean(), z.array(z.string().min(1)).min(1)])
      .optional()
      .describe("table, labelled texts, pairs: whether the first line holds names, or the names; left out, detected"),
    separator: z
      .enum([",", ";", "\t", "|"])
      .optional()
      .describe("table, labelled texts, pairs: what separates fields; left out, detected"),
    quote: z
      .enum(['"', "none"])
      .optional()
      .describe('table, labelled texts: none takes quote characters as text; left out, "'),
    missingMarkers: z
      .array(z.string())
      .optional()
      .describe(
        "table, labelled texts, pairs: cells that stand for a missing value; left out, empty, ?, NA, N/A, null and NULL, for labelled texts empty alone",
      ),
    columns: z
      .record(z.string(), z.enum(columnTypes))
      .default({})
      .describe("table: column types that override what is detected"),
    task: z
      .enum(taskNames)
      .exclude(["language-model", "sequence-to-sequence"])
      .optional()
      .describe(
        "table, bert; gpt, llama: classification, regression, multiple-choice; textClassifier: classification, regression: what to learn; left out, by the target's type, classification for bert and textClassifier, and next tokens for gpt and llama",
      ),
    masking: maskingSchema.prefault({}),
    objective: z
      .enum(textObjectives)
      .optional()
      .describe(
        "texts: what is learnt of them; span-corruption: what stands in hidden spans (t5, transformer, seq2seq); prefix: what follows a beginning of random length; left out, each next token",
      ),
    spans: spansSchema.prefault({}),
    bins: z
      .number()
      .int()
      .min(2)
      .max(256)
      .optional()
      .describe("table: a column of numbers also becomes so many bins of equal shares of its values; left out, none"),
    missing: z.enum(["impute", "drop", "error"]).default("impute").describe("table: what to do with missing numbers"),
    missingTarget: z
      .enum(["error", "drop"])
      .optional()
      .describe("table: what to do with rows without a target; left out, error"),
    notFinite: z
      .enum(["error", "missing"])
      .optional()
      .describe("table: numbers that are NaN or infinite: refuse them, or take them as missing; left out, error"),
    chat: chatSchema.optional().describe("language models: rows are conversations to learn from, not texts"),
    packing: z
      .boolean()
      .default(false)
      .describe(
        "conversations, texts: several share a row of the context, none sees another; left out, each conversation has a row to itself, and texts are one stream",
      ),
    onShort: z
      .enum(["error", "truncate", "wrap"])
      .default("error")
      .describe(
        "conversations, table, labelled texts, pairs, images: a batch larger than the data: refuse, make it smaller, or repeat rows",
      ),
  })
  .describe("where the data comes from");

const watchSchema = z.strictObject({
  onSpike: z
    .enum(["tell", ...anomalyPolicies])
    .default("tell")
    .describe("a loss or gradient that leaps up: make the step and tell it, stop before it, leave it out, or go back"),
  rollbacks: z.number().int().nonnegative().default(3).describe("times that a run may go back; one more ends it"),
  rateFactor: z
    .number()
    .gt(0)
    .lte(1)
    .default(0.5)
    .describe("the learning rate times it, each time that a run goes back"),
  every: z
    .number()
    .int()
    .nonnegative()
    .default(100)
    .describe("steps between looks at gradients and updates, more often at first; 0 for none"),
  onWarning: z.enum(["tell", "stop"]).default("tell").describe("what else the watch finds: tell it, or stop"),
});

const settings = z.strictObject({
  name: z
    .string()
    .regex(/^[\w.-]+$/)
    .optional()
    .describe("part of the run folder's name"),
  data: dataSchema,
  from: z
    .string()
    .min(1)
    .optional()
    .describe(
      "folder of a model to begin with, from the Hugging Face Hub or exported: its weights, and its model and tokenizer where the recipe has none; left out, weights are drawn",
    ),
  tokenizer: tokenizerSchema.optional(),
  model: oneOf(Object.fromEntries([...modelFamilies].map(([name, { schema }]) => [name, schema])))
    .optional()
    .describe(
      "one model family and its configuration, such as gpt: { layers, heads, width, context }; left out, the model of from",
    ),
  init: initSchema
    .default([])
    .describe(
      "how selected parameters start, by name or with numbers, such as { select: [h.*.mlp.*.weight], as: orthogonal }; of several the last holds",
    ),
  mup: mupSchema
    .optional()
    .describe(
      "settings of the narrow model on which the learning rate was found, such as { width: 64, heads: 2 }: starts and rates follow the width; left out, they do not",
    ),
  adapter: adapterSchema
    .optional()
    .describe(
      "what is trained beside a model that stays as it is, such as lora: { targets }, prompt: { tokens } or prefix: { tokens }; left out, the model is trained",
    ),
  loss: lossSchema
    .optional()
    .describe("one loss and its settings; left out, cross-entropy for classes and squared error for numbers"),
  optimizer: optimizerSchema
    .prefault({ adamw: {} })
    .describe("one optimizer and its settings, such as adamw: { lr: 1e-3 }"),
  batch: (
    z.preprocess(sizeAlone, batchSchema) as z.ZodType<
      z.output<typeof batchSchema>,
      z.input<typeof batchSchema> | number | "all"
    >
  ).prefault({}),
  steps: z
    .number()
    .int()
    .nonnegative()
    .default(1000)
    .describe("optimizer updates, unless stop or eval.patience ends the run before"),
  stop: z
    .strictObject({
      tolerance: z
        .number()
        .positive()
        .optional()
        .describe("norm of a step's gradient at or below which the run ends; left out, never"),
      minutes: z
        .number()
        .positive()
        .optional()
        .describe("time that the run may work, all its pieces together; left out, without end"),
    })
    .prefault({})
    .describe("what else ends a run, evaluated and saved"),
  seed: z
    .number()
    .int()
    .min(0)
    .max(Number.MAX_SAFE_INTEGER)
    .default(1)
    .describe("of initialization, order of the data, dropout"),
  precision: z
    .enum(["f32", "bf16", "f64"])
    .default("f32")
    .describe(
      "f32; bf16: mixed, weights and sums in f32 and what matmuls read in bf16; f64: everything, on the reference engine alone",
    ),
  weights: z
    .enum(["f32", "bf16"])
    .default("f32")
    .describe(
      "how matrices are kept; bf16: in two bytes, rounded up or down by chance at each update so that the mean is right",
    ),
  memory: z
    .union([z.string(), z.number().int().positive()])
    .refine(isBytes, {
      error: ({ input }) =>
        `expected bytes, or a number with B, KiB, MiB, GiB or TiB, such as "4GiB", got ${JSON.stringify(input)}`,
    })
    .optional()
    .describe(
      'budget of the planned peak, such as "4GiB": what does not fit is recomputed; left out, memory is not spared',
    ),
  recompute: z
    .enum(recomputeModes)
    .default("auto")
    .describe(
      "activations computed again in the backward pass: as few as memory asks for, none, or all that save some",
    ),
  engine: z
    .strictObject({
      name: z
        .enum(["auto", "native", "reference"])
        .default("auto")
        .describe("auto: the native engine where it is built"),
      threads: z
        .union([positive.max(256), z.literal("auto")])
        .default("auto")
        .describe("threads of the native engine; results do not depend on it"),
      isa: z
        .enum(["auto", "avx512bf16", "avx512", "avx2", "portable"])
        .default("auto")
        .describe("instruction set; a resumed run keeps its own"),
    })
    .prefault({}),
  eval: z
    .strictObject({
      every: z
        .number()
        .int()
        .nonnegative()
        .default(250)
        .describe("steps between evaluations; the last step is evaluated too; 0 for none"),
      batch: positive
        .optional()
        .describe("rows of an evaluation batch; left out, the smallest batch.size, or 256 where that is all"),
      patience: z
        .number()
        .int()
        .nonnegative()
        .default(0)
        .describe(
          "early stopping: evaluations without a lower loss after which the run ends, with the best state restored; 0 for never",
        ),
    })
    .prefault({}),
  checkpoint: z
    .strictObject({
      every: z
        .number()
        .int()
        .nonnegative()
        .default(250)
        .describe("steps between checkpoints; the end is always saved, 0 saves it alone"),
      keep: z.number().int().min(2).default(2).describe("newest checkpoints kept"),
      best: z
        .number()
        .int()
        .nonnegative()
        .default(1)
        .describe("checkpoints of the lowest held-out loss kept beside them"),
    })
    .prefault({}),
  samples: z
    .strictObject({
      prompt: z.string().default("\n").describe("text that samples go on from"),
      tokens: positive.default(200).describe("tokens of a sample"),
      temperature: z.number().positive().default(0.8).describe("1 as trained, lower is safer"),
      every: z
        .number()
        .int()
        .nonnegative()
        .default(0)
        .describe("steps between samples; 0 for one before the run and one after it"),
    })
    .optional()
    .describe("text samples during training"),
  onNonFinite: z
    .enum(anomalyPolicies)
    .default("stop")
    .describe(
      "a step that is not finite: stop, leave it out (up to nine in a row), or go back to the last checkpoint with a lower learning rate",
    ),
  watch: watchSchema.prefault({}),
});

export const recipeSchema = settings.check(({ value: { model, weights, precision }, issues }) => {
  if (model === undefined)
    issues.push({
      code: "custom",
      path: ["model"],
      message: "missing; a model family, or from: a folder",
      input: model,
    });
  if (weights === "bf16" && precision === "f64")
    issues.push({ code: "custom", path: ["weights"], message: "needs precision f32 or bf16", input: weights });
});

/** A validated recipe, every default filled in. */
export type Recipe = z.output<typeof recipeSchema> & { readonly model: { readonly [family: string]: unknown } };
/** What a user writes: defaults may be left out. */
export type RecipeInput = z.input<typeof recipeSchema>;

function isBytes(value: string | number): boolean {
  try {
    return parseBytes(value) > 0;
  } catch (error) {
    if (error instanceof AthanorError) return false;
    throw error;
  }
}

function isIterable(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Symbol.iterator in value || Symbol.asyncIterator in value;
}

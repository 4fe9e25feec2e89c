// One text as it grows: what the model sees of it, which token comes next, and when it ends. Runs no model.
import { z } from "zod";
import { parseConfig, RandomStream } from "../base/index.ts";
import { chooseToken, logProbability, samplingSchema } from "./sampling.ts";

export const contextEnds = ["slide", "stop"] as const;

export const generationSchema = samplingSchema.extend({
  maxTokens: z.number().int().positive().default(200),
  seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0).describe("same seed, same text"),
  sample: z.number().int().nonnegative().default(0).describe("number of the sample: several differ under one seed"),
  samples: z.number().int().positive().default(1).describe("texts for each prompt, numbered from `sample` on"),
  stopTokens: z.array(z.number().int()).default([]).describe("ids that end the text; not part of it"),
  logProbabilities: z.boolean().default(false).describe("say what the model thought of each token"),
  atContextEnd: z
    .enum(contextEnds)
    .default("slide")
    .describe("when the context is full: go on from its last half, read anew; or stop"),
});

/** Plain settings, and the signal that ends generation after the token under way. */
export type GenerationOptions = z.input<typeof generationSchema> & { readonly signal?: AbortSignal };
type Generation = z.output<typeof generationSchema>;

/** Why a text ended. */
export type GenerationEnding = "maxTokens" | "stopToken" | "stopString" | "contextEnd" | "aborted";

/** A generated text as ids, without its prompt. */
export interface GeneratedTokens {
  readonly tokens: readonly number[];
  /** ln p of each token, as the model gives it before temperature and the rest; only if asked for. */
  readonly logProbabilities?: readonly number[];
  readonly ending: GenerationEnding;
}

export class Sequence {
  readonly prompt: readonly number[];
  readonly sample: number;
  readonly tokens: number[] = [];
  /** Set when nothing more will come; may be set from outside. */
  ending: GenerationEnding | undefined;
  /** What the model sees, and how much of it stands in the cache. */
  private window: readonly number[];
  private numRead = 0;
  private readonly context: number;
  private readonly settings: Generation;
  private readonly random: RandomStream;
  private readonly logProbabilities: number[] = [];

  constructor(prompt: readonly number[], { settings, sample, context }: SequenceOptions) {
    this.prompt = prompt;
    this.sample = sample;
    this.settings = settings;
    this.context = context;
    this.random = new RandomStream(settings.seed, "generate");
    this.window = prompt.slice(-context);
  }

  /** The next tokens to read, at most `most`, and where they stand. */
  unread(most: number): { readonly tokens: readonly number[]; readonly position: number } {
    return { tokens: this.window.slice(this.numRead, this.numRead + most), position: this.numRead };
  }

  /** `count` tokens were read, and `logits` came after the last. True when the text gained a token, or ended. */
  take(count: number, logits: Float64Array): boolean {
    this.numRead += count;
    if (this.numRead < this.window.length) return false;
    const { settings, tokens } = this;
    const uniform = this.random.uniform(tokens.length, this.sample);
    const seen = settings.repetitionPenalty === undefined ? [] : [...this.prompt, ...tokens];
    const token = chooseToken(logits, settings, uniform, seen);
    if (settings.stopTokens.includes(token)) {
      this.ending = "stopToken";
      return true;
    }
    tokens.push(token);
    if (settings.logProbabilities) this.logProbabilities.push(logProbability(logits, token));
    if (tokens.length === settings.maxTokens) this.ending = "maxTokens";
    else if (this.window.length < this.context) this.window = [...this.window, token];
    else if (settings.atContextEnd === "stop") this.ending = "contextEnd";
    else {
      this.window = [...this.window, token].slice(-Math.ceil(this.context / 2));
      this.numRead = 0;
    }
    return true;
  }

  result(): GeneratedTokens {
    const { tokens, logProbabilities, settings } = this;
    const ending = this.ending ?? "aborted";
    return { tokens, ...(settings.logProbabilities ? { logProbabilities } : {}), ending };
  }
}

interface SequenceOptions {
  readonly settings: Generation;
  readonly sample: number;
  readonly context: number;
}

/** Settings without the signal, checked. Errors with `config/invalid`. */
export function parseGeneration({ signal: _, ...plain }: GenerationOptions): Generation {
  return parseConfig(generationSchema, plain, "generate");
}

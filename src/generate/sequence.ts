// One text as it grows: what the model sees of it, which token comes next, and when it ends. Runs no model.
import { z } from "zod";
import { parseConfig, RandomStream } from "../base/index.ts";
import type { DraftModel } from "./draft-model.ts";
import {
  chooseToken,
  drawToken,
  judgeProposal,
  logProbability,
  type Proposal,
  samplingSchema,
  tokenWeights,
} from "./sampling.ts";

export const contextEnds = ["slide", "stop"] as const;

export const generationSchema = samplingSchema.extend({
  maxTokens: z.number().int().positive().default(200),
  seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0).describe("same seed, same text"),
  sample: z.number().int().nonnegative().default(0).describe("number of the sample: several differ under one seed"),
  samples: z.number().int().positive().default(1).describe("texts for each prompt, numbered from `sample` on"),
  stopTokens: z.array(z.number().int()).default([]).describe("ids that end the text; not part of it"),
  draftTokens: z.number().int().positive().default(4).describe("tokens that a draft model proposes at once"),
  logProbabilities: z.boolean().default(false).describe("say what the model thought of each token"),
  atContextEnd: z
    .enum(contextEnds)
    .default("slide")
    .describe("when the context is full: go on from its last half, read anew; or stop"),
});

/** Plain settings, the signal that ends generation after the token under way, and a smaller model that proposes tokens. */
export type GenerationOptions = z.input<typeof generationSchema> & {
  readonly signal?: AbortSignal;
  readonly draft?: DraftModel;
};
type Generation = z.output<typeof generationSchema>;

/** Why a text ended. */
export type GenerationEnding = "maxTokens" | "stopToken" | "stopString" | "contextEnd" | "aborted";

/** A generated text as ids, without its prompt. */
export interface GeneratedTokens {
  readonly tokens: readonly number[];
  /** ln p of each token, as the model gives it before temperature and the rest; only if asked for. */
  readonly logProbabilities?: readonly number[];
  readonly ending: GenerationEnding;
  /** How many tokens a draft model proposed, and how many of them were taken; only if any were. */
  readonly draft?: DraftCounts;
}

export interface DraftCounts {
  readonly proposed: number;
  readonly accepted: number;
}

/** The numbers drawn for one place of a text: for the token, for a draft's proposal, for whether that is accepted. */
const draws = { token: 0, proposal: 1, acceptance: 2 } as const;

export class Sequence {
  readonly prompt: readonly number[];
  readonly sample: number;
  readonly tokens: number[] = [];
  /** Set when nothing more will come; may be set from outside. */
  ending: GenerationEnding | undefined;
  private readonly proposals = { proposed: 0, accepted: 0 };
  /** What the model sees, and how much of it stands in the cache. */
  window: readonly number[];
  private numRead = 0;
  private readonly context: number;
  readonly settings: Generation;
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

  /** Tokens that may be proposed: so many fit before the context or the text ends with one more. */
  get room(): number {
    return Math.min(this.context - this.window.length, this.settings.maxTokens - this.tokens.length - 1);
  }

  /** A draft's token, by its `logits`, after the text and what it has `drafted`: the settings are those of the text. */
  propose(logits: Float64Array, drafted: readonly number[]): Proposal {
    const weights = tokenWeights(logits, this.settings, this.seen(drafted));
    const at = this.tokens.length + drafted.length;
    this.proposals.proposed++;
    return { token: drawToken(weights, this.random.uniform(at, this.sample, draws.proposal)), weights };
  }

  /** `count` tokens were read, and `logits` came after the last; where a draft made a `proposal`, it is judged. True when the text gained a token, or ended. */
  take(count: number, logits: Float64Array, proposal?: Proposal): boolean {
    this.numRead += count;
    if (this.numRead < this.window.length) return false;
    const { settings, tokens } = this;
    const token = this.choose(logits, proposal);
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

  private choose(logits: Float64Array, proposal: Proposal | undefined): number {
    const { settings, sample, random, tokens } = this;
    const uniform = random.uniform(tokens.length, sample, draws.token);
    if (proposal === undefined) return chooseToken(logits, settings, uniform, this.seen());
    const weights = tokenWeights(logits, settings, this.seen());
    const token = judgeProposal(proposal, weights, random.uniform(tokens.length, sample, draws.acceptance), uniform);
    if (token === proposal.token) this.proposals.accepted++;
    return token;
  }

  private seen(drafted: readonly number[] = []): readonly number[] {
    return this.settings.repetitionPenalty === undefined ? [] : [...this.prompt, ...this.tokens, ...drafted];
  }

  result(): GeneratedTokens {
    const { tokens, logProbabilities, settings, proposals } = this;
    const ending = this.ending ?? "aborted";
    return {
      tokens,
      ...(settings.logProbabilities ? { logProbabilities } : {}),
      ending,
      ...(proposals.proposed === 0 ? {} : { draft: { ...proposals } }),
    };
  }
}

interface SequenceOptions {
  readonly settings: Generation;
  readonly sample: number;
  readonly context: number;
}

/** The plain settings, checked. Errors with `config/invalid`. */
export function parseGeneration({ signal: _, draft: __, ...plain }: GenerationOptions): Generation {
  return parseConfig(generationSchema, plain, "generate");
}

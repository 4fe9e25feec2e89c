// Token after token from a language model, over a cache of keys and values. Knows ids, no text.
//
// Two programs share the store with whatever trained the weights: `prefill` reads a chunk of the prompt, `decode` one token.
// The cache is a multiple of the chunk long; what lies behind the tokens given is written over before it is ever seen.
import { z } from "zod";
import { fail, fromNumbers, parseConfig, RandomStream, toNumbers } from "../base/index.ts";
import { compile } from "../compiler/index.ts";
import { type Tensor, trace } from "../core/index.ts";
import type { Engine, Program, Store } from "../engine/index.ts";
import { functionalCall, KeyValueCache, type Module, storedParameters } from "../nn/index.ts";
import { chooseToken, samplingSchema } from "./sampling.ts";

/** A model that can be asked for the logits (B, V) of one of the tokens given, the earlier ones being in a cache. */
export interface CachedLanguageModel extends Module {
  readonly config: { readonly context: number; readonly vocab: number };
  decodeRow(tokens: Tensor, cache: KeyValueCache, row: Tensor): Tensor;
}

/** True for modules that can decode step by step. */
export function isCachedLanguageModel(model: object): model is CachedLanguageModel {
  return "decodeRow" in model && typeof model.decodeRow === "function";
}

export const contextEnds = ["slide", "stop"] as const;

export const generationSchema = samplingSchema.extend({
  maxTokens: z.number().int().positive().default(200),
  seed: z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(0).describe("same seed, same text"),
  sample: z.number().int().nonnegative().default(0).describe("number of the sample: several differ under one seed"),
  stopTokens: z.array(z.number().int()).default([]).describe("ids that end the text; not part of it"),
  atContextEnd: z
    .enum(contextEnds)
    .default("slide")
    .describe("when the context is full: go on from its last half, read anew; or stop"),
});

/** Plain settings, and the signal that ends generation after the token under way. */
export type GenerationOptions = z.input<typeof generationSchema> & { readonly signal?: AbortSignal };

/** Why a text ended. */
export type GenerationEnding = "maxTokens" | "stopToken" | "contextEnd" | "aborted";

export interface GeneratorOptions {
  readonly engine: Engine;
  /** Holds the model's parameters under their names. */
  readonly store: Store;
  readonly model: CachedLanguageModel;
  /** Makes the weights, traced; left out, they are the parameters in the store. */
  readonly weights?: () => ReadonlyMap<string, Tensor>;
  /** Ids below this are drawn; default all rows of the head. A padded vocabulary has more rows than ids. */
  readonly vocabSize?: number;
  /** Tokens of the prompt read by one run; default 64. */
  readonly chunk?: number;
  /** Tokens that the cache has room for, at most the model's context; default that, up to 4,096. */
  readonly context?: number;
}

/** Published models reach much further than their cache should by itself: a gigabyte or more. */
const mostContext = 4096;

export class TokenGenerator {
  readonly context: number;
  private readonly engine: Engine;
  private readonly vocabSize: number;
  private readonly chunk: number;
  private readonly prefill: Program;
  private readonly decode: Program;
  /** Ends when no generation is under way: there is one cache, so they wait for each other. */
  private free: Promise<void> = Promise.resolve();

  /** Compiles the programs. Errors with `store/unknown` when the store lacks a parameter. */
  constructor(options: GeneratorOptions) {
    const { engine, store, model, vocabSize = model.config.vocab } = options;
    const context = Math.min(options.context ?? mostContext, model.config.context);
    this.engine = engine;
    this.context = context;
    this.vocabSize = Math.min(vocabSize, model.config.vocab);
    this.chunk = Math.min(options.chunk ?? 64, context);
    const length = Math.ceil(context / this.chunk) * this.chunk;
    const load = (numTokens: number) => engine.load(decodePlan(options, { numTokens, length }), store);
    this.prefill = load(this.chunk);
    this.decode = load(1);
  }

  /**
   * Ids that follow `prompt`, one by one; returns why it ended. Of a prompt longer than the context the last `context` ids are
   * seen, or with `atContextEnd: "stop"` it is refused. Generations of one generator run one after the other: finish (or `break`
   * out of) one before awaiting the next in the same function.
   *
   * Errors with `generate/prompt`, `generate/context`, `generate/not-finite`, `config/invalid`.
   */
  async *generate(
    prompt: readonly number[],
    options: GenerationOptions = {},
  ): AsyncGenerator<number, GenerationEnding> {
    const { signal, ...plain } = options;
    const settings = parseConfig(generationSchema, plain, "generate");
    const slides = settings.atContextEnd === "slide";
    this.checkPrompt(prompt, slides);
    const random = new RandomStream(settings.seed, "generate");
    const release = await this.acquire();
    try {
      let window = prompt.slice(-this.context);
      let logits = await this.read(window);
      for (let count = 0; ; count++) {
        const uniform = random.uniform(count, settings.sample);
        const token = chooseToken(logits, settings, uniform);
        if (settings.stopTokens.includes(token)) return "stopToken";
        yield token;
        if (count + 1 === settings.maxTokens) return "maxTokens";
        if (signal?.aborted) return "aborted";
        if (window.length < this.context) {
          window.push(token);
          logits = await this.run(this.decode, [token], window.length - 1, 0);
        } else if (slides) {
          window = [...window, token].slice(-Math.ceil(this.context / 2));
          logits = await this.read(window);
        } else return "contextEnd";
      }
    } finally {
      release();
    }
  }

  private async acquire(): Promise<() => void> {
    const before = this.free;
    let release = () => {};
    this.free = new Promise((resolve) => {
      release = resolve;
    });
    await before;
    return release;
  }

  /** Fills the cache with `tokens` from position 0 on; the logits after the last. */
  private async read(tokens: readonly number[]): Promise<Float64Array> {
    if (tokens.length === 1) return this.run(this.decode, tokens, 0, 0);
    let logits = new Float64Array();
    for (let start = 0; start < tokens.length; start += this.chunk) {
      const part = tokens.slice(start, start + this.chunk);
      const filled = [...part, ...new Array<number>(this.chunk - part.length).fill(0)];
      logits = await this.run(this.prefill, filled, start, part.length - 1);
    }
    return logits;
  }

  private async run(
    program: Program,
    tokens: readonly number[],
    position: number,
    row: number,
  ): Promise<Float64Array<ArrayBuffer>> {
    const feeds = {
      tokens: fromNumbers("i32", [1, tokens.length], tokens),
      position: fromNumbers("i32", [], [position]),
      // a program for one token may have no use for it
      ...(program.plan.feeds.some(({ name }) => name === "row") ? { row: fromNumbers("i32", [], [row]) } : {}),
    };
    const [result] = await this.engine.run([{ program, feeds }]);
    return Float64Array.from(toNumbers(result!.outputs.logits!).subarray(0, this.vocabSize));
  }

  private checkPrompt(prompt: readonly number[], slides: boolean): void {
    if (prompt.length === 0)
      fail("generate/prompt", "there is nothing to go on from", {
        expected: "at least one token",
        got: "an empty prompt",
        fix: 'give a prompt, such as "\\n"',
      });
    const wrong = prompt.find((id) => !(Number.isInteger(id) && id >= 0 && id < this.vocabSize));
    if (wrong !== undefined)
      fail("generate/prompt", "the prompt has an id that the model does not know", {
        expected: `0 to ${this.vocabSize - 1}`,
        got: String(wrong),
        fix: "use the tokenizer that the model was trained with",
      });
    if (!slides && prompt.length > this.context) {
      fail("generate/context", "the prompt is longer than the context", {
        expected: `at most ${this.context} tokens`,
        got: String(prompt.length),
        fix: 'shorten it, or use atContextEnd: "slide"',
      });
    }
  }
}

function decodePlan(
  { engine, store, model, weights }: GeneratorOptions,
  { numTokens, length }: { numTokens: number; length: number },
) {
  const types = [...model.parameters().keys()].map((name) => store.typeOf(name));
  const graph = trace(
    {
      tokens: { dtype: "i32", shape: [1, numTokens] },
      position: { dtype: "i32", shape: [] },
      row: { dtype: "i32", shape: [] },
    },
    ({ tokens, position, row }) => {
      const cache = new KeyValueCache({ position, length, prefix: `cache.${length}` });
      const parameters = weights?.() ?? storedParameters(types);
      return { logits: functionalCall(model, parameters, () => model.decodeRow(tokens, cache, row)) };
    },
    { mode: "eval", floatDType: types[0]!.dtype === "f64" ? "f64" : "f32" },
  );
  return compile(graph, engine.target);
}

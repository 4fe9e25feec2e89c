// Token after token from a language model, for one prompt or many at once. Knows ids, no text.
//
// Programs share the store with whatever trained the weights. Several texts grow in the rows of one cache; a row whose text has
// ended takes the next that waits. A text does not depend on what else grows beside it.
import { fail, parseConfig } from "../base/index.ts";
import { type BeamOptions, BeamSearch, beamSchema, type Hypothesis } from "./beam-search.ts";
import { CachedDecoder, type DecoderOptions } from "./cached-decoder.ts";
import type { DraftModel } from "./draft-model.ts";
import {
  type GeneratedTokens,
  type GenerationEnding,
  type GenerationOptions,
  parseGeneration,
  Sequence,
} from "./sequence.ts";

export interface GeneratorOptions extends DecoderOptions {
  /** Ids below this are drawn; default all rows of the head. A padded vocabulary has more rows than ids. */
  readonly vocabSize?: number;
  /** Tokens of the prompt read by one run; default 64. */
  readonly chunk?: number;
  /** Tokens that the cache has room for, at most the model's context; default that, up to 4,096. */
  readonly context?: number;
  /** Most texts that grow at once; default 8. Each has its part of the cache. */
  readonly batch?: number;
}

/** Published models reach much further than their cache should by itself: a gigabyte or more. */
const mostContext = 4096;

export class TokenGenerator {
  readonly context: number;
  private readonly options: GeneratorOptions;
  private readonly vocabSize: number;
  private readonly chunk: number;
  private readonly batch: number;
  private readonly decoders = new Map<number, CachedDecoder>();
  /** Ends when no generation is under way: there is one cache, so they wait for each other. */
  private free: Promise<void> = Promise.resolve();

  /** Compiles the programs for one text. Errors with `store/unknown` when the store lacks a parameter. */
  constructor(options: GeneratorOptions) {
    const { model, vocabSize = model.config.vocab } = options;
    this.options = options;
    this.context = Math.min(options.context ?? mostContext, model.config.context - (model.start ?? 0));
    this.vocabSize = Math.min(vocabSize, model.config.vocab);
    this.chunk = Math.min(options.chunk ?? 64, this.context);
    this.batch = options.batch ?? 8;
    this.decoderFor(1);
  }

  /**
   * Ids that follow `prompt`, one by one; returns why it ended. Of a prompt longer than the context the last `context` ids are
   * seen, or with `atContextEnd: "stop"` it is refused. Generations of one generator run one after the other: finish (or `break`
   * out of) one before awaiting the next in the same function.
   *
   * Errors with `generate/prompt`, `generate/context`, `generate/not-finite`, `generate/draft`, `config/invalid`.
   */
  async *generate(
    prompt: readonly number[],
    options: GenerationOptions = {},
  ): AsyncGenerator<number, GenerationEnding> {
    const [sequence] = this.sequences([prompt], { ...options, samples: 1 });
    let shown = 0;
    for await (const { tokens } of this.grow([sequence!], options)) if (tokens.length > shown) yield tokens[shown++]!;
    return sequence!.ending ?? "aborted";
  }

  /**
   * What follows every prompt, `samples` times each: first all of the first prompt, and so on. As many as `batch` grow at once.
   * Errors as `generate`.
   */
  async generateAll(
    prompts: readonly (readonly number[])[],
    options: GenerationOptions = {},
  ): Promise<GeneratedTokens[]> {
    const sequences = this.sequences(prompts, options);
    for await (const _ of this.grow(sequences, options));
    return sequences.map((sequence) => sequence.result());
  }

  /**
   * The likeliest texts after `prompt` that a search with so many beams finds, the best first; `ends` are the tokens that end one.
   * Errors as `generate`; the prompt and `maxTokens` must fit into the context together.
   */
  async search(
    prompt: readonly number[],
    options: BeamOptions,
    ends: readonly number[],
  ): Promise<readonly Hypothesis[]> {
    const settings = parseConfig(beamSchema, options, "generate");
    this.checkPrompt(prompt, false);
    if (prompt.length + settings.maxTokens > this.context + 1)
      fail("generate/context", "the texts of a search do not slide", {
        expected: `prompt and maxTokens within the context of ${this.context} tokens`,
        got: `${prompt.length} and ${settings.maxTokens}`,
        fix: "shorten the prompt, or ask for fewer tokens",
      });
    const release = await this.acquire();
    try {
      const decoder = this.decoderFor(settings.beams);
      const search = new BeamSearch(settings, ends);
      const logitsAfter = async (tokens: readonly (readonly number[])[], position: number) => {
        const parts = Array.from({ length: decoder.rows }, (_, row) => ({ tokens: tokens[row] ?? [], position }));
        const rows = (await decoder.read(parts)).slice(0, tokens.length);
        return rows.map((row) => row.subarray(0, this.vocabSize));
      };
      let logits: Float64Array[] = [];
      let position = 0;
      for (; position < prompt.length; position += this.chunk)
        logits = await logitsAfter([prompt.slice(position, position + this.chunk)], position);
      for (position = prompt.length; ; position++) {
        search.advance(logits);
        if (search.isDone) return search.best;
        await decoder.reorder(search.parents);
        logits = await logitsAfter(
          search.tokens.map((token) => [token]),
          position,
        );
      }
    } finally {
      release();
    }
  }

  /** The texts to be, not yet begun. Errors as `generate`. */
  sequences(prompts: readonly (readonly number[])[], options: GenerationOptions): Sequence[] {
    const settings = parseGeneration(options);
    options.draft?.check(this.vocabSize);
    for (const prompt of prompts) this.checkPrompt(prompt, settings.atContextEnd === "slide");
    const numbers = Array.from({ length: settings.samples }, (_, i) => settings.sample + i);
    const { context } = this;
    return prompts.flatMap((prompt) => numbers.map((sample) => new Sequence(prompt, { settings, sample, context })));
  }

  /**
   * Lets the texts grow to their ends. Yields a text whenever it gained a token or ended; whoever reads may end it, too. With a draft
   * model one text grows after the other.
   */
  async *grow(sequences: readonly Sequence[], { signal, draft }: GenerationOptions = {}): AsyncGenerator<Sequence> {
    const release = await this.acquire();
    try {
      if (draft !== undefined) {
        for (const sequence of sequences) if (!signal?.aborted) yield* this.speculate(sequence, draft, signal);
        return;
      }
      const decoder = this.decoderFor(Math.min(sequences.length, this.batch));
      const waiting = [...sequences];
      let rows = new Array<Sequence | undefined>(decoder.rows).fill(undefined);
      for (;;) {
        rows = rows.map((row) => (row === undefined || row.ending !== undefined ? waiting.shift() : row));
        if (rows.every((row) => row === undefined)) return;
        const parts = rows.map((row) => row?.unread(this.chunk) ?? { tokens: [], position: 0 });
        const logits = await decoder.read(parts);
        for (const [at, row] of rows.entries()) {
          if (row === undefined) continue;
          if (!row.take(parts[at]!.tokens.length, logits[at]!.subarray(0, this.vocabSize))) continue;
          if (signal?.aborted) row.ending ??= "aborted";
          yield row;
        }
        if (signal?.aborted) waiting.length = 0;
      }
    } finally {
      release();
    }
  }

  /** One text, of which the draft proposes tokens: the model reads them at once, up to the first that it does not take. */
  private async *speculate(sequence: Sequence, draft: DraftModel, signal?: AbortSignal): AsyncGenerator<Sequence> {
    const decoder = this.decoderFor(1);
    const most = Math.min(sequence.settings.draftTokens, this.chunk, this.context - 1);
    draft.forget();
    while (sequence.ending === undefined) {
      const { tokens, position } = sequence.unread(this.chunk);
      const isNext = position + 1 === sequence.window.length;
      const proposals = isNext ? await draft.propose(sequence, most, this.vocabSize) : [];
      const drafted = proposals.map(({ token }) => token);
      const logits =
        drafted.length === 0
          ? await decoder.read([{ tokens, position }])
          : await decoder.readEach({ tokens: [...tokens, ...drafted], position }, most + 1);
      for (const [at, row] of logits.entries()) {
        const gained = sequence.take(at === 0 ? tokens.length : 1, row.subarray(0, this.vocabSize), proposals[at]);
        if (!gained) break;
        if (signal?.aborted) sequence.ending ??= "aborted";
        yield sequence;
        if (sequence.ending !== undefined || sequence.tokens.at(-1) !== drafted[at]) break;
      }
    }
  }

  /** Programs for `count` texts at once, in as many rows as the next power of two. */
  private decoderFor(count: number): CachedDecoder {
    const rows = 2 ** Math.ceil(Math.log2(Math.max(1, count)));
    const { context, chunk } = this;
    const decoder = this.decoders.get(rows) ?? new CachedDecoder(this.options, { rows, context, chunk });
    this.decoders.set(rows, decoder);
    return decoder;
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

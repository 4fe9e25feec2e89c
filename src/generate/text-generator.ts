// Text from a language model: a tokenizer around the token generator. Streaming never shows half a character, nor the beginning
// of a stop string.
import { z } from "zod";
import { parseConfig } from "../base/index.ts";
import type { BeamOptions, Hypothesis } from "./beam-search.ts";
import type { GeneratedTokens, GenerationOptions, Sequence } from "./sequence.ts";
import { TextTail } from "./text-tail.ts";
import { type GeneratorOptions, TokenGenerator } from "./token-generator.ts";

/** The part of a tokenizer that generation needs. */
export interface TextTokenizer {
  readonly vocabSize: number;
  encode(text: string): ArrayLike<number>;
  /** Decodes id by id; `push` gives "" while a character is unfinished. */
  decodeStream(): { push(id: number): string; end(): string };
}

/** A text to go on from, or its ids. */
export type Prompt = string | ArrayLike<number>;

/** Settings, and strings at which a text ends; they are not part of it. */
export type TextGenerationOptions = GenerationOptions & { readonly stop?: string | readonly string[] };

/** A generated text, without its prompt. Its tokens are all that were drawn, those of a stop string too. */
export interface GeneratedText extends GeneratedTokens {
  readonly text: string;
}

/** Settings of a search with beams, and ids that end a text. */
export type TextSearchOptions = BeamOptions & { readonly stopTokens?: readonly number[] };

/** A text that a search found. */
export interface FoundText extends Hypothesis {
  readonly text: string;
}

export interface TextGenerator {
  readonly tokens: TokenGenerator;
  /** The text that follows the prompt, whole. */
  generate(prompt: Prompt, options?: TextGenerationOptions): Promise<GeneratedText>;
  /** What follows every prompt, `samples` times each: first all of the first prompt, and so on. Many grow at once. */
  generateAll(prompts: readonly Prompt[], options?: TextGenerationOptions): Promise<GeneratedText[]>;
  /** The likeliest texts that a search with several beams finds, the best first. The prompt and they must fit into the context. */
  search(prompt: Prompt, options?: TextSearchOptions): Promise<FoundText[]>;
  /** One text piece by piece, as it is made; `break` ends it. Joined, the pieces are the text that `generate` gives. */
  stream(prompt: Prompt, options?: TextGenerationOptions): AsyncGenerator<string, GeneratedText>;
}

const stopSchema = z
  .union([
    z
      .string()
      .min(1)
      .transform((stop) => [stop]),
    z.array(z.string().min(1)),
  ])
  .default([]);

/**
 * A generator of text over trained weights. No copy of the weights is made: programs share the store.
 *
 * @example
 * ```ts
 * import type { Engine, Gpt, Store, TextTokenizer } from "athanor";
 * import { createGenerator } from "athanor";
 * async function tell(engine: Engine, store: Store, model: Gpt, tokenizer: TextTokenizer) {
 *   const generator = createGenerator({ engine, store, model, tokenizer });
 *   for await (const piece of generator.stream("Once", { maxTokens: 100, temperature: 0.8 })) process.stdout.write(piece);
 *   const both = await generator.generateAll(["Q: 1 + 1 = ?", "Q: 2 + 3 = ?"], { stop: "\n", temperature: 0 });
 *   console.log(both.map(({ text }) => text));
 * }
 * ```
 */
export function createGenerator(options: GeneratorOptions & { readonly tokenizer: TextTokenizer }): TextGenerator {
  const { tokenizer } = options;
  const tokens = new TokenGenerator({ ...options, vocabSize: options.vocabSize ?? tokenizer.vocabSize });

  const idsOf = (prompt: Prompt) => Array.from(typeof prompt === "string" ? tokenizer.encode(prompt) : prompt);

  /** Texts in the making; `grow` gives each piece with the number of its text. */
  function begin(prompts: readonly Prompt[], { stop, ...settings }: TextGenerationOptions) {
    const stops = parseConfig(stopSchema, stop, "generate.stop");
    const sequences = tokens.sequences(prompts.map(idsOf), settings);
    const texts = new Map(sequences.map((one) => [one, new DecodedText(one, tokenizer, stops)]));
    async function* grow() {
      for await (const sequence of tokens.grow(sequences, settings)) yield texts.get(sequence)!.update();
    }
    return { grow, results: () => sequences.map((sequence) => texts.get(sequence)!.result()) };
  }

  async function* stream(prompt: Prompt, settings: TextGenerationOptions = {}): AsyncGenerator<string, GeneratedText> {
    const { grow, results } = begin([prompt], { ...settings, samples: 1 });
    for await (const piece of grow()) if (piece !== "") yield piece;
    return results()[0]!;
  }

  async function generateAll(prompts: readonly Prompt[], settings: TextGenerationOptions = {}) {
    const { grow, results } = begin(prompts, settings);
    for await (const _ of grow());
    return results();
  }

  async function search(prompt: Prompt, { stopTokens = [], ...options }: TextSearchOptions = {}) {
    const found = await tokens.search(idsOf(prompt), options, stopTokens);
    return found.map((one) => {
      const decoder = tokenizer.decodeStream();
      const text = one.tokens.map((id) => decoder.push(id)).join("");
      return { ...one, text: text + decoder.end() };
    });
  }

  return {
    tokens,
    stream,
    generateAll,
    search,
    generate: async (prompt, settings) => (await generateAll([prompt], { ...settings, samples: 1 }))[0]!,
  };
}

/** A sequence read as text. */
class DecodedText {
  private readonly sequence: Sequence;
  private readonly decoder: ReturnType<TextTokenizer["decodeStream"]>;
  private readonly tail: TextTail;
  private numRead = 0;

  constructor(sequence: Sequence, tokenizer: TextTokenizer, stops: readonly string[]) {
    this.sequence = sequence;
    this.decoder = tokenizer.decodeStream();
    this.tail = new TextTail(stops);
  }

  /** Takes what the sequence gained, and ends it at a stop string; gives what may be shown. */
  update(): string {
    const { sequence, decoder, tail } = this;
    let shown = "";
    while (this.numRead < sequence.tokens.length) shown += tail.push(decoder.push(sequence.tokens[this.numRead++]!));
    if (sequence.ending !== undefined) shown += tail.push(decoder.end()) + tail.end();
    if (tail.stopped) sequence.ending = "stopString";
    return shown;
  }

  result(): GeneratedText {
    return { text: this.tail.text, ...this.sequence.result() };
  }
}

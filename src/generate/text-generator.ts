// Text from a language model: a tokenizer around the token generator. Streaming never shows half a character.
import {
  type GenerationEnding,
  type GenerationOptions,
  type GeneratorOptions,
  TokenGenerator,
} from "./token-generator.ts";

/** The part of a tokenizer that generation needs. */
export interface TextTokenizer {
  readonly vocabSize: number;
  encode(text: string): ArrayLike<number>;
  /** Decodes id by id; `push` gives "" while a character is unfinished. */
  decodeStream(): { push(id: number): string; end(): string };
}

/** A generated text, without its prompt. */
export interface GeneratedText {
  readonly text: string;
  readonly tokens: readonly number[];
  readonly ending: GenerationEnding;
}

export interface TextGenerator {
  readonly tokens: TokenGenerator;
  /** The text that follows the prompt, whole. */
  generate(prompt: string, options?: GenerationOptions): Promise<GeneratedText>;
  /** The same piece by piece, as it is made; `break` ends it. Joined, the pieces are the text that `generate` gives. */
  stream(prompt: string, options?: GenerationOptions): AsyncGenerator<string, GeneratedText>;
}

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
 * }
 * ```
 */
export function createGenerator(options: GeneratorOptions & { readonly tokenizer: TextTokenizer }): TextGenerator {
  const { tokenizer } = options;
  const tokens = new TokenGenerator({ ...options, vocabSize: options.vocabSize ?? tokenizer.vocabSize });
  async function* stream(prompt: string, settings: GenerationOptions = {}): AsyncGenerator<string, GeneratedText> {
    const source = tokens.generate(Array.from(tokenizer.encode(prompt)), settings);
    const ids: number[] = [];
    const decoder = tokenizer.decodeStream();
    let text = "";
    try {
      for (let next = await source.next(); ; next = await source.next()) {
        const piece = next.done ? decoder.end() : decoder.push(next.value);
        text += piece;
        if (piece !== "") yield piece;
        if (next.done) return { text, tokens: ids, ending: next.value };
        ids.push(next.value);
      }
    } finally {
      await source.return("aborted"); // gives the cache back when the reader stops early
    }
  }
  return {
    tokens,
    stream,
    generate: async (prompt, settings) => {
      const source = stream(prompt, settings);
      let next = await source.next();
      while (!next.done) next = await source.next();
      return next.value;
    },
  };
}

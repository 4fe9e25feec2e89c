// Texts that a trained encoder–decoder makes from texts: a tokenizer around the beams.
import type { Tokenizer } from "../data/index.ts";
import { type BeamOptions, SequenceGenerator, type SequenceGeneratorOptions } from "../generate/index.ts";

/** A text made from another. */
export interface TextPrediction {
  readonly text: string;
  /** Log-probability of its tokens over length^lengthPenalty. */
  readonly score: number;
}

export class SequenceTexts {
  private readonly generator: SequenceGenerator;
  private readonly tokenizer: Tokenizer;
  private readonly context: number;

  constructor(options: SequenceGeneratorOptions & { readonly tokenizer: Tokenizer }) {
    this.tokenizer = options.tokenizer;
    this.context = options.model.config.context;
    this.generator = new SequenceGenerator({ ...options, vocabSize: options.tokenizer.vocabSize });
  }

  /** The likeliest text found for each source, of which as much is read as in training. */
  async write(sources: readonly string[], options: BeamOptions = {}): Promise<TextPrediction[]> {
    const ids = sources.map((source) => this.tokenizer.encode(source).subarray(0, this.context - 1));
    const found = await this.generator.generate(ids, options);
    return found.map(([best]) => ({ text: this.tokenizer.decode(best!.tokens), score: best!.score }));
  }
}

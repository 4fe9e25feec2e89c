// Speculative decoding (Leviathan et al. 2023; Chen et al. 2023): a small model proposes tokens, the large one reads them in one
// run and keeps those that it would have drawn itself. The text's distribution stays exactly that of the large model.
import { fail } from "../base/index.ts";
import { CachedDecoder, type DecoderOptions } from "./cached-decoder.ts";
import type { Proposal } from "./sampling.ts";
import type { Sequence } from "./sequence.ts";

/** A model that proposes tokens to a larger one with the same ids. May serve several generators. */
export class DraftModel {
  readonly options: DecoderOptions;
  private readonly context: number;
  private readonly decoder: CachedDecoder;
  /** The tokens whose keys and values stand in the cache. */
  private cached: readonly number[] = [];

  /** Compiles its programs. Errors with `store/unknown` when the store lacks a parameter. */
  constructor(options: DecoderOptions) {
    const context = options.model.config.context - (options.model.start ?? 0);
    this.options = options;
    this.context = context;
    this.decoder = new CachedDecoder(options, { rows: 1, context, chunk: Math.min(64, context), name: "cache.draft" });
  }

  /** Errors with `generate/draft` unless it knows the ids below `vocabSize`. */
  check(vocabSize: number): void {
    const { vocab } = this.options.model.config;
    if (vocab < vocabSize)
      fail("generate/draft", "the draft model does not know all tokens of the model", {
        where: "draft",
        expected: `a vocabulary of at least ${vocabSize} tokens`,
        got: `${vocab} tokens`,
        fix: "use a draft that was trained with the model's tokenizer",
      });
  }

  /** A text begins: what it is given does not depend on the one before. */
  forget(): void {
    this.cached = [];
  }

  /** Up to `most` tokens to follow the text, fewer at its end; none where it is longer than the draft's own context. */
  async propose(sequence: Sequence, most: number, vocabSize: number): Promise<Proposal[]> {
    const { window, room } = sequence;
    const count = Math.min(most, room, this.context - window.length);
    const proposals: Proposal[] = [];
    while (proposals.length < count) {
      const drafted = proposals.map(({ token }) => token);
      const logits = await this.logitsAfter([...window, ...drafted]);
      proposals.push(sequence.propose(logits.subarray(0, vocabSize), drafted));
    }
    return proposals;
  }

  /** Reads what is not yet in the cache. */
  private async logitsAfter(tokens: readonly number[]): Promise<Float64Array> {
    for (;;) {
      const common = tokens.findIndex((token, at) => token !== this.cached[at]);
      const position = common < 0 ? tokens.length - 1 : common;
      const part = tokens.slice(position, position + this.decoder.chunk);
      this.cached = tokens.slice(0, position + part.length);
      const [logits] = await this.decoder.read([{ tokens: part, position }]);
      if (position + part.length === tokens.length) return logits!;
    }
  }
}

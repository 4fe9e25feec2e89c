// The byte-level BPE tokenizer: encodes with a cache of words, decodes, and is saved as a `tokenizer.json` that the
// `tokenizers` library loads and encodes alike. Learns nothing: `bpe-trainer.ts` does.
import { fail } from "../base/index.ts";
import { type MergeTable, mergeWord } from "./bpe-merge.ts";
import type { BpeVocabulary } from "./bpe-trainer.ts";
import { alphabetBytes, alphabetOrder, byteToChar, isInAlphabet } from "./byte-alphabet.ts";
import { PairTable } from "./pair-table.ts";
import { wordEnd } from "./pre-tokenizer.ts";
import {
  type DecodeStream,
  failId,
  hashTokenizer,
  IdBuffer,
  saveTokenizer,
  specialToken,
  type Tokenizer,
  type TokenizerFile,
} from "./tokenizer.ts";

const maxCachedWords = 2 ** 18;
const maxCachedLength = 64;

/** A tokenizer over bytes: any text can be encoded, and decoding gives it back exactly. */
export class BpeTokenizer implements Tokenizer {
  readonly kind = "bpe";
  readonly vocabSize: number;
  readonly specialTokens: ReadonlyMap<string, number>;
  private readonly vocabulary: BpeVocabulary;
  private readonly table: MergeTable;
  private readonly byteIds = new Int32Array(256);
  /** Bytes by id, filled in when first asked for. */
  private readonly tokenBytes: (Uint8Array | undefined)[];
  /** A word's single id, or -1 - where its length and ids stand in `pool`. */
  private readonly cache = new Map<string, number>();
  private pool = new Int32Array(2 ** 16);
  private poolSize = 0;
  private scratch = new Int32Array(256);
  private readonly encoder = new TextEncoder();
  private bytes = new Uint8Array(256);
  private cachedHash: string | undefined;

  /** Errors with `tokenizer/file` when the vocabulary contradicts itself. */
  constructor(vocabulary: BpeVocabulary) {
    this.vocabulary = vocabulary;
    const { tokens, merges, specialTokens } = vocabulary;
    this.vocabSize = tokens.length;
    const ids = new Map(tokens.map((token, id) => [token, id]));
    if (ids.size !== tokens.length) refuse("a token stands twice in the vocabulary");
    const idOf = (token: string) =>
      ids.get(token) ?? refuse(`the vocabulary lacks ${JSON.stringify(token.slice(0, 80))}`);
    this.specialTokens = new Map(specialTokens.map((token) => [token, idOf(token)]));
    byteToChar.forEach((char, byte) => {
      this.byteIds[byte] = idOf(char);
    });
    this.tokenBytes = new Array<undefined>(tokens.length).fill(undefined);
    for (const token of tokens) {
      if (!isInAlphabet(token) && !this.specialTokens.has(token))
        refuse(`the token ${JSON.stringify(token.slice(0, 80))} is not written in bytes`);
    }
    this.table = { ranks: new PairTable(merges.length), results: new Int32Array(merges.length) };
    merges.forEach(([left, right], rank) => {
      const [a, b] = [tokens[left], tokens[right]];
      if (!a || !b) refuse(`merge ${rank} has an empty or unknown part`);
      const result = idOf(a + b);
      if (this.specialTokens.has(a + b)) refuse(`merge ${rank} makes a special token of text`);
      this.table.ranks.set(left, right, rank);
      this.table.results[rank] = result;
    });
  }

  get hash(): string {
    this.cachedHash ??= hashTokenizer(this.toJSON());
    return this.cachedHash;
  }

  encode(text: string): Int32Array {
    const ids = new IdBuffer(Math.max(16, text.length >> 1));
    for (let at = 0; at < text.length; ) {
      const end = wordEnd(text, at);
      this.encodeWord(text.slice(at, end), ids);
      at = end;
    }
    return ids.toArray();
  }

  decode(ids: ArrayLike<number>): string {
    const parts = new Array<Uint8Array>(ids.length);
    for (let i = 0; i < ids.length; i++) parts[i] = this.bytesOf(ids[i]);
    return Buffer.concat(parts).toString("utf8");
  }

  decodeStream(): DecodeStream {
    const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
    return {
      push: (id) => decoder.decode(this.bytesOf(id), { stream: true }),
      end: () => decoder.decode(),
    };
  }

  toJSON(): TokenizerFile {
    const { tokens, merges } = this.vocabulary;
    return {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: [...this.specialTokens].map(([content, id]) => specialToken(content, id)),
      normalizer: null,
      pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
      post_processor: null,
      decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
      model: {
        type: "BPE",
        dropout: null,
        unk_token: null,
        continuing_subword_prefix: null,
        end_of_word_suffix: null,
        fuse_unk: false,
        byte_fallback: false,
        ignore_merges: false,
        vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
        merges: merges.map(([left, right]) => [tokens[left], tokens[right]]),
      },
    };
  }

  save(path: string): Promise<void> {
    return saveTokenizer(this.toJSON(), path);
  }

  private encodeWord(word: string, out: IdBuffer): void {
    const cached = this.cache.get(word);
    if (cached === undefined) this.encodeNewWord(word, out);
    else if (cached >= 0) out.push(cached);
    else {
      const start = -cached;
      out.append(this.pool, start, start + this.pool[start - 1]);
    }
  }

  private encodeNewWord(word: string, out: IdBuffer): void {
    if (this.bytes.length < 3 * word.length) {
      this.bytes = new Uint8Array(3 * word.length);
      this.scratch = new Int32Array(3 * word.length);
    }
    const { bytes, scratch } = this;
    const { written } = this.encoder.encodeInto(word, bytes);
    for (let i = 0; i < written; i++) scratch[i] = this.byteIds[bytes[i]];
    const length = mergeWord(scratch, written, this.table);
    out.append(scratch, 0, length);
    if (word.length > maxCachedLength) {
      if (scratch.length > 2 ** 20) [this.bytes, this.scratch] = [new Uint8Array(256), new Int32Array(256)];
      return;
    }
    if (this.cache.size >= maxCachedWords) {
      this.cache.clear();
      this.poolSize = 0;
    }
    this.cache.set(word, length === 1 ? scratch[0] : -this.keep(scratch, length));
  }

  /** Stores length and ids in the pool; returns where the ids begin. */
  private keep(ids: Int32Array, length: number): number {
    if (this.poolSize + length + 1 > this.pool.length) {
      const grown = new Int32Array(2 * this.pool.length);
      grown.set(this.pool);
      this.pool = grown;
    }
    this.pool[this.poolSize] = length;
    const start = this.poolSize + 1;
    this.pool.set(ids.subarray(0, length), start);
    this.poolSize = start + length;
    return start;
  }

  private bytesOf(id: number): Uint8Array {
    const known = this.tokenBytes[id];
    if (known !== undefined) return known;
    const token = this.vocabulary.tokens[id] ?? failId(id, this.vocabSize);
    const bytes = alphabetBytes(token) ?? Buffer.from(token, "utf8"); // only special tokens may be outside
    this.tokenBytes[id] = bytes;
    return bytes;
  }
}

/** The tokenizer whose tokens are the 256 bytes, and special tokens behind them: nothing to train, any text, long sequences. */
export function byteTokenizer(specialTokens: readonly string[] = []): BpeTokenizer {
  const tokens = [...alphabetOrder.map((byte) => byteToChar[byte]), ...specialTokens];
  return new BpeTokenizer({ tokens, merges: [], specialTokens });
}

function refuse(what: string): never {
  fail("tokenizer/file", "the vocabulary of the tokenizer contradicts itself", { got: what });
}

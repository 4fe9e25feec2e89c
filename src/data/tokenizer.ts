// What every tokenizer can do, and what they share: id buffers, saving, decoding piece by piece. No tokenizer itself.
import { createHash, randomUUID } from "node:crypto";
import { open, rename, rm } from "node:fs/promises";
import { fail } from "../base/index.ts";

/** Text to token ids and back. Text that looks like a special token is text. */
export interface Tokenizer {
  /** `char` and `bpe` are ours; `foreign` is any other `tokenizer.json`, run by the `tokenizers` library. */
  readonly kind: "char" | "bpe" | "foreign";
  /** Ids run from 0 to `vocabSize - 1`. */
  readonly vocabSize: number;
  /** SHA-256 of the tokenizer: equal tokenizers give equal ids. */
  readonly hash: string;
  /** Special tokens (such as `<|endoftext|>`) and their ids. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /** Ids of `text`. Errors: `tokenizer/unknown-character` (kind `char`), `tokenizer/timeout` (kind `foreign`). */
  encode(text: string): Int32Array;
  /** Text of `ids`; bytes that are not UTF-8 become U+FFFD. Errors with `tokenizer/id` outside the vocabulary. */
  decode(ids: ArrayLike<number>): string;
  /** Decodes id by id: text comes as soon as its last byte is there. */
  decodeStream(): DecodeStream;
  /** The content of a `tokenizer.json`, which the `tokenizers` library loads. */
  toJSON(): TokenizerFile;
  /** Writes `toJSON()` to `path`, whole or not at all. */
  save(path: string): Promise<void>;
}

/** Decodes a growing sequence. */
export interface DecodeStream {
  /** The text that `id` completes; empty while a character is unfinished. */
  push(id: number): string;
  /** What remains: U+FFFD for an unfinished character. */
  end(): string;
}

/** A `tokenizer.json`, as far as we look into it. */
export interface TokenizerFile {
  readonly version: string;
  readonly added_tokens?: readonly AddedToken[];
  readonly normalizer?: unknown;
  readonly pre_tokenizer?: unknown;
  readonly post_processor?: unknown;
  readonly decoder?: unknown;
  readonly model: unknown;
  readonly [key: string]: unknown;
}

export interface AddedToken {
  readonly id: number;
  readonly content: string;
  readonly special: boolean;
  readonly single_word: boolean;
  readonly lstrip: boolean;
  readonly rstrip: boolean;
  readonly normalized: boolean;
}

/** A special token, as a `tokenizer.json` lists it. */
export function specialToken(content: string, id: number): AddedToken {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true };
}

/** SHA-256 (hex) of a tokenizer's content. */
export function hashTokenizer(file: TokenizerFile): string {
  return createHash("sha256").update(JSON.stringify(file)).digest("hex");
}

/** Writes JSON beside `path` and renames it, so that a crash leaves the old file or the new. */
export async function saveTokenizer(file: object, path: string): Promise<void> {
  const temporary = `${path}.tmp-${randomUUID().slice(0, 8)}`;
  try {
    const handle = await open(temporary, "wx");
    try {
      await handle.writeFile(JSON.stringify(file, null, 1));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
  } catch (cause) {
    await rm(temporary, { force: true });
    fail("tokenizer/save", "the tokenizer cannot be saved", { where: path, got: String(cause), cause });
  }
}

/** A growing array of ids. */
export class IdBuffer {
  length = 0;
  private data: Int32Array;

  constructor(capacity = 1024) {
    this.data = new Int32Array(capacity);
  }

  push(id: number): void {
    if (this.length === this.data.length) this.reserve(1);
    this.data[this.length++] = id;
  }

  /** Appends `source[start..end)`. */
  append(source: Int32Array, start: number, end: number): void {
    this.reserve(end - start);
    for (let i = start; i < end; i++) this.data[this.length++] = source[i];
  }

  /** A copy of the ids. */
  toArray(): Int32Array {
    return this.data.slice(0, this.length);
  }

  private reserve(more: number): void {
    if (this.length + more <= this.data.length) return;
    const grown = new Int32Array(Math.max(2 * this.data.length, this.length + more));
    grown.set(this.data.subarray(0, this.length));
    this.data = grown;
  }
}

/** Errors with `tokenizer/id`. */
export function failId(id: number, vocabSize: number): never {
  fail("tokenizer/id", "there is no such token", {
    expected: `an integer from 0 to ${vocabSize - 1}`,
    got: String(id),
    fix: "the ids come from another tokenizer or model",
  });
}

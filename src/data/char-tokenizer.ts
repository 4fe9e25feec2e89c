// The tokenizer whose tokens are the characters (Unicode code points) of its training text. Small vocabularies, exact, and
// strict: a character that training never saw is an error, not a token.
import { fail } from "../base/index.ts";
import {
  type DecodeStream,
  failId,
  hashTokenizer,
  saveTokenizer,
  type Tokenizer,
  type TokenizerFile,
} from "./tokenizer.ts";

/** Collects the characters of texts. */
export class CharacterSet {
  private readonly seen = new Uint8Array(0x110000);

  /** Adds every code point of `text`. */
  add(text: string): void {
    for (let i = 0; i < text.length; i++) {
      const codePoint = text.codePointAt(i)!;
      this.seen[codePoint] = 1;
      if (codePoint >= 0x10000) i++;
    }
  }

  /** The characters, by code point. */
  toArray(): string[] {
    const characters: string[] = [];
    this.seen.forEach((present, codePoint) => {
      if (present) characters.push(String.fromCodePoint(codePoint));
    });
    return characters;
  }
}

/** One token per character, numbered in the order given (by code point when trained). */
export class CharTokenizer implements Tokenizer {
  readonly kind = "char";
  readonly vocabSize: number;
  readonly specialTokens: ReadonlyMap<string, number> = new Map();
  private readonly characters: readonly string[];
  private readonly basic = new Int32Array(0x10000).fill(-1);
  private readonly astral = new Map<number, number>();
  private cachedHash: string | undefined;

  /** Errors with `tokenizer/file` unless every entry is one character and all differ. */
  constructor(characters: readonly string[]) {
    this.characters = characters;
    this.vocabSize = characters.length;
    characters.forEach((character, id) => {
      const codePoint = character.codePointAt(0);
      const whole =
        codePoint !== undefined && character === String.fromCodePoint(codePoint) && !/\p{Surrogate}/u.test(character);
      if (!whole || this.idOf(codePoint) >= 0) {
        fail("tokenizer/file", "a character tokenizer holds distinct single characters", {
          got: JSON.stringify(character.slice(0, 20)),
        });
      }
      if (codePoint < 0x10000) this.basic[codePoint] = id;
      else this.astral.set(codePoint, id);
    });
  }

  /** The tokenizer of the characters that occur in `text`. */
  static train(text: string): CharTokenizer {
    const set = new CharacterSet();
    set.add(text);
    return new CharTokenizer(set.toArray());
  }

  get hash(): string {
    this.cachedHash ??= hashTokenizer(this.toJSON());
    return this.cachedHash;
  }

  encode(text: string): Int32Array {
    const ids = new Int32Array(text.length);
    let length = 0;
    for (let i = 0; i < text.length; i++) {
      const codePoint = text.codePointAt(i)!;
      const id = this.idOf(codePoint);
      if (id < 0) failCharacter(text, i, this.vocabSize);
      ids[length++] = id;
      if (codePoint >= 0x10000) i++;
    }
    return length === ids.length ? ids : ids.slice(0, length);
  }

  decode(ids: ArrayLike<number>): string {
    const parts = new Array<string>(ids.length);
    for (let i = 0; i < ids.length; i++) parts[i] = this.characters[ids[i]] ?? failId(ids[i], this.vocabSize);
    return parts.join("");
  }

  decodeStream(): DecodeStream {
    return { push: (id) => this.decode([id]), end: () => "" };
  }

  /**
   * A word-level model over single characters. Its unknown token is in no vocabulary, so that the library, as we do,
   * refuses a character it does not know.
   */
  toJSON(): TokenizerFile {
    return {
      version: "1.0",
      truncation: null,
      padding: null,
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: { type: "Split", pattern: { Regex: characterPattern }, behavior: "Isolated", invert: false },
      post_processor: null,
      decoder: { type: "Fuse" },
      model: {
        type: "WordLevel",
        vocab: Object.fromEntries(this.characters.map((character, id) => [character, id])),
        unk_token: "<no unknown token>",
      },
    };
  }

  save(path: string): Promise<void> {
    return saveTokenizer(this.toJSON(), path);
  }

  private idOf(codePoint: number): number {
    return codePoint < 0x10000 ? this.basic[codePoint] : (this.astral.get(codePoint) ?? -1);
  }
}

/** The pattern that splits text into characters in the files we write. */
export const characterPattern = "[\\s\\S]";

function failCharacter(text: string, at: number, vocabSize: number): never {
  const character = String.fromCodePoint(text.codePointAt(at)!);
  const code = text.codePointAt(at)!.toString(16).toUpperCase().padStart(4, "0");
  fail("tokenizer/unknown-character", "a character is not in the vocabulary", {
    where: `character ${[...text.slice(0, at)].length + 1} of the text`,
    expected: `one of the ${vocabSize} characters of the training text`,
    got: `${JSON.stringify(character)} (U+${code}) in ${JSON.stringify(text.slice(Math.max(0, at - 20), at + 20))}`,
    fix: "leave it out, or train with a BPE tokenizer, which can encode any text",
  });
}

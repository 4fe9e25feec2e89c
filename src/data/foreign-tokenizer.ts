// Any other `tokenizer.json` as a Tokenizer. What is special here is only this: text that looks like a special token must
// stay text, so the library encodes with a copy of the file in which no special token can be matched.
import { randomUUID } from "node:crypto";
import { LibraryBridge } from "./library-bridge.ts";
import {
  type DecodeStream,
  failId,
  hashTokenizer,
  saveTokenizer,
  type Tokenizer,
  type TokenizerFile,
} from "./tokenizer.ts";

/** What tokenizers hold by their content: those of the same file share a process. */
const bridges = new Map<string, WeakRef<LibraryBridge>>();

/** A tokenizer that the `tokenizers` library runs, in a process of its own. */
export class ForeignTokenizer implements Tokenizer {
  readonly kind = "foreign";
  readonly hash: string;
  readonly vocabSize: number;
  readonly specialTokens: ReadonlyMap<string, number>;
  private readonly file: TokenizerFile;
  private readonly bridge: LibraryBridge;

  /** Errors: `tokenizer/file`, `tokenizer/timeout` (a call longer than `timeoutMs`, default 30 s). */
  constructor(file: TokenizerFile, options: { readonly timeoutMs?: number } = {}) {
    this.file = file;
    const special = (file.added_tokens ?? []).filter((token) => token.special);
    this.specialTokens = new Map(special.map(({ content, id }) => [content, id]));
    this.hash = hashTokenizer(file);
    this.bridge = this.share(options.timeoutMs);
    this.vocabSize = this.bridge.vocabSize;
  }

  private share(timeoutMs?: number): LibraryBridge {
    const key = `${this.hash} ${timeoutMs}`;
    const known = bridges.get(key)?.deref();
    if (known !== undefined) return known;
    const plain = { ...this.file, truncation: null, padding: null };
    const encoder = withoutSpecialTokens(plain, this.specialTokens);
    const bridge = new LibraryBridge(JSON.stringify(encoder), JSON.stringify(plain), timeoutMs);
    bridges.set(key, new WeakRef(bridge));
    return bridge;
  }

  encode(text: string): Int32Array {
    return text === "" ? new Int32Array(0) : this.bridge.encode(text);
  }

  decode(ids: ArrayLike<number>): string {
    for (let i = 0; i < ids.length; i++) {
      const id = ids[i];
      if (!Number.isInteger(id) || id < 0 || id >= this.vocabSize) failId(id, this.vocabSize);
    }
    return ids.length === 0 ? "" : this.bridge.decode(ids);
  }

  /** A token's text may depend on the one before, so each step decodes the last few tokens again. */
  decodeStream(): DecodeStream {
    let ids: number[] = [];
    let told = 0; // how many of `ids` have been told already
    const rest = () => this.decode(ids).slice(this.decode(ids.slice(0, told)).length);
    return {
      push: (id) => {
        ids.push(id);
        const text = rest();
        if (text === "" || (text.endsWith("\ufffd") && ids.length - told < 8)) return "";
        ids = ids.slice(told);
        told = ids.length;
        return text;
      },
      end: () => rest(),
    };
  }

  toJSON(): TokenizerFile {
    return this.file;
  }

  save(path: string): Promise<void> {
    return saveTokenizer(this.file, path);
  }
}

/**
 * The file with its special tokens renamed, past guessing. Those in merges, and bytes, keep their name and are no added tokens; the others stay in their
 * place among these, as the library counts ids from the place where the vocabulary has none.
 */
function withoutSpecialTokens(file: TokenizerFile, special: ReadonlyMap<string, number>): TokenizerFile {
  const model = file.model as { vocab?: unknown; merges?: unknown; unk_token?: unknown; byte_fallback?: unknown };
  const inMerges = new Set(Array.isArray(model.merges) ? model.merges.flat().map(String) : []);
  const nonce = randomUUID();
  const isByte = (token: string) => model.byte_fallback === true && /^<0x[0-9A-F]{2}>$/.test(token); // any text needs them
  const rename = (token: string) =>
    special.has(token) && !inMerges.has(token) && !isByte(token) ? `\u{10fffd}${nonce}-${special.get(token)}` : token;
  const added_tokens = (file.added_tokens ?? []).flatMap((token) => {
    const content = rename(token.content);
    if (!token.special) return [token];
    return content === token.content ? [] : [{ ...token, content, normalized: false }];
  });
  const vocab = Array.isArray(model.vocab)
    ? model.vocab.map(([token, score]: [string, number]) => [rename(token), score])
    : Object.fromEntries(Object.entries(model.vocab ?? {}).map(([token, id]) => [rename(token), id]));
  const unk_token = typeof model.unk_token === "string" ? rename(model.unk_token) : (model.unk_token ?? null);
  return { ...file, post_processor: null, added_tokens, model: { ...model, vocab, unk_token } };
}

// How a tokenizer is trained: the model, and what happens to text before and after it, by names. Says what each name is in a
// `tokenizer.json`; learns nothing.
import { fail } from "../base/index.ts";
import { specialToken } from "./tokenizer.ts";

/** What is done to text before it is cut. */
export const normalizers = {
  none: null,
  nfc: { type: "NFC" },
  nfkc: { type: "NFKC" },
  lowercase: { type: "Lowercase" },
  bert: bertNormalizer(true),
  bertCased: bertNormalizer(false),
} as const;
export type NormalizerName = keyof typeof normalizers;

/** BERT's: control characters go, white space is one kind, CJK characters stand apart; in lower case accents go too. */
function bertNormalizer(lowercase: boolean) {
  return { type: "BertNormalizer", clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase };
}

/** GPT-4's pattern (cl100k_base): as GPT-2's, with numbers of at most three digits and a line's end beside what it ends. */
const cl100kPattern =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const byteLevel = { type: "ByteLevel", add_prefix_space: false, trim_offsets: true };
const metaspace = { type: "Metaspace", replacement: "▁", prepend_scheme: "always", split: true };
const sequence = (...pretokenizers: object[]) => ({ type: "Sequence", pretokenizers });

/** Where text is cut into the words that no token spans. */
const splits = {
  gpt2: { ...byteLevel, use_regex: true },
  cl100k: sequence(
    { type: "Split", pattern: { Regex: cl100kPattern }, behavior: "Isolated", invert: false },
    { ...byteLevel, use_regex: false },
  ),
  bert: { type: "BertPreTokenizer" },
  metaspace,
  punctuation: sequence(metaspace, { type: "Punctuation", behavior: "Isolated" }),
} as const;
export type SplitName = keyof typeof splits;

interface Family {
  readonly normalizer: NormalizerName;
  /** The first is the default. */
  readonly splits: readonly [SplitName, ...SplitName[]];
  readonly specialTokens: readonly string[];
  readonly decoder: object;
  /** Special tokens around a text, and after the second of two, where `specialTokens` has them. */
  readonly around: { readonly before?: string; readonly after?: string };
}

/** What is trained, and its defaults. */
export const tokenizerFamilies = {
  bpe: {
    normalizer: "none",
    splits: ["gpt2", "cl100k"],
    specialTokens: [],
    decoder: { type: "ByteLevel", add_prefix_space: true, trim_offsets: true, use_regex: true },
    around: {},
  },
  wordpiece: {
    normalizer: "bert",
    splits: ["bert"],
    specialTokens: ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    decoder: { type: "WordPiece", prefix: "##", cleanup: true },
    around: { before: "[CLS]", after: "[SEP]" },
  },
  unigram: {
    normalizer: "nfkc",
    splits: ["metaspace", "punctuation"],
    specialTokens: ["<pad>", "</s>", "<unk>"],
    decoder: metaspace,
    around: { after: "</s>" },
  },
} as const satisfies { readonly [name: string]: Family };
export type TokenizerFamily = keyof typeof tokenizerFamilies;
export const familyNames = Object.keys(tokenizerFamilies) as TokenizerFamily[];

export interface TokenizerSettings {
  /** Greatest number of tokens, special tokens included. */
  readonly vocab: number;
  /** Before text is cut: `none`, `nfc`, `nfkc`, `lowercase`, `bert`, `bertCased`. */
  readonly normalizer?: NormalizerName | undefined;
  /** Where it is cut: `gpt2` or `cl100k` (bpe), `bert` (wordpiece), `metaspace` or, with punctuation apart, `punctuation` (unigram). */
  readonly split?: SplitName | undefined;
  /** bpe, wordpiece: a pair seen fewer times is never merged. Default 0. */
  readonly minFrequency?: number | undefined;
}

/** A number is the vocabulary's size, the rest as is usual for the family. */
export type TrainedTokenizerSpec = { readonly [F in TokenizerFamily]?: number | TokenizerSettings | undefined } & {
  /** Further tokens that no text becomes, such as those of a chat template. The first ids are special tokens'. */
  readonly specialTokens?: readonly string[] | undefined;
};

/** True for what names a family. */
export function isTrained(spec: unknown): spec is TrainedTokenizerSpec {
  return typeof spec === "object" && spec !== null && familyNames.some((family) => family in spec);
}

export interface CompleteSettings {
  readonly family: TokenizerFamily;
  readonly vocab: number;
  readonly normalizer: NormalizerName;
  readonly split: SplitName;
  readonly specialTokens: readonly string[];
  readonly minFrequency: number;
}

/** Errors with `tokenizer/split`, `tokenizer/settings`. */
export function completeSettings(spec: TrainedTokenizerSpec): CompleteSettings {
  const family = familyNames.find((name) => spec[name] !== undefined)!;
  const given = spec[family]!;
  const own: TokenizerSettings = typeof given === "number" ? { vocab: given } : given;
  const { splits: known, ...usual }: Family = tokenizerFamilies[family];
  const settings: CompleteSettings = {
    family,
    vocab: own.vocab,
    normalizer: own.normalizer ?? usual.normalizer,
    split: own.split ?? known[0],
    specialTokens: [...new Set([...usual.specialTokens, ...(spec.specialTokens ?? [])])],
    minFrequency: own.minFrequency ?? 0,
  };
  if (!known.includes(settings.split)) {
    fail("tokenizer/split", `${family} does not cut text this way`, {
      where: `tokenizer.${family}.split`,
      expected: known.join(", "),
      got: settings.split,
    });
  }
  if (family === "unigram" && settings.minFrequency > 0) {
    fail("tokenizer/settings", "unigram merges no pairs", {
      where: "tokenizer.unigram.minFrequency",
      expected: "0",
      got: String(settings.minFrequency),
      fix: "leave it out",
    });
  }
  return settings;
}

/** Everything of a `tokenizer.json` but its model. */
export function partsAround({ family, normalizer, split, specialTokens }: CompleteSettings) {
  const { decoder, around }: Family = tokenizerFamilies[family];
  return {
    version: "1.0",
    truncation: null,
    padding: null,
    added_tokens: specialTokens.map(specialToken),
    normalizer: normalizers[normalizer],
    pre_tokenizer: splits[split],
    post_processor: template(around, specialTokens),
    decoder,
  };
}

function template({ before, after }: Family["around"], specialTokens: readonly string[]): object | null {
  const used = [before, after].filter((token) => token !== undefined && specialTokens.includes(token)) as string[];
  if (used.length === 0) return null;
  const special = (token: string | undefined, type_id: number) =>
    token !== undefined && used.includes(token) ? [{ SpecialToken: { id: token, type_id } }] : [];
  const single = [...special(before, 0), { Sequence: { id: "A", type_id: 0 } }, ...special(after, 0)];
  return {
    type: "TemplateProcessing",
    single,
    pair: [...single, { Sequence: { id: "B", type_id: 1 } }, ...special(after, 1)],
    special_tokens: Object.fromEntries(
      used.map((token) => [token, { id: token, ids: [specialTokens.indexOf(token)], tokens: [token] }]),
    ),
  };
}

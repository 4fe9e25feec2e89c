// From a `tokenizer.json` to a Tokenizer: files we wrote (and others of the same form, such as GPT-2's) run on our own
// encoder, anything else on the `tokenizers` library.
import { readFile, stat } from "node:fs/promises";
import { AthanorError, fail, formatBytes } from "../base/index.ts";
import { BpeTokenizer } from "./bpe-tokenizer.ts";
import type { BpeVocabulary } from "./bpe-trainer.ts";
import { CharTokenizer, characterPattern } from "./char-tokenizer.ts";
import { ForeignTokenizer } from "./foreign-tokenizer.ts";
import type { Tokenizer, TokenizerFile } from "./tokenizer.ts";

const maxFileBytes = 2 ** 28;

/**
 * Loads a `tokenizer.json`. Errors: `tokenizer/no-file`, `tokenizer/file` (what is wrong, and where), `tokenizer/timeout`.
 *
 * ```ts
 * const tokenizer = await loadTokenizer("runs/first/tokenizer.json");
 * tokenizer.encode("Hello"); // Int32Array
 * ```
 */
export async function loadTokenizer(path: string): Promise<Tokenizer> {
  const info = await stat(path).catch((cause: NodeJS.ErrnoException) =>
    fail("tokenizer/no-file", "the tokenizer cannot be found", {
      where: path,
      expected: "a tokenizer.json",
      got: cause.code ?? String(cause),
      fix: "check the path; in a recipe it counts from the recipe's folder",
      cause,
    }),
  );
  if (!info.isFile() || info.size > maxFileBytes) {
    fail("tokenizer/file", "this is not a tokenizer file", {
      where: path,
      expected: `a tokenizer.json of at most ${formatBytes(maxFileBytes)}`,
      got: info.isFile() ? formatBytes(info.size) : "not a regular file",
      fix: "give the path of a tokenizer.json",
    });
  }
  return parseTokenizer(await readFile(path, "utf8"), path);
}

const wholeFile = "give the tokenizer.json that was written for the model; a damaged one is fetched or saved again";

/** As `loadTokenizer`, from the file's content; errors say `where` it lies. */
export function parseTokenizer(content: string | TokenizerFile, where?: string): Tokenizer {
  try {
    return tokenizerOf(content);
  } catch (error) {
    throw error instanceof AthanorError && where !== undefined ? error.at(where) : error;
  }
}

function tokenizerOf(content: string | TokenizerFile): Tokenizer {
  let file: unknown = content;
  if (typeof content === "string") {
    try {
      file = JSON.parse(content);
    } catch (cause) {
      fail("tokenizer/file", "the tokenizer file is not JSON", {
        expected: 'an object with a "model"',
        got: String(cause).slice(0, 200),
        fix: wholeFile,
        cause,
      });
    }
  }
  if (!isRecord(file) || !isRecord(file.model)) {
    fail("tokenizer/file", "this is not a tokenizer file", {
      expected: 'an object with a "model"',
      got: isRecord(file) ? `an object with ${Object.keys(file).join(", ") || "nothing in it"}` : typeof file,
      fix: wholeFile,
    });
  }
  return readOwnChar(file) ?? readOwnBpe(file) ?? new ForeignTokenizer(file as TokenizerFile);
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

const absent = (value: unknown) => value === undefined || value === null || value === "" || value === false;

/** Nothing but the model and its pre-tokenizer acts on text. */
function isPlain(file: Record<string, unknown>): boolean {
  return absent(file.truncation) && absent(file.padding) && absent(file.normalizer);
}

function readOwnChar(file: Record<string, unknown>): CharTokenizer | undefined {
  const { model, pre_tokenizer: split, decoder, added_tokens: added } = file;
  if (!isRecord(model) || model.type !== "WordLevel" || !isPlain(file) || !absent(file.post_processor))
    return undefined;
  if (!isRecord(split) || split.type !== "Split" || split.behavior !== "Isolated" || split.invert !== false)
    return undefined;
  if (!isRecord(split.pattern) || split.pattern.Regex !== characterPattern) return undefined;
  if (!isRecord(decoder) || decoder.type !== "Fuse" || (Array.isArray(added) && added.length > 0)) return undefined;
  const tokens = listTokens(readVocabulary(model.vocab));
  return tokens === undefined || tokens.includes(String(model.unk_token)) ? undefined : new CharTokenizer(tokens);
}

function readOwnBpe(file: Record<string, unknown>): BpeTokenizer | undefined {
  const { model, pre_tokenizer: bytes, post_processor: post, decoder, added_tokens: added = [] } = file;
  if (!isRecord(model) || (model.type !== undefined && model.type !== "BPE") || !isPlain(file)) return undefined;
  const options = [
    "dropout",
    "unk_token",
    "continuing_subword_prefix",
    "end_of_word_suffix",
    "byte_fallback",
    "ignore_merges",
  ];
  if (!options.every((option) => absent(model[option]))) return undefined;
  if (!isRecord(bytes) || bytes.type !== "ByteLevel" || bytes.add_prefix_space !== false || bytes.use_regex === false)
    return undefined;
  if (!isRecord(decoder) || decoder.type !== "ByteLevel") return undefined;
  if (!absent(post) && !(isRecord(post) && post.type === "ByteLevel")) return undefined;
  if (!Array.isArray(added) || !added.every((token) => isRecord(token) && token.special === true)) return undefined;
  const specialTokens = added.map(({ content }) => String(content));
  const vocab = readVocabulary(model.vocab);
  for (const { content, id } of added) vocab.set(String(content), Number(id));
  const tokens = listTokens(vocab);
  if (tokens === undefined) return undefined;
  return new BpeTokenizer({ tokens, merges: readMerges(model.merges, vocab), specialTokens });
}

/** The ids by token. Errors with `tokenizer/file` unless they are distinct integers from 0. */
function readVocabulary(vocab: unknown): Map<string, number> {
  if (!isRecord(vocab)) return fail("tokenizer/file", "the vocabulary is not an object", { got: typeof vocab });
  const ids = new Map(Object.entries(vocab) as [string, number][]);
  const seen = new Set<number>();
  for (const [token, id] of ids) {
    if (!Number.isInteger(id) || id < 0 || seen.has(id)) {
      fail("tokenizer/file", "the ids of the vocabulary are not distinct integers from 0", {
        where: JSON.stringify(token.slice(0, 80)),
        got: String(id),
      });
    }
    seen.add(id);
  }
  return ids;
}

/** Tokens by id when the ids are 0, 1, 2, ... without a gap; else `undefined`. */
function listTokens(ids: ReadonlyMap<string, number>): string[] | undefined {
  const tokens = new Array<string>(ids.size);
  for (const [token, id] of ids) {
    if (!(id >= 0 && id < ids.size) || tokens[id] !== undefined) return undefined;
    tokens[id] = token;
  }
  return tokens;
}

function readMerges(merges: unknown, ids: ReadonlyMap<string, number>): BpeVocabulary["merges"] {
  if (!Array.isArray(merges)) return fail("tokenizer/file", "the merges are not a list", { got: typeof merges });
  return merges.map((merge: unknown, rank) => {
    // "a b" in old files, ["a", "b"] in new ones
    const parts: unknown = typeof merge === "string" ? merge.split(" ") : merge;
    const [left, right] = Array.isArray(parts) && parts.length === 2 ? parts.map((part) => ids.get(String(part))) : [];
    if (left === undefined || right === undefined) {
      fail("tokenizer/file", "a merge joins tokens that the vocabulary lacks", {
        where: `merge ${rank}`,
        got: JSON.stringify(merge)?.slice(0, 100) ?? "nothing",
      });
    }
    return [left, right] as const;
  });
}
